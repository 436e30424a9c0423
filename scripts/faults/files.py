"""Faults of what the node reads and writes: model, parameters, labels, a full disk."""

import contextlib
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from primaries import Play, scripted
from scene import PATIENCE_S, NotRunError, Stage, send

from pika_emotion import model, resources
from pika_emotion.errors import ModelError

FLIPS = 200
DISK = "1m"


def damaged_at_load(stage: Stage, damage: bytes) -> None:
    """Configure a node with a damaged reflex: it must refuse it, and say why."""
    path = stage.folder / "reflex.npz"
    path.write_bytes(damage)
    node = stage.start({"tagger": "reflex", "reflex.model": str(path)})
    try:
        code = node.process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        code = None
    node.close()
    said = f"configure failed: model file '{path}' is damaged"
    stage.check(code == 1, f"exit code 1; it is {code}")
    stage.check(said in node.output, "the log names the file and says that it is damaged")
    stage.check("Traceback" not in node.output, "no traceback in the node's output")


def model_truncated(stage: Stage) -> None:
    """Half of the file is there."""
    whole = _reflex().read_bytes()
    damaged_at_load(stage, whole[: len(whole) // 2])


def model_flipped(stage: Stage) -> None:
    """One bit is another; many others are tried on the reader alone."""
    whole = _reflex().read_bytes()
    damaged_at_load(stage, _flipped(whole, 8 * (len(whole) // 2)))
    path = stage.folder / "flipped.npz"
    sound, draw = model.load(_reflex()), random.Random(1)
    # The bytes that say what is where are few among millions: as many flips as elsewhere.
    for number in range(FLIPS):
        first = number % 2 * max(0, len(whole) - 4096)
        path.write_bytes(_flipped(whole, draw.randrange(8 * first, 8 * len(whole))))
        with contextlib.suppress(ModelError):
            read = model.load(path)
            same = np.array_equal(read.table, sound.table) and read.card == sound.card
            stage.check(same, "a flip that is not refused changes nothing that is used")


def model_replaced(stage: Stage) -> None:
    """The file that a running node has loaded is cut and turned over."""
    path = stage.folder / "reflex.npz"
    shutil.copy(_reflex(), path)
    whole = path.read_bytes()
    params = {"tagger": "reflex", "reflex.model": str(path)}
    with stage.meet(params) as scene, scene.talk():
        for _ in scene.hits():
            with scene.fault(), path.open("r+b") as file:
                file.write(bytes(255 - byte for byte in whole[: len(whole) // 2]))
                file.truncate()
                scene.hold()
            path.write_bytes(whole)


def parameters_replaced(stage: Stage) -> None:
    """The files that a running node was started with become unreadable, then are removed."""
    labels, path = stage.folder / "labels.yaml", stage.folder / "params.yaml"
    shutil.copy(resources.find("config/labels.yaml"), labels)
    path.write_text(
        f"/**:\n  ros__parameters:\n    tagger: reflex\n    labels_file: {labels}\n",
        encoding="utf-8",
    )
    with stage.meet({}, "--params-file", str(path)) as scene, scene.talk():
        for _ in scene.hits():
            with scene.fault():
                for file in (labels, path):
                    file.write_text("/**: [", encoding="utf-8")
                scene.hold()
                for file in (labels, path):
                    file.unlink(missing_ok=True)


def disk_full(stage: Stage) -> None:
    """All that the node may write to is full; its worker has to start there."""
    with small_disk(stage.folder / "disk") as disk:
        environment = dict.fromkeys(("ROS_LOG_DIR", "TMPDIR", "HOME", "XDG_CACHE_HOME"), str(disk))
        options = {"environment": environment, "log_level": "debug"}
        params = scripted("answers", worker=True)
        with stage.meet(params, **options) as scene, scene.talk():
            for _ in scene.hits():
                with scene.fault():
                    fill(disk / "filler")
                    send([scene.worker()], signal.SIGKILL)
                    scene.hold()
                    (disk / "filler").unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small file system of our own.

    Raises:
        NotRunError: this user may not.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "faults", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRunError("needs a user who may mount a tmpfs (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until nothing more can be written."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def _reflex() -> Path:
    return resources.find("resource/reflex.npz")


def _flipped(whole: bytes, bit: int) -> bytes:
    byte = whole[bit // 8] ^ (1 << bit % 8)
    return whole[: bit // 8] + bytes([byte]) + whole[bit // 8 + 1 :]


PLAYS: dict[str, Play] = {
    "file: model truncated": model_truncated,
    "file: model bit-flipped": model_flipped,
    "file: model replaced while running": model_replaced,
    "file: parameters replaced while running": parameters_replaced,
    "file: disk full": disk_full,
}
