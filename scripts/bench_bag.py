"""Measures ``pika-emotion bag`` on long bags: time and peak memory of each subcommand.

Writes bags of the given numbers of messages into a temporary folder: a third each transcripts,
replies and tags. Usage: scripts/in_env.sh python scripts/bench_bag.py [MESSAGES …]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from pika_emotion import resources
from pika_emotion.labels import load_labels

START_NS = 1_760_000_000 * 1_000_000_000
MS = 1_000_000
STRING, TAG = "std_msgs/msg/String", "pika_emotion/msg/EmotionTag"
TOPICS = {"/child/transcript": STRING, "/pika/reply": STRING, "/emotion_tag": TAG}
# In a process of its own, whose peak is that of the command alone.
RUN = """
import re, sys
from pika_emotion.cli import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(int(peak) / 1024, file=sys.stderr)
sys.exit(code)
"""


def write_bag(bag: Path, messages: int, plugin: StoragePlugin) -> None:
    """Write a bag of a conversation in which somebody speaks every 4 seconds."""
    store = get_typestore(Stores.ROS2_JAZZY)
    definition = resources.find("msg/EmotionTag.msg").read_text(encoding="utf-8")
    store.register(get_types_from_msg(definition, TAG))
    names = load_labels().names
    random = np.random.default_rng(0)
    with Writer(bag, version=9, storage_plugin=plugin) as writer:
        topics = {t: writer.add_connection(t, k, typestore=store) for t, k in TOPICS.items()}

        def write(topic: str, at_ns: int, message: Any) -> None:
            data = store.serialize_cdr(message, TOPICS[topic])
            writer.write(topics[topic], at_ns, bytes(data))

        for n in range(messages // 3):
            at_ns = START_NS + n * 8_000 * MS
            latency_ns = int(random.gamma(4, 5) * MS)
            write("/child/transcript", at_ns, store.types[STRING](f"number {n}"))
            write("/pika/reply", at_ns + 4_000 * MS, store.types[STRING](f"Yes! It is {n}."))
            tag = _tag(store, n + 1, names, int(random.integers(len(names))), latency_ns)
            write("/emotion_tag", at_ns + 4_000 * MS + latency_ns, tag)


def _tag(store: Any, seq: int, names: tuple[str, ...], best: int, latency_ns: int) -> Any:
    scores = np.full(len(names), 0.5 / len(names), np.float32)
    scores[best] += 0.5
    stamp = store.types["builtin_interfaces/msg/Time"](0, 0)
    return store.types[TAG](
        header=store.types["std_msgs/msg/Header"](stamp, ""),
        seq=seq,
        reply_id="",
        emotion=names[best],
        confidence=float(scores[best]),
        celebrate=seq % 5 == 0,
        celebrate_probability=0.9 if seq % 5 == 0 else 0.1,
        labels=list(names),
        scores=scores,
        valence=0.0,
        arousal=0.5,
        tagger="vllm",
        source=1 if seq % 50 else 3,
        latency=store.types["builtin_interfaces/msg/Duration"](0, latency_ns),
    )


def measure(*arguments: str | Path) -> tuple[float, float]:
    """Run a subcommand; return its time in s and its peak memory in MiB."""
    started = time.monotonic()
    command = [sys.executable, "-c", RUN, "bag", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - started, float(done.stderr.split()[-1])


def main() -> None:
    """Print a line for each bag and subcommand."""
    for messages in map(int, sys.argv[1:] or ("1000", "100000", "1000000")):
        for plugin in StoragePlugin:
            with tempfile.TemporaryDirectory() as folder:
                bag, out, truth = (Path(folder) / n for n in ("bag", "turns.tsv", "truth.tsv"))
                write_bag(bag, messages, plugin)
                first = ["\tnumber 0\tYes! It is 0.\thappy\tyes"]
                truth.write_text(
                    "\n".join(["question\tchild\treply\temotions\tcelebrate", *first]) + "\n"
                )
                for arguments in (
                    ("stats", bag),
                    ("export", bag, "--out", out),
                    ("compare", bag, bag),
                    ("evaluate", bag, "--truth", truth),
                ):
                    time_s, peak_mib = measure(*arguments)
                    print(
                        f"{messages:>8} messages  {plugin.name.lower():<8} {arguments[0]:<9}"
                        f"{time_s:>7.1f} s {peak_mib:>7.0f} MiB",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
