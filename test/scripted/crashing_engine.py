"""An engine whose faults quote what was said, as a library's may, or end the process."""

import ctypes
import os
import sys
import threading


def create(settings):
    return Engine(settings["does"])


class Engine:
    busy = False

    def __init__(self, does):
        self._does = does
        self._turn = None

    def load(self, labels, report):
        return {}

    def prefill(self, turn):
        if self._does == "raises in a hint":
            raise ValueError(turn.child)

    def submit(self, request_id, turn):
        self._turn, self.busy = turn, True

    def cancel(self, request_id):
        if self._does == "raises in cancelling":
            raise ValueError(self._turn.child)

    def step(self):
        words = self._turn.child + self._turn.reply
        if self._does == "raises":
            try:
                raise KeyError(words)
            except KeyError as error:
                raise ValueError(f"cannot read {words}") from error
        if self._does == "raises what no one catches":
            raise KeyboardInterrupt(words)
        if self._does == "exits with a text":
            sys.exit(words)
        if self._does == "raises in a thread":
            thread = threading.Thread(target=int, args=(words,))
            thread.start()
            thread.join()
        if self._does == "raises where nobody can":
            Unraisable(words)
        if self._does == "aborts":
            os.abort()
        if self._does == "segfaults":
            ctypes.memset(0, ord(words[0]), len(words))
        if self._does == "raises in cancelling":
            raise ValueError(words)
        raise ValueError(words)

    def status(self):
        return {}

    def close(self):
        raise ValueError(self._turn.child if self._turn else "")


class Unraisable:
    def __init__(self, words):
        self._words = words

    def __del__(self):
        raise ValueError(self._words)
