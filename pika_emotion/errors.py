"""The package's own exceptions: every fault that a user can mend is one of these.

Messages name the value, what is wrong with it and what to do; none repeats what anybody said.
"""

import traceback


class PikaEmotionError(Exception):
    """Base of all errors that this package raises on purpose."""


class ResourceError(PikaEmotionError):
    """A data file of the package is missing."""


class LabelError(PikaEmotionError):
    """The label file is missing or wrong."""


class TagError(PikaEmotionError):
    """A tagger's answer is not a tag: wrong size, not a number, not a distribution."""


class ModelError(PikaEmotionError):
    """A model file is missing, damaged, or made for something else."""


class CalibrationError(PikaEmotionError):
    """A calibration card is missing or damaged, or the turns to fit one on are too few."""


class PromptError(PikaEmotionError):
    """The prompt file is wrong, or the model's tokenizer cannot carry the prompt."""


class CorpusError(PikaEmotionError):
    """A file of labelled turns is missing or wrong."""


class BagError(PikaEmotionError):
    """A recorded bag is missing, damaged, or lacks a topic."""


class ConfigError(PikaEmotionError):
    """A parameter has a value that cannot work."""


class TaggerError(PikaEmotionError):
    """A tagger cannot load or cannot answer; the message holds the remedy."""


class TaggerLoadingError(TaggerError):
    """A tagger is still loading or restarting; ask again later."""


class TaggerBusyError(TaggerError):
    """A tagger has too many unanswered requests to take one more."""


class TaggerUnreachableError(TaggerError):
    """A tagger's server does not serve now; it may later, so that loading is tried again."""


class TaggerLateError(TaggerError):
    """A tagger did not answer before the deadline."""


def lacks(what: str, library: str, extra: str) -> str:
    """Return the message for a library that is not installed: who needs it, which extra has it."""
    return (
        f"{what} needs {library}, which is not installed; "
        f"in the folder of pika_emotion's source: pip install '.[{extra}]'"
    )


def where(error: BaseException) -> str:
    """Return an error's kind and place; not its message, which may quote somebody."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
