"""A language model loaded in vLLM's engine in this process, and how it is asked.

Together with ``vllm_engine`` the only place that imports vLLM.
"""

import dataclasses
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pika_emotion import checkpoint
from pika_emotion.chat import Chat, ChatFormat
from pika_emotion.errors import TaggerError
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import PromptText
from pika_emotion.taggers import vllm_arguments

# Blocks up to this size are hardly worth filling up.
_SMALL_BLOCK = 16


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded model, and one way of asking it.

    Attributes:
        settings: by names without ``vllm.``, as ``taggers.vllm.engine_settings`` gives them.
        engine: vLLM's ``LLMEngine``.
        prompt: makes the token ids.
        block: tokens of a prefix-cache block.
        scoring: how scores are read: ``ids``, ``allowed`` or ``all``.
        reads: sampling parameters of a hint, whose answer nobody wants.
        asks: sampling parameters of each head.
        as_input: makes what the engine takes from token ids.
        card: what is known of the model, vLLM and the device.
    """

    settings: Mapping[str, Any]
    engine: Any
    prompt: Prompt
    block: int
    scoring: str
    reads: Any
    asks: Mapping[str, Any]
    as_input: Callable[[list[int]], Any]
    card: Mapping[str, str]

    def asked_as(self, **changes: Any) -> "Model":
        """Return the same loaded model with settings changed that concern the prompt alone."""
        settings = {**self.settings, **changes}
        prompt = _make_prompt(settings, self.prompt.chat, self.block)
        asks = _asks(self.engine, prompt, self.scoring)
        return dataclasses.replace(self, settings=settings, prompt=prompt, asks=asks)


def load(settings: Mapping[str, Any], tell: Callable[[str], None]) -> Model:
    """Load the model that the settings name; ``tell`` takes progress, a line each.

    Raises:
        TaggerError: vLLM, the GPU, the model or memory is missing; says which and the remedy.
        PromptError: the model's tokenizer cannot carry the prompt.
    """
    os.environ.update(vllm_arguments.environment(settings))
    for name, value in vllm_arguments.DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _require_vllm()
    folder = checkpoint.find(settings["model"], settings["revision"], download=settings["download"])
    tell("importing vLLM")
    version, device = _import()
    chat = _load_chat(settings, folder)
    draft = _make_prompt(settings, chat)
    arguments = _arguments(settings, folder, longest_turn(draft))
    tell(f"loading {settings['model']}")
    engine = _build(settings, arguments.values)
    try:
        block = int(engine.vllm_config.cache_config.block_size)
        prompt = _make_prompt(settings, chat, block)
        _check_room(engine, prompt)
        for note in [*arguments.notes, *_remarks(settings, prompt)]:
            tell(note)
        import vllm.inputs
        from vllm.sampling_params import SamplingParams

        return Model(
            settings,
            engine,
            prompt,
            block,
            arguments.scoring,
            SamplingParams(**_common()),
            _asks(engine, prompt, arguments.scoring),
            # Newer versions take what they call an engine input; older ones the plain prompt.
            getattr(vllm.inputs, "tokens_input", None) or _plain_input,
            {
                **_card(settings, folder, engine, prompt),
                "scoring": arguments.scoring,
                "device": device,
                "vllm": version,
                "adapted": "; ".join(arguments.notes) or "nothing",
            },
        )
    except BaseException:
        end(engine)
        raise


def end(engine: Any) -> None:
    """End an engine and give its memory back, as far as vLLM does so in a process."""
    core = getattr(engine, "engine_core", None)
    if core is not None:
        core.shutdown()


def gpu_memory() -> dict[str, str]:
    """Return the GPU's memory in MiB: what PyTorch holds in this process, what is free, and all.

    Empty where this process uses no GPU. On a Jetson it is the memory of the whole robot.
    """
    import torch

    if not torch.cuda.is_initialized():
        return {}
    free, total = torch.cuda.mem_get_info()
    found = {"held": torch.cuda.memory_reserved(), "free": free, "total": total}
    return {f"gpu_memory_{name}_mb": str(size >> 20) for name, size in found.items()}


def longest_turn(prompt: Prompt) -> int:
    """Return the tokens of the longest step that one reply makes."""
    return prompt.longest - len(prompt.prefix)


def _require_vllm() -> None:
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:  # a folder of that name is no installation
        raise TaggerError(
            f"vLLM is not installed for interpreter '{sys.executable}'; run 'make setup-vllm' "
            "and set vllm.python to .venv-vllm/bin/python, or set tagger to reflex"
        )


def _import() -> tuple[str, str]:
    """Return vLLM's version and the type of the device that it runs on."""
    try:
        import vllm
        from vllm.platforms import current_platform
    except Exception as error:
        raise TaggerError(
            f"vLLM cannot be imported by interpreter '{sys.executable}' "
            f"({type(error).__name__}: {error}); install it again with 'make setup-vllm'"
        ) from error
    version = str(vllm.__version__)
    device = str(getattr(current_platform, "device_type", "") or "")
    if not device:
        raise TaggerError(
            f"vLLM {version} finds no GPU that it can use; check 'nvidia-smi', install "
            "vLLM's CPU build ('make setup-vllm' does where there is no GPU), "
            "or set tagger to reflex"
        )
    return version, device


