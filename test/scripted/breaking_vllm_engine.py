"""The real engine, whose model raises inside vLLM's own step and quotes what was said."""

from concurrent.futures import Future
from pathlib import Path

from pika_emotion.taggers.vllm_engine import VllmEngine


def create(settings):
    return BreakingEngine(settings)


class BreakingEngine(VllmEngine):
    def load(self, labels, report):
        card = super().load(labels, report)
        executor = self.model.engine.engine_core.engine_core.model_executor
        execute = executor.execute_model
        flag = Path(self._settings["breaking_on"])

        def breaking(scheduled, *arguments, **options):
            if self._asked and flag.is_file():
                flag.unlink()
                failed = Future()
                failed.set_exception(RuntimeError(f"cannot compute {self._turn} of {scheduled}"))
                return failed
            return execute(scheduled, *arguments, **options)

        executor.execute_model = breaking
        return card

    def submit(self, request_id, turn):
        self._turn = turn
        super().submit(request_id, turn)
