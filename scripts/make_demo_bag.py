"""Makes the demo's bag (resource/demo/conversation, MCAP) from its readable text beside it.

Deterministic: the same text gives the same messages and times.
"""

import shutil
from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

DEMO = Path(__file__).resolve().parent.parent / "resource" / "demo"
TOPICS = {"child": "/child/transcript", "pika": "/pika/reply"}
START_NS = 1_760_000_000 * 1_000_000_000  # any day will do; a fixed one keeps the file the same


def main() -> None:
    """Write the bag anew."""
    lines = (DEMO / "conversation.tsv").read_text(encoding="utf-8").splitlines()
    header, *rows = (line.split("\t") for line in lines)
    bag = DEMO / "conversation"
    shutil.rmtree(bag, ignore_errors=True)
    store = get_typestore(Stores.ROS2_JAZZY)
    string = store.types["std_msgs/msg/String"]
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            who: writer.add_connection(topic, string.__msgtype__, typestore=store)
            for who, topic in TOPICS.items()
        }
        for row in rows:
            said = dict(zip(header, row, strict=True))
            data = store.serialize_cdr(string(said["text"]), string.__msgtype__)
            at_ns = START_NS + round(float(said["at_s"]) * 1e9)
            writer.write(connections[said["topic"]], at_ns, data)
    print(f"{len(rows)} messages in {bag}")


if __name__ == "__main__":
    main()
