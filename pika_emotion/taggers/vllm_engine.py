"""The engine behind the vLLM tagger: the only place that imports vLLM.

Both questions about a reply enter one engine step; the second finds the first's blocks in the
prefix cache. Runs in a worker (``taggers.worker_process``), whose thread alone touches it.
"""

import dataclasses
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pika_emotion import checkpoint
from pika_emotion.chat import Chat
from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError
from pika_emotion.prompt import Prompt, distribution
from pika_emotion.prompt_file import PromptText
from pika_emotion.taggers import vllm_arguments
from pika_emotion.taggers.engine import Result

_AHEAD = "ahead"
# Blocks up to this size are hardly worth filling up.
_SMALL_BLOCK = 16
# An engine that failed so often in a row gives itself up, so that another one is started.
_MOST_FAILURES = 3
_WARM_WORDS = ("Pika", "nói", "con", "mèo", "is", "a", "cat", "rồi", "đi", "chơi", "one", "hai")


def create(settings: Mapping[str, Any]) -> "VllmEngine":
    """Build the engine, not loaded yet; ``settings`` as ``taggers.vllm.engine_settings`` says."""
    return VllmEngine(settings)


@dataclasses.dataclass(slots=True)
class _Asked:
    """A reply whose heads are in the engine."""

    heads: dict[str, int]  # tokens of each head's prompt
    first_step: int
    logprobs: dict[str, Mapping[int, float]] = dataclasses.field(default_factory=dict)
    cached: int = 0