def _load_chat(settings: Mapping[str, Any], folder: Path) -> Chat:
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        raise TaggerError(
            f"tokenizer of vllm.model '{settings['model']}' cannot be read "
            f"({type(error).__name__}); the folder needs tokenizer.json and "
            "tokenizer_config.json: download or save the model again"
        ) from error
    return Chat(tokenizer, settings["prompt"]["template"])


def _make_prompt(settings: Mapping[str, Any], chat: ChatFormat, block: int = 1) -> Prompt:
    wanted = settings["pad_child"]
    return Prompt(
        chat,
        PromptText.from_plain(settings["prompt"]),
        settings["labels"],
        heads=settings["heads"],
        block=block,
        pad_child=wanted == "always" or (wanted == "auto" and block > _SMALL_BLOCK),
        max_turn_tokens=settings["max_turn_tokens"],
    )


def _arguments(settings: Mapping[str, Any], folder: Path, longest: int) -> vllm_arguments.Arguments:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.sampling_params import SamplingParams

    known = [field.name for field in dataclasses.fields(EngineArgs)]
    sampling = getattr(SamplingParams, "__struct_fields__", ())
    return vllm_arguments.adapt(settings, str(folder), longest, known, sampling)


def _build(settings: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    try:
        return LLMEngine.from_engine_args(EngineArgs(**arguments))
    except Exception as error:
        raise TaggerError(vllm_arguments.explain(settings["model"], error)) from error


def _check_room(engine: Any, prompt: Prompt) -> None:
    most = int(engine.vllm_config.model_config.max_model_len)
    if prompt.longest >= most:
        raise TaggerError(
            f"the longest prompt takes {prompt.longest} tokens, {len(prompt.prefix)} "
            f"of them fixed, and vllm.max_model_len is {most}; raise it, lower "
            "vllm.max_turn_tokens, or shorten the prompt file"
        )


def _common() -> dict[str, Any]:
    from vllm.sampling_params import RequestOutputKind

    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "detokenize": False,
        "output_kind": RequestOutputKind.FINAL_ONLY,
    }


def _asks(engine: Any, prompt: Prompt, scoring: str) -> dict[str, Any]:
    """Return the sampling parameters of each head."""
    from vllm.sampling_params import SamplingParams

    # One list for all heads: a batch whose requests ask for different numbers is padded.
    tokens = sorted({t for answers in prompt.answers.values() for t in answers.tokens})
    vocabulary = int(engine.vllm_config.model_config.get_vocab_size())
    asks = {}
    for head, answers in prompt.answers.items():
        ways: dict[str, dict[str, Any]] = {
            "ids": {"logprob_token_ids": tokens},
            "allowed": {
                "allowed_token_ids": list(answers.tokens),
                "logprobs": len(answers.tokens),
            },
            "all": {"logprobs": vocabulary},
        }
        asks[head] = SamplingParams(**_common(), **ways[scoring])
    return asks


def _remarks(settings: Mapping[str, Any], prompt: Prompt) -> list[str]:
    remarks = []
    if prompt.coded and settings["heads"] == "two":
        remarks.append("labels' first tokens are not unique; codes with a legend are used")
    if not prompt.padded:
        remarks.append("this tokenizer has no filler; the prefix does not end with a block")
    if not prompt.exact:
        remarks.append("this tokenizer joins lines; token ids differ slightly from the text's")
    return remarks


def _card(settings: Mapping[str, Any], folder: Path, engine: Any, prompt: Prompt) -> dict[str, str]:
    import torch
    import transformers

    config = engine.vllm_config
    return {
        "model": str(settings["model"]),
        "model_sha256": checkpoint.digest(folder),
        "prompt_sha256": prompt.digest,
        "heads": str(settings["heads"]),
        "labels": str(len(settings["labels"])),
        "labels_are": "codes" if prompt.coded else "names",
        "prefix_tokens": str(len(prompt.prefix)),
        "suffix_tokens": str(max(prompt.suffix_tokens.values())),
        "block_tokens": str(config.cache_config.block_size),
        "max_model_len": str(config.model_config.max_model_len),
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "quantization": str(config.model_config.quantization or "none"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
        "python": platform.python_version(),
    }


def _plain_input(ids: list[int]) -> dict[str, Any]:
    return {"prompt_token_ids": ids}
