"""Reads the messages of some topics out of a rosbag2, MCAP or sqlite3. Needs no ROS installation.

Only the types of the wanted topics are looked at: what else a robot recorded may be of types that
cannot be read here, such as the events of services.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pika_emotion import resources
from pika_emotion.errors import BagError, PikaEmotionError, lacks

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_OWN_TYPES = ("EmotionTag", "Utterance")
_IDL_PART = "=" * 80 + "\n"  # parts a definition's IDL files, each after a line with its name


class BagReader:
    """An open bag; use it as a context manager.

    Args:
        path: the bag's folder, or its .mcap or .db3 file.

    Raises:
        BagError: the bag is missing or damaged, or the library that reads it is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.rosbag2 import Reader
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise BagError(lacks("reading bags", str(error.name), "replay")) from error
        if not path.exists():
            raise BagError(
                f"bag '{path}' not found; give a rosbag2 folder, or an .mcap or .db3 file"
            )
        self.path = path
        with reading(path):
            self._reader = Reader(path)
        # A bag's own definition of a type counts; these are for bags that were made without them.
        self._known = get_typestore(Stores.ROS2_JAZZY)
        for name in _OWN_TYPES:
            text = resources.find(f"msg/{name}.msg").read_text(encoding="utf-8")
            self._known.register(get_types_from_msg(text, f"pika_emotion/msg/{name}"))
        self._stores: dict[str, Typestore] = {}

    def __enter__(self) -> "BagReader":
        with reading(self.path):
            self._reader.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def messages_by_topic(self) -> dict[str, int]:
        """How many messages each topic has, by name."""
        counts: dict[str, int] = {}
        for connection in sorted(self._reader.connections, key=lambda each: each.topic):
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        return counts

    @property
    def start_ns(self) -> int:
        """When its first message was recorded, since 1970."""
        return self._reader.start_time

    @property
    def duration_s(self) -> float:
        """From its first message to its last."""
        return max(0.0, self._reader.duration / 1e9)

    def topics_of_type(self, type_name: str) -> list[str]:
        """Return the names of the topics of a message type, sorted."""
        return sorted({c.topic for c in self._reader.connections if c.msgtype == type_name})

    def require(self, topics: Iterable[str]) -> None:
        """Do nothing if the bag has each of these topics.

        Raises:
            BagError: it lacks one; names those that it has.
        """
        there = self.messages_by_topic
        for topic in topics:
            if topic not in there:
                raise BagError(
                    f"bag '{self.path}' has no topic '{topic}' (it has "
                    f"{', '.join(there) or 'none'}); "
                    "name yours with --transcript-topic and --reply-topic"
                )

    def messages(self, topics: Iterable[str]) -> Iterator[tuple[int, str, str, Any]]:
        """Yield time (nanoseconds since 1970), topic, type and message, in the order of time.

        Raises:
            BagError: the bag is damaged, or nothing says how a topic's type is built.
        """
        wanted = set(topics)
        connections = [each for each in self._reader.connections if each.topic in wanted]
        with reading(self.path):
            for connection in connections:
                self._learn(connection)
            # Asked for nothing, the library reads all.
            found = self._reader.messages(connections) if connections else ()
            for connection, at_ns, data in found:
                store = self._stores[connection.msgtype]
                message = store.deserialize_cdr(data, connection.msgtype)
                yield at_ns, connection.topic, connection.msgtype, message

    def _learn(self, connection: "Connection") -> None:
        """Note how a connection's type is built, by the bag's own definition where it has one."""
        from rosbags.interfaces import MessageDefinitionFormat
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        name, definition = connection.msgtype, connection.msgdef
        if name in self._stores:
            return
        if definition.format == MessageDefinitionFormat.NONE:
            self._stores[name] = self._known
            return
        store = get_typestore(Stores.EMPTY)
        if definition.data.startswith(f"{_IDL_PART}IDL: "):
            for part in definition.data.split(_IDL_PART)[1:]:
                store.register(get_types_from_idl(part.partition("\n")[2]))
        else:
            store.register(get_types_from_msg(definition.data, name))
        self._stores[name] = store


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what rosbags raises for a damaged bag into a ``BagError`` that names the bag."""
    try:
        yield
    except PikaEmotionError:
        raise
    except Exception as error:
        # rosbags raises errors of many libraries (MCAP, sqlite3, zstd) for a damaged file.
        raise BagError(
            f"bag '{path}' cannot be read ({type(error).__name__}: {error}); "
            "record it again, or mend it with 'ros2 bag reindex'"
        ) from error
