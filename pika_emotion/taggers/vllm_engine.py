"""The engine behind the vLLM tagger: both questions about a reply in one step of vLLM's engine.

The second question finds the first one's blocks in the prefix cache. Runs in a worker
(``taggers.worker_process``), whose thread alone touches it.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pika_emotion.dialogue import Turn
from pika_emotion.prompt import distribution
from pika_emotion.taggers import vllm_arguments, vllm_model
from pika_emotion.taggers.engine import Result

_AHEAD = "ahead"
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

    Args:
        settings: as ``taggers.vllm.engine_settings`` gives them.
        model: a model that is loaded already, for another way of asking it; it is the other
            engine's to close.

    Attributes:
        model: after ``load``.
        steps: engine steps so far.
    """

    model: vllm_model.Model

    def __init__(self, settings: Mapping[str, Any], model: vllm_model.Model | None = None) -> None:
        self._settings = settings
        if model is not None:
            self.model = model
        self.steps = 0
        self._loaded = False
        self._asked: dict[int, _Asked] = {}
        self._failures = 0
        self._read: list[int] = []
        self._reading: str | None = None
        self._ahead_tokens = 0
        self._aheads = 0

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

        self.model = vllm_model.load(self._settings, tell)
        self._loaded = True
        try:
            for line in self._warm_up():
                tell(line)
        except BaseException:
            self.close()
            raise
        load_s = f"{time.monotonic() - started:.1f}"
        tell(f"ready in {load_s} s")
        return {**self.model.card, "load_s": load_s}

    def _warm_up(self) -> Iterator[str]:
        """Run every size of step, both heads, several replies at once, and reading ahead."""
        longest = vllm_model.longest_turn(self.model.prompt)
        most = min(longest, int(self._settings["max_num_batched_tokens"]))
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

    def prefill(self, turn: Turn) -> None:
        """Read what is there of a turn, as far as it fills new blocks."""
        if not self._settings["read_ahead"] or self._asked:
            return
        model = self.model
        ids = model.prompt.ahead(turn)
        if len(ids) <= len(model.prompt.prefix) or ids == self._read[: len(ids)]:
            return
        self._stop_reading()
        self._aheads += 1
        name = f"{_AHEAD}/{self._aheads}"
        # One token more, whichever: vLLM does not keep the block that a prompt ends with.
        model.engine.add_request(name, model.as_input([*ids, ids[-1]]), model.reads)
        self._reading, self._read = name, ids

    def submit(self, request_id: int, turn: Turn) -> None:
        """Put both heads of a reply into the coming step."""
        self._stop_reading()
        model, requests = self.model, self.model.prompt.requests(turn)
        asked = _Asked({request.head: len(request.ids) for request in requests}, self.steps)
        self._asked[request_id] = asked
        for request in requests:
            ids, how = model.as_input(request.ids), model.asks[request.head]
            model.engine.add_request(f"{request_id}/{request.head}", ids, how)

    def cancel(self, request_id: int) -> None:
        """Take a reply's heads out of the engine."""
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            left = [head for head in asked.heads if head not in asked.logprobs]
            self.model.engine.abort_request([f"{request_id}/{head}" for head in left])

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
            outputs = self.model.engine.step()
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

    def status(self) -> Mapping[str, str]:
        """Return the GPU's memory; nothing without a GPU."""
        return vllm_model.gpu_memory()

    def close(self) -> None:
        """End the engine and give its memory back, as far as vLLM does so in a process."""
        if self._loaded:
            self._loaded = False
            vllm_model.end(self.model.engine)

    def _stop_reading(self) -> None:
        """Take a hint that is still being read out of the engine; what is read stays cached."""
        if self._reading is not None:
            self.model.engine.abort_request([self._reading])
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
        scores, celebrate, outside = distribution(self.model.prompt, asked.logprobs)
        counts: dict[str, float] = {
            "engine_steps": self.steps - asked.first_step,
            "computed_tokens": sum(asked.heads.values()) - asked.cached,
            "cached_tokens": asked.cached,
            "new_tokens": max(asked.heads.values()) - len(self.model.prompt.prefix),
            "ahead_tokens": self._ahead_tokens,
        }
        if self.model.scoring != "allowed":
            counts["outside"] = outside
        self._ahead_tokens = 0
        return [Result(int(name), scores, celebrate, counts)]


def _warm_turn(number: int, words: int) -> Turn:
    """Return a turn of about so many words that shares its beginning with no other."""
    said = [_WARM_WORDS[i % len(_WARM_WORDS)] for i in range(words)]
    return Turn("", f"{number} {number}", " ".join([str(number), *said]))
