"""The real engine, slowed down; runs in a worker."""

import time
from pathlib import Path

from pika_emotion.taggers.vllm_engine import VllmEngine


def create(settings):
    return SlowEngine(settings)


class SlowEngine(VllmEngine):
    def load(self, labels, report):
        if self._settings["slow_load"]:
            report("loading for ever")
            time.sleep(3600)
        return super().load(labels, report)

    def step(self):
        if Path(self._settings["slow_while"]).is_file():
            time.sleep(1.0)
        return super().step()
