"""The engine behind the encoder tagger: both heads of a fine-tuned encoder in one run.

Runs in a worker (``taggers.worker_process``), whose thread alone touches it; needs onnxruntime,
tokenizers and numpy.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion.dialogue import Turn
from pika_emotion.encoder import card as encoder_card
from pika_emotion.encoder.card import CPU_MODEL, GPU_MODEL, INPUTS, OUTPUTS
from pika_emotion.encoder.session import open_session, run
from pika_emotion.encoder.turns import TOKENIZER_FILE, TurnTokens, batch, lengths
from pika_emotion.errors import ModelError, TaggerError
from pika_emotion.files import user_path
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.taggers.engine import Result

# An engine that failed so often in a row gives itself up, so that another one is started.
_MOST_FAILURES = 3


def create(settings: Mapping[str, Any]) -> "EncoderEngine":
    """Build the engine, not loaded yet; ``settings`` as ``encoder.*`` without the first word."""
    return EncoderEngine(settings)


class EncoderEngine:
    """Answers about turns with an encoder in this process."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._asked: dict[int, list[int]] = {}
        self._failures = 0

    def load(self, labels: Sequence[str], report: Callable[[str], None]) -> Mapping[str, str]:
        """Check the files, load the model and warm it up; return the card.

        Raises:
            TaggerError: onnxruntime or what it should compute with is missing.
            ModelError: a file is missing or damaged, or the model knows none of the labels.
        """
        started = time.monotonic()
        _require_libraries()
        folder = user_path(self._settings["model"])
        report("checking files")
        self._card = card = encoder_card.read(folder)
        known = self._choose_labels(labels, folder)
        self._max_tokens = self._choose_max_tokens()
        tokenizer = encoder_card.checked(folder, card, TOKENIZER_FILE)
        self._tokens = TurnTokens(tokenizer, self._max_tokens)
        provider = _choose_provider(self._settings["provider"], card)
        name = CPU_MODEL if provider == "cpu" else GPU_MODEL
        file = encoder_card.checked(folder, card, name)
        report(f"loading {file.name}")
        self._session = open_session(
            file, provider, int(self._settings["threads"]), self._shapes(), card.files[name]
        )
        for line in self._warm_up(file):
            report(line)
        return {
            "model": str(folder),
            "model_sha256": str(card.files[name]["sha256"]),
            "base": card.base,
            "trained on": f"{card.train['rows']} turns, data {card.data_sha256[:12]}",
            "cannot give": ", ".join(label for label in labels if label not in known) or "none",
            "provider": provider,
            "max_tokens": str(self._max_tokens),
            "longest_step_ms": f"{self._longest_ms:.1f}",
            "onnxruntime": _version("onnxruntime"),
            "python": platform.python_version(),
            "load_s": f"{time.monotonic() - started:.1f}",
        }

    def prefill(self, turn: Turn) -> None:
        """Do nothing: an encoder reads a turn as a whole."""

    def submit(self, request_id: int, turn: Turn) -> None:
        """Take a turn for a coming step."""
        self._asked[request_id] = self._tokens.ids(turn)

    def cancel(self, request_id: int) -> None:
        """Forget a request."""
        self._asked.pop(request_id, None)

    @property
    def busy(self) -> bool:
        """Whether a turn waits."""
        return bool(self._asked)

    def step(self) -> list[Result]:
        """Answer about the turns that have waited longest, several in one run.

        Raises:
            SystemExit: the engine has failed several times in a row.
        """
        taken = list(self._asked)[: int(self._settings["max_replies"])]
        rows = [self._asked[request_id] for request_id in taken]
        try:
            emotion, celebrate = self._logits(rows)
        except Exception:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                print("encoder tagger: the engine keeps failing; giving up", file=sys.stderr)
                sys.exit(1)
            raise
        self._failures = 0
        scale = self._card.calibration
        scores = np.zeros((len(rows), self._width))
        scores[:, self._places] = softmax(emotion / scale.temperature)[:, self._outputs]
        scores /= scores.sum(axis=1, keepdims=True)
        chances = sigmoid(scale.slope * celebrate + scale.offset)
        for request_id in taken:
            del self._asked[request_id]
        return [
            Result(
                request_id, row.tolist(), float(chance), {"tokens": len(ids), "batch": len(rows)}
            )
            for request_id, ids, row, chance in zip(taken, rows, scores, chances, strict=True)
        ]

    def status(self) -> Mapping[str, str]:
        """Return nothing: onnxruntime does not tell its memory."""
        return {}

    def close(self) -> None:
        """Give the model back."""
        self._session = None
        self._asked.clear()

    def _choose_labels(self, labels: Sequence[str], folder: Path) -> list[str]:
        known = [name for name in labels if name in self._card.labels]
        if not known:
            raise ModelError(
                f"encoder '{folder}' was trained for none of the labels {', '.join(labels)} but "
                f"for {', '.join(self._card.labels)}; train one for these labels with "
                "'pika-emotion train-encoder --labels FILE'"
            )
        self._width = len(labels)
        self._places = np.array([list(labels).index(name) for name in known])
        self._outputs = np.array([self._card.labels.index(name) for name in known])
        return known

    def _choose_max_tokens(self) -> int:
        wanted = int(self._settings["max_tokens"])
        if wanted > self._card.max_tokens:
            raise ModelError(
                f"encoder.max_tokens {wanted} is more than the {self._card.max_tokens} that the "
                "encoder was trained with; lower it, or train with a larger --max-tokens"
            )
        return wanted or self._card.max_tokens

    def _shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the smallest and the largest batch."""
        widths = lengths(self._max_tokens)
        return (1, widths[0]), (int(self._settings["max_replies"]), widths[-1])

    def _logits(
        self, rows: Sequence[list[int]]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        ids, mask = batch(rows, self._card.pad_id, self._max_tokens)
        return run(self._session, ids, mask)

    def _warm_up(self, file: Path) -> Iterator[str]:
        """Run every length alone, and every size of batch at the greatest length."""
        widths = lengths(self._max_tokens)
        most = int(self._settings["max_replies"])
        sizes = [(1, width) for width in widths] + [(n, widths[-1]) for n in range(2, most + 1)]
        filler = self._tokens.between[0]
        for number, (count, width) in enumerate(sizes, 1):
            yield f"warming up {number} of {len(sizes)}"
            started = time.perf_counter()
            emotion, celebrate = self._logits([[filler] * width] * count)
            if (count, width) == (1, widths[-1]):
                self._longest_ms = 1000 * (time.perf_counter() - started)
            if emotion.shape != (count, len(self._card.labels)) or celebrate.shape != (count,):
                raise ModelError(
                    f"model file '{file}' gives {OUTPUTS[0]} of shape {emotion.shape} and "
                    f"{OUTPUTS[1]} of {celebrate.shape} where {len(self._card.labels)} labels and "
                    f"{count} turns were asked for by {', '.join(INPUTS)}; make it again with "
                    "'pika-emotion train-encoder'"
                )
            if not (np.isfinite(emotion).all() and np.isfinite(celebrate).all()):
                raise ModelError(
                    f"model file '{file}' gives values that are no numbers; make it again with "
                    "'pika-emotion train-encoder'"
                )


def _require_libraries() -> None:
    for name in ("onnxruntime", "tokenizers"):
        try:
            __import__(name)
        except ImportError as error:
            raise TaggerError(
                f"{name} cannot be imported by interpreter '{sys.executable}' ({error}); run "
                "'make setup-encoder' and set encoder.python to .venv-encoder/bin/python, install "
                "the extra 'pika-emotion[encoder]', or set tagger to reflex"
            ) from error


def _version(name: str) -> str:
    return str(__import__(name).__version__)


def _choose_provider(wanted: str, card: encoder_card.Card) -> str:
    """Return what computes; a GPU only where the folder has a model for one.

    Raises:
        TaggerError: a GPU is asked for, and there is none or no model for it.
    """
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if wanted == "auto":
        usable = GPU_MODEL in card.files and "CUDAExecutionProvider" in there
        return "cuda" if usable else "cpu"
    names = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
    if wanted in names and names[wanted] not in there:
        raise TaggerError(
            f"encoder.provider '{wanted}' is not in this onnxruntime, which has "
            f"{', '.join(there)}; install onnxruntime-gpu instead of onnxruntime for "
            f"interpreter '{sys.executable}', or set encoder.provider to cpu"
        )
    if wanted in names and GPU_MODEL not in card.files:
        raise TaggerError(
            f"encoder.provider '{wanted}' needs {GPU_MODEL}, which encoder '{card.base}' was made "
            "without; make it again with 'pika-emotion train-encoder --gpu', or set "
            "encoder.provider to cpu"
        )
    return wanted
