"""An engine for the worker process, whose behaviour is a setting."""

import ctypes
import os
import resource
import time
from pathlib import Path

import numpy as np

from pika_emotion.errors import TaggerError
from pika_emotion.taggers.engine import Result


def create(settings):
    return Engine(settings["does"], settings.get("while", ""))


class Engine:
    def __init__(self, does, while_file=""):
        self._told = (does, while_file)
        self._requests = []
        self._hints = 0
        self._steps = 0
        self._asked = 0

    @property
    def _does(self):
        # As scripted.tagger.active, which another interpreter may not find.
        does, while_file = self._told
        return does if not while_file or Path(while_file).exists() else "answers"

    def load(self, labels, report):
        self._labels = list(labels)
        report("warming up")
        if self._does == "prints":
            print("a library's chatter", flush=True)
        if self._does == "never_loads":
            time.sleep(3600)
        if self._does == "fails_to_load":
            raise TaggerError("no GPU; set tagger to reflex")
        if self._does == "crashes_loading":
            os._exit(7)
        if self._does == "is_too_big":
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            self._weights = bytearray(1 << 30)
        if self._does == "raises_loading":
            raise RuntimeError("the child said hello")
        return {"model": "scripted"}

    def prefill(self, turn):
        self._hints += 1

    def submit(self, request_id, turn):
        if self._does == "refuses":
            raise RuntimeError(turn.child)
        self._requests.append((request_id, turn))

    def cancel(self, request_id):
        self._requests = [r for r in self._requests if r[0] != request_id]

    @property
    def busy(self):
        return bool(self._requests)

    def step(self):
        self._steps += 1
        if self._does == "holds_gil" and self._steps % 10 == 1:
            # A C call that keeps the global lock: PyDLL does not release it.
            ctypes.PyDLL(None).usleep(1_000_000)
        if self._does == "sleeps":
            time.sleep(10)
        if self._does == "naps":
            time.sleep(8)
        if self._does == "gives_up":
            raise SystemExit(1)
        if self._does == "raises":
            raise ValueError(self._requests[0][1].child)
        if self._does == "dies":
            os._exit(1)
        if self._does == "needs_memory":
            self._work = np.empty(64 << 20, np.uint8)
        requests, self._requests = self._requests, []
        scores = [float(name == "angry") for name in self._labels]
        if self._does == "gives_nan":
            scores[0] = float("nan")
        if self._does == "short":
            scores.pop()
        if self._does == "echoes":  # how many came in one step, and how many hints before
            return [Result(i, scores, min(1.0, len(requests) / 100)) for i, _ in requests]
        counts = {"tokens": self._steps} if self._does == "counts" else {}
        return [Result(i, scores, 1.0, counts) for i, _ in requests]

    def status(self):
        self._asked += 1
        if self._does == "status_fails" and self._asked > 1:
            raise RuntimeError("the GPU is gone")
        if self._does not in ("on_gpu", "status_fails"):
            return {}
        sizes = {"held": 4096 + 512 * self._asked, "free": 6144, "total": 16384}
        return {f"gpu_memory_{name}_mb": str(size) for name, size in sizes.items()}

    def close(self):
        pass
