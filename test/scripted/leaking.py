"""A tagger that says and keeps what it was told, in every way that the privacy tests search."""

import base64
import json
import tempfile
import threading
from pathlib import Path

from pika_emotion.errors import TaggerError
from pika_emotion.parameters import Parameter

PARAMETERS = (Parameter("leaking.to", "error", "where the words go"),)


def create(labels, settings):
    return Leaking(settings["leaking.to"])


class Leaking:
    name = "leaking"

    def __init__(self, to):
        self._to = to

    def load(self):
        pass

    def prefill(self, turn):
        pass

    def tag(self, turn, deadline):
        if self._to == "print":
            print(json.dumps(turn.child), flush=True)
        if self._to == "file":
            Path.home().joinpath("seen").write_bytes(base64.b64encode(turn.child.encode("utf-16")))
        if self._to == "temporary file":
            with tempfile.NamedTemporaryFile(delete=False) as file:
                file.write(repr(turn.child.encode()).encode())
        if self._to == "file name":
            Path(tempfile.gettempdir(), turn.child.replace(" ", "%20")).touch()
        if self._to == "thread name":
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(turn.child)
        raise TaggerError(turn.child if self._to == "error" else "no answer; ask another tagger")

    def describe(self):
        return {}

    def close(self):
        pass
