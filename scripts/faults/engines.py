"""Faults of a model server (``--http``) and of the real vLLM engine (``--vllm-model``)."""

import contextlib
import signal

from catalogue import SERVER_FAULTS
from primaries import Play, sources, undisturbed
from scene import Stage, send

from pika_emotion.deadline import Source

VLLM = {
    "vllm.enforce_eager": "true",
    "vllm.kv_cache_mb": "64",
    "vllm.dtype": "float32",
    "vllm.block_size": "32",
    "vllm.stall_s": "2.0",
}
# An engine that is killed has to load again before it can be killed again.
RELOAD_S = 30.0


def server(fault: str) -> Play:
    """Return a play in which a model server fails for a while."""

    def play(stage: Stage) -> None:
        from model_servers import ModelServer, make_prompt, make_tokenizer

        from pika_emotion.labels import load_labels

        folder = stage.folder / "tokenizer"
        folder.mkdir()
        prompt, decode = make_prompt(make_tokenizer(folder), load_labels())
        texts = {t: decode(t) for answers in prompt.answers.values() for t in answers.tokens}
        with contextlib.closing(ModelServer("ids", texts)) as serving:
            params = {"tagger": "http", "http.url": serving.url, "http.tokenizer": str(folder)}
            with stage.meet(params) as scene:
                with scene.talk():
                    for _ in scene.hits() if fault else ():
                        with scene.fault():
                            serving.fault(fault)
                            scene.hold()
                            serving.fault("")
                stage.check(Source.PRIMARY in sources(scene), "some tags say PRIMARY")

    return play


def vllm_slow(stage: Stage) -> None:
    """Make each step of the real engine a second longer, for a while."""
    switch = stage.folder / "slow"
    params = {"tagger": "scripted.slow_vllm", "slow.while": str(switch)}
    with stage.meet({**params, **VLLM, **stage.settings}) as scene:
        with scene.talk():
            for _ in scene.hits():
                with scene.fault():
                    switch.touch()
                    scene.hold()
                    switch.unlink()
        stage.check(sources(scene) > {Source.PRIMARY}, "some tags say PRIMARY, others do not")


def vllm_gets(number: signal.Signals) -> Play:
    """Return a play in which the real engine's worker gets a signal."""

    def play(stage: Stage) -> None:
        stage.seconds += RELOAD_S
        with stage.meet({"tagger": "vllm", **VLLM, **stage.settings}) as scene, scene.talk():
            for _ in scene.hits(RELOAD_S):
                with scene.fault():
                    send([scene.worker()], number)

    return play


PLAYS: dict[str, Play] = {
    "http: sound": server(""),
    **{f"http: {name}": server(name) for name in SERVER_FAULTS},
    "vllm: sound": undisturbed({"tagger": "vllm", **VLLM}, Source.PRIMARY),
    "vllm: slow": vllm_slow,
    "vllm: killed": vllm_gets(signal.SIGKILL),
    "vllm: stopped": vllm_gets(signal.SIGSTOP),
    "vllm: never loads": undisturbed(
        {"tagger": "scripted.slow_vllm", "slow.load": "true", **VLLM}, Source.LOADING, loaded=False
    ),
}
