"""Loads the vLLM tagger and asks it, on a network where nobody answers; tells what it did there.

    unshare --net --mount --uts sh alone.sh PYTHON alone.py MODEL WORKER_PYTHON

Prints JSON: the sockets of the worker that are not on the loopback device, and the packets that
were sent to the network before and after one that is sent on purpose.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path

from pika_emotion import taggers
from pika_emotion.dialogue import Turn
from pika_emotion.labels import load_labels

LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def sent():
    """Packets sent on all interfaces but the loopback."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    devices = {name.strip(): line.split() for name, _, line in (x.partition(":") for x in lines)}
    return sum(int(fields[9]) for name, fields in devices.items() if name != "lo")


def outside(pid):
    """The worker's internet sockets whose own address is not the loopback's."""
    own = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            address = fields[1].partition(":")[0]
            if f"socket:[{fields[9]}]" in own and address not in LOOPBACK:
                found.append(f"{kind} {fields[1]} {fields[2]}")
    return found


def main():
    labels, (model, python) = load_labels(), sys.argv[1:]
    settings = [
        f"vllm.model={model}", f"vllm.python={python}", "vllm.enforce_eager=true",
        "vllm.kv_cache_mb=64", "vllm.dtype=float32", "vllm.block_size=32",
    ]  # fmt: skip
    tagger = taggers.create("vllm", labels, taggers.settings_from_text("vllm", settings))
    tagger.load()
    tagger.tag(Turn("Ready?", "xylophonecanary", "Go!"), time.monotonic() + 60)
    sockets = outside(int(tagger.describe()["worker pid"]))
    before = sent()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.sendto(b"x", ("10.9.9.9", 9))
    end = time.monotonic() + 20
    while sent() == before and time.monotonic() < end:
        time.sleep(0.05)
    print(json.dumps({"sockets": sockets, "sent": before, "sent_on_purpose": sent() - before}))
    tagger.close()


if __name__ == "__main__":
    main()