class VllmEngine:
    """Answers about turns with a language model in this process.

    Attributes:
        engine: vLLM's ``LLMEngine``, after ``load``.
        prompt: makes the token ids, after ``load``.
        block: tokens of a prefix-cache block, after ``load``.
        steps: engine steps so far.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self.engine: Any = None
        self.prompt: Prompt
        self.block = 1
        self.steps = 0
        self._asked: dict[int, _Asked] = {}
        self._failures = 0
        self._read: list[int] = []
        self._reading: str | None = None
        self._ahead_tokens = 0
        self._aheads = 0

    # Loading.

    def load(self, labels: Sequence[str], report: Callable[[str], None]) -> Mapping[str, str]:
        """Load the model and warm it up; return the card.

        Raises:
            TaggerError: vLLM, the GPU, the model or memory is missing; says which and the remedy.
            PromptError: the model's tokenizer cannot carry the prompt.
        """
        started = time.monotonic()

        def tell(line: str) -> None:
            report(line)
            print(f"vllm tagger: {line}", file=sys.stderr, flush=True)

        try:
            card = self._load(labels, tell)
        except BaseException:
            self.close()
            raise
        load_s = f"{time.monotonic() - started:.1f}"
        tell(f"ready in {load_s} s")
        return {**card, "load_s": load_s}

    def _load(self, labels: Sequence[str], tell: Callable[[str], None]) -> dict[str, str]:
        os.environ.update(vllm_arguments.environment(self._settings))
        for name, value in vllm_arguments.DEFAULT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        folder = self._find_model()
        tell("importing vLLM")
        self._import()
        chat = self._load_tokenizer(folder)
        draft = self._make_prompt(chat)
        longest_turn = draft.longest - len(draft.prefix)
        arguments = self._arguments(folder, longest_turn)
        tell(f"loading {self._settings['model']}")
        self._build(arguments.values)
        self.prompt = self._make_prompt(chat, self.block)
        self._scoring = arguments.scoring
        self._prepare()
        for line in self._warm_up(longest_turn):
            tell(line)
        for note in [*arguments.notes, *self._remarks()]:
            tell(note)
        return self._card(folder, labels, arguments.notes)

    def _find_model(self) -> Path:
        spec = importlib.util.find_spec("vllm")
        if spec is None or spec.origin is None:  # a folder of that name is no installation
            raise TaggerError(
                f"vLLM is not installed for interpreter '{sys.executable}'; run 'make setup-vllm' "
                "and set vllm.python to .venv-vllm/bin/python, or set tagger to reflex"
            )
        settings = self._settings
        return checkpoint.find(
            settings["model"], settings["revision"], download=settings["download"]
        )

    def _import(self) -> None:
        try:
            import vllm
            from vllm.platforms import current_platform
        except Exception as error:
            raise TaggerError(
                f"vLLM cannot be imported by interpreter '{sys.executable}' "
                f"({type(error).__name__}: {error}); install it again with 'make setup-vllm'"
            ) from error
        self._version = str(vllm.__version__)
        self._device = str(getattr(current_platform, "device_type", "") or "")
        if not self._device:
            raise TaggerError(
                f"vLLM {self._version} finds no GPU that it can use; check 'nvidia-smi', install "
                "vLLM's CPU build ('make setup-vllm' does where there is no GPU), "
                "or set tagger to reflex"
            )

    def _load_tokenizer(self, folder: Path) -> Chat:
        import transformers

        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        except Exception as error:
            raise TaggerError(
                f"tokenizer of vllm.model '{self._settings['model']}' cannot be read "
                f"({type(error).__name__}); the folder needs tokenizer.json and "
                "tokenizer_config.json: download or save the model again"
            ) from error
        return Chat(tokenizer, self._settings["prompt"]["template"])

    def _make_prompt(self, chat: Chat, block: int = 1) -> Prompt:
        wanted = self._settings["pad_child"]
        return Prompt(
            chat,
            PromptText.from_plain(self._settings["prompt"]),
            self._settings["labels"],
            heads=self._settings["heads"],
            block=block,
            pad_child=wanted == "on" or (wanted == "auto" and block > _SMALL_BLOCK),
            max_turn_tokens=self._settings["max_turn_tokens"],
        )

    def _arguments(self, folder: Path, longest_turn: int) -> vllm_arguments.Arguments:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.sampling_params import SamplingParams

        known = [field.name for field in dataclasses.fields(EngineArgs)]
        sampling = getattr(SamplingParams, "__struct_fields__", ())
        return vllm_arguments.adapt(self._settings, str(folder), longest_turn, known, sampling)

    def _build(self, arguments: Mapping[str, Any]) -> None:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        try:
            self.engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
        except Exception as error:
            message = vllm_arguments.explain(self._settings["model"], error)
            raise TaggerError(message) from error
        self.block = int(self.engine.vllm_config.cache_config.block_size)
        self._most_tokens = int(self.engine.vllm_config.model_config.max_model_len)

    def _prepare(self) -> None:
        """Make the sampling parameters, and see that the longest prompt has room."""
        import vllm.inputs
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        if self.prompt.longest >= self._most_tokens:
            raise TaggerError(
                f"the longest prompt takes {self.prompt.longest} tokens, {len(self.prompt.prefix)} "
                f"of them fixed, and vllm.max_model_len is {self._most_tokens}; raise it, lower "
                "vllm.max_turn_tokens, or shorten the prompt file"
            )
        common: dict[str, Any] = {
            "max_tokens": 1,
            "temperature": 0.0,
            "detokenize": False,
            "output_kind": RequestOutputKind.FINAL_ONLY,
        }
        self._reads = SamplingParams(**common)
        # Newer versions take what they call an engine input; older ones the plain prompt.
        self._input = getattr(vllm.inputs, "tokens_input", None) or _plain_input
        self._asks = {}
        # One list for all heads: a batch whose requests ask for different numbers is padded.
        tokens = sorted({t for a in self.prompt.answers.values() for t in a.tokens})
        vocabulary = int(self.engine.vllm_config.model_config.get_vocab_size())
        for head, answers in self.prompt.answers.items():
            ways: dict[str, dict[str, Any]] = {
                "ids": {"logprob_token_ids": tokens},
                "allowed": {
                    "allowed_token_ids": list(answers.tokens),
                    "logprobs": len(answers.tokens),
                },
                "all": {"logprobs": vocabulary},
            }
            self._asks[head] = SamplingParams(**common, **ways[self._scoring])

    def _warm_up(self, longest_turn: int) -> Iterator[str]:
        """Run every size of step, both heads, several replies at once, and reading ahead."""
        most = min(longest_turn, int(self._settings["max_num_batched_tokens"]))
        sizes = vllm_arguments.capture_sizes(most)
        if self._settings["enforce_eager"]:
            sizes = [16, most // 4, most]
        batches = range(2, int(self._settings["max_replies"]) + 1)
        total = len(sizes) + len(batches) + 1
        self._run([_warm_turn(0, 8)])
        for number, size in enumerate(sizes, 1):
            yield f"warming up {number} of {total}"
            self._run([_warm_turn(number, max(1, size // 2))])
        for number, batch in enumerate(batches, len(sizes) + 1):
            yield f"warming up {number} of {total}"
            self._run([_warm_turn(1000 * batch + i, 12) for i in range(batch)])
        yield f"warming up {total} of {total}"
        self.prefill(dataclasses.replace(_warm_turn(-1, 40), reply=""))
        self.prefill(_warm_turn(-1, 40))
        self._run([_warm_turn(-1, 40)])
        self._ahead_tokens = 0

    def _run(self, turns: Sequence[Turn]) -> list[Result]:
        for number, turn in enumerate(turns):
            self.submit(-1 - number, turn)
        results: list[Result] = []
        while self.busy:
            results += self.step()
        return results

    def _remarks(self) -> list[str]:
        prompt, remarks = self.prompt, []
        if prompt.coded and self._settings["heads"] == "two":
            remarks.append("labels' first tokens are not unique; codes with a legend are used")
        if not prompt.padded:
            remarks.append("this tokenizer has no filler; the prefix does not end with a block")
        if not prompt.exact:
            remarks.append("this tokenizer joins lines; token ids differ slightly from the text's")
        return remarks

    def _card(self, folder: Path, labels: Sequence[str], notes: Sequence[str]) -> dict[str, str]:
        import torch
        import transformers

        config = self.engine.vllm_config
        gpu = torch.cuda.get_device_name() if self._device == "cuda" else "none"
        return {
            "model": str(self._settings["model"]),
            "model_sha256": checkpoint.digest(folder),
            "prompt_sha256": self.prompt.digest,
            "heads": str(self._settings["heads"]),
            "labels": str(len(labels)),
            "labels_are": "codes" if self.prompt.coded else "names",
            "scoring": self._scoring,
            "prefix_tokens": str(len(self.prompt.prefix)),
            "suffix_tokens": str(max(self.prompt.suffix_tokens.values())),
            "block_tokens": str(self.block),
            "max_model_len": str(self._most_tokens),
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "quantization": str(config.model_config.quantization or "none"),
            "device": self._device,
            "gpu": gpu,
            "vllm": self._version,
            "torch": str(torch.__version__),
            "transformers": str(transformers.__version__),
            "python": platform.python_version(),
            "adapted": "; ".join(notes) or "nothing",
        }

    # Serving.

    def prefill(self, turn: Turn) -> None:
        """Read what is there of a turn, as far as it fills new blocks."""
        if not self._settings["read_ahead"] or self._asked:
            return
        ids = self.prompt.ahead(turn)
        if len(ids) <= len(self.prompt.prefix) or ids == self._read[: len(ids)]:
            return
        self._stop_reading()
        self._aheads += 1
        self._reading = f"{_AHEAD}/{self._aheads}"
        self._read = ids
        # One token more, whichever: vLLM does not keep the block that a prompt ends with.
        self.engine.add_request(self._reading, self._input([*ids, ids[-1]]), self._reads)

    def submit(self, request_id: int, turn: Turn) -> None:
        """Put both heads of a reply into the coming step."""
        self._stop_reading()
        requests = self.prompt.requests(turn)
        asked = _Asked({request.head: len(request.ids) for request in requests}, self.steps)
        self._asked[request_id] = asked
        for request in requests:
            self.engine.add_request(
                f"{request_id}/{request.head}",
                self._input(request.ids),
                self._asks[request.head],
            )

    def cancel(self, request_id: int) -> None:
        """Take a reply's heads out of the engine."""
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            left = [head for head in asked.heads if head not in asked.logprobs]
            self.engine.abort_request([f"{request_id}/{head}" for head in left])

    @property
    def busy(self) -> bool:
        """Whether a reply or a hint is in the engine."""
        return bool(self._asked) or self._reading is not None

    def step(self) -> list[Result]:
        """Run one engine step.

        Raises:
            SystemExit: the engine has failed several times in a row.
        """
        try:
            outputs = self.engine.step()
        except Exception:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                print("vllm tagger: the engine keeps failing; giving up", file=sys.stderr)
                sys.exit(1)
            raise
        self._failures = 0
        self.steps += 1
        results = []
        for output in outputs:
            if output.finished:
                results += self._finish(output)
        return results

    def close(self) -> None:
        """End the engine and give its memory back, as far as vLLM does so in a process."""
        engine, self.engine = self.engine, None
        core = getattr(engine, "engine_core", None)
        if core is not None:
            core.shutdown()

    def _stop_reading(self) -> None:
        """Take a hint that is still being read out of the engine; what is read stays cached."""
        if self._reading is not None:
            self.engine.abort_request([self._reading])
            self._reading = None
            self._read = []

    def _finish(self, output: Any) -> list[Result]:
        name, _, head = output.request_id.partition("/")
        cached = int(output.num_cached_tokens or 0)
        if name == _AHEAD:
            self._ahead_tokens += len(output.prompt_token_ids) - cached
            if output.request_id == self._reading:
                self._reading = None
            return []
        asked = self._asked.get(int(name))
        if asked is None:
            return []
        found = output.outputs[0].logprobs[0]
        asked.logprobs[head] = {token: entry.logprob for token, entry in found.items()}
        asked.cached += cached
        if len(asked.logprobs) < len(asked.heads):
            return []
        del self._asked[int(name)]
        scores, celebrate, outside = distribution(self.prompt, asked.logprobs)
        counts: dict[str, float] = {
            "engine_steps": self.steps - asked.first_step,
            "computed_tokens": sum(asked.heads.values()) - asked.cached,
            "cached_tokens": asked.cached,
            "new_tokens": max(asked.heads.values()) - len(self.prompt.prefix),
            "ahead_tokens": self._ahead_tokens,
        }
        if self._scoring != "allowed":
            counts["outside"] = outside
        self._ahead_tokens = 0
        return [Result(int(name), scores, celebrate, counts)]


def _plain_input(ids: list[int]) -> dict[str, Any]:
    return {"prompt_token_ids": ids}


def _warm_turn(number: int, words: int) -> Turn:
    """Return a turn of about so many words that shares its beginning with no other."""
    said = [_WARM_WORDS[i % len(_WARM_WORDS)] for i in range(words)]
    return Turn("", f"{number} {number}", " ".join([str(number), *said]))
