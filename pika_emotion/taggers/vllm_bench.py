"""Measures ways of asking a language model about a reply, side by side in one engine.

Runs in a worker in the engine's place: ``load`` measures, and its card holds the result as JSON
under ``bench``. The ways are those of the tagger, and the ones that it is compared with: writing
JSON of 20 tokens, freely and by a grammar.
"""

import dataclasses
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pika_emotion.dialogue import Turn
from pika_emotion.measurement import percentiles
from pika_emotion.taggers.engine import Result
from pika_emotion.taggers.vllm_engine import VllmEngine

JSON_TOKENS = 20
# A grammar may need more than that; it ends by itself.
_GUIDED_TOKENS = 64
_WARM_UP = 3
_SEED = 0
# A fresh number before the question keeps a turn from being found in the cache; a long question
# loses its beginning for it, so that the prompt does not cut the number off.
_QUESTION_CHARS = 80
# How many words Pika's model writes between two partial replies.
_STREAM_WORDS = 3


def create(settings: Mapping[str, Any]) -> "Bench":
    """Build the bench; ``settings`` as the vLLM engine's, and ``bench``: ``turns``, ``rounds``."""
    return Bench(settings)


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What one reply took.

    Attributes:
        ms: from the turn as text to the answer.
        step_ms: of it, inside engine steps.
        counts: tokens and engine steps, by the names that ``bench`` prints.
    """

    ms: float
    step_ms: float
    counts: Mapping[str, float]


Way = Callable[[Turn], Sample]


def fresh(turn: Turn, number: int) -> Turn:
    """Return the turn as one that was never asked before; ``number`` tells them apart."""
    return dataclasses.replace(turn, question=f"{number:06d} {turn.question[-_QUESTION_CHARS:]}")


class Bench:
    """An engine that measures while it loads, and then has nothing to do."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        plain = dict(settings)
        order = plain.pop("bench")
        self._turns = [Turn(**turn) for turn in order["turns"]]
        self._rounds = int(order["rounds"])
        self._labels: Sequence[str] = ()
        self._settings = plain
        self._engine = VllmEngine(plain)
        self._asked = 0

    def load(self, labels: Sequence[str], report: Callable[[str], None]) -> Mapping[str, str]:
        """Load the engine and measure; return its card with the result in it."""
        card = self._engine.load(labels, report)
        self._labels = labels
        ways, notes = self._ways()
        draw = random.Random(_SEED)
        order = [(name, turn) for turn in self._turns for name in ways]
        samples: dict[str, list[Sample]] = {name: [] for name in ways}
        for way in ways.values():
            for turn in self._turns[:_WARM_UP]:
                self._measure(way, turn)
        for number in range(1, self._rounds + 1):
            report(f"round {number} of {self._rounds}")
            draw.shuffle(order)  # noise and heat meet every way alike
            for name, turn in order:
                samples[name].append(self._measure(ways[name], turn))
        cases = [_case(name, found) for name, found in samples.items()]
        return {**card, "bench": json.dumps({"cases": cases, "notes": notes})}

    def _measure(self, way: Way, turn: Turn) -> Sample:
        self._asked += 1
        return way(fresh(turn, self._asked))

    def _ways(self) -> tuple[dict[str, Way], list[str]]:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        common: dict[str, Any] = {
            "temperature": 0.0,
            "output_kind": RequestOutputKind.FINAL_ONLY,
        }
        two, joint, plain = (
            VllmEngine(self._settings, self._engine.model.asked_as(**asked))
            for asked in (
                {"heads": "two"},
                {"heads": "joint"},
                # A model that writes gains nothing from filled-up blocks.
                {"heads": "two", "pad_child": "never"},
            )
        )
        free = SamplingParams(**common, max_tokens=JSON_TOKENS, ignore_eos=True)
        ways: dict[str, Way] = {
            "json": lambda turn: self._generate(plain, turn, free),
            "two_heads": lambda turn: self._ask(two, turn),
            "two_heads_prefilled": lambda turn: self._ask_ahead(two, turn),
            "two_heads_streamed": lambda turn: self._ask_ahead(two, turn, stream=True),
            "joint_head": lambda turn: self._ask(joint, turn),
        }
        guide = _guide(self._labels)
        if guide is None:
            return ways, ["guided_json: this vLLM has no structured outputs by this name"]
        guided = SamplingParams(**common, max_tokens=_GUIDED_TOKENS, **guide)
        ways["guided_json"] = lambda turn: self._generate(plain, turn, guided)
        return ways, []

    # The ways.

    def _ask(self, engine: VllmEngine, turn: Turn) -> Sample:
        """Ask as the tagger does."""
        step_ms, results = 0.0, list[Result]()
        started = time.perf_counter()
        engine.submit(1, turn)
        while not results:
            begun = time.perf_counter()
            results += engine.step()
            step_ms += 1000 * (time.perf_counter() - begun)
        ms = 1000 * (time.perf_counter() - started)
        names = ("new_tokens", "cached_tokens", "computed_tokens", "engine_steps", "ahead_tokens")
        return Sample(ms, step_ms, {name: results[0].counts[name] for name in names})

    def _ask_ahead(self, engine: VllmEngine, turn: Turn, *, stream: bool = False) -> Sample:
        """Ask after the child's words were read; with ``stream``, also the reply as it grew."""
        words = turn.reply.split(" ")
        cuts = range(_STREAM_WORDS, len(words), _STREAM_WORDS) if stream else ()
        for reply in ("", *(" ".join(words[:cut]) for cut in cuts)):
            engine.prefill(dataclasses.replace(turn, reply=reply))
            while engine.busy:
                engine.step()
        return self._ask(engine, turn)

    def _generate(self, engine: VllmEngine, turn: Turn, how: Any) -> Sample:
        """Let the model write its answer, as systems without heads do."""
        model = engine.model
        prompt, core, step_ms, steps = model.prompt, model.engine, 0.0, 0
        started = time.perf_counter()
        request = prompt.requests(turn)[0]
        shared = request.ids[: -prompt.suffix_tokens[request.head]]
        ids = [*shared, *prompt.chat.closing("")]
        core.add_request("json", model.as_input(ids), how)
        finished: list[Any] = []
        while not finished:
            begun = time.perf_counter()
            finished = [output for output in core.step() if output.finished]
            step_ms += 1000 * (time.perf_counter() - begun)
            steps += 1
        ms = 1000 * (time.perf_counter() - started)
        cached = int(finished[0].num_cached_tokens or 0)
        written = len(finished[0].outputs[0].token_ids)
        counts = {
            "new_tokens": len(ids) - len(prompt.prefix),
            "cached_tokens": cached,
            "computed_tokens": len(ids) - cached + written - 1,
            "engine_steps": steps,
            "written_tokens": written,
        }
        return Sample(ms, step_ms, counts)

    # Nothing is asked of it after the load.

    def prefill(self, turn: Turn) -> None:
        """Do nothing."""

    def submit(self, request_id: int, turn: Turn) -> None:
        """Do nothing."""

    def cancel(self, request_id: int) -> None:
        """Do nothing."""

    @property
    def busy(self) -> bool:
        """Nothing is ever to do."""
        return False

    def step(self) -> Sequence[Result]:
        """Return nothing."""
        return []

    def status(self) -> Mapping[str, str]:
        """Return nothing: all that it has found is in its card."""
        return {}

    def close(self) -> None:
        """End the engine."""
        self._engine.close()


def _guide(labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the sampling parameters that hold the model to the JSON; None where unknown."""
    try:
        from vllm.sampling_params import StructuredOutputsParams
    except ImportError:
        return None
    # A regular expression and no schema: what may stand between its parts is up to a version.
    names = "|".join(labels)
    guide = StructuredOutputsParams(
        regex=rf'\{{"emotion_name": "({names})", "celebrate": (true|false)\}}'
    )
    return {"structured_outputs": guide}


def _case(name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    shown = percentiles([sample.ms for sample in samples])
    steps = percentiles([sample.step_ms for sample in samples])
    outside = percentiles([sample.ms - sample.step_ms for sample in samples])
    counts = {
        count: round(sum(sample.counts[count] for sample in samples) / len(samples), 2)
        for count in samples[0].counts
    }
    return {
        "name": name,
        "n": len(samples),
        **{f"{k}_ms": v for k, v in shown.items()},
        "step_p50_ms": steps["p50"],
        "outside_step_p50_ms": outside["p50"],
        **counts,
    }
