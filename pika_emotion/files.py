"""Reads files that a user named: ordinary ones of a size that fits, whole or not at all.

A pipe or a device under such a name would be waited for, or read without end, while a node
configures; a file of gigabytes would be its end. Symbolic links are followed.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

# A text that people write: label file, prompt file, key, token.
TEXT_BYTES = 256 << 10
# A description that programs write: cards, a tokenizer's configuration.
JSON_BYTES = 16 << 20
# The tokenizer.json of the largest vocabularies has 40 MB.
TOKENIZER_BYTES = 128 << 20


def user_path(name: str | Path) -> Path:
    """Return the path that a user wrote; a ``~name`` that is nobody's stays as it is."""
    return Path(os.path.expanduser(name))  # Path.expanduser raises there


def open_plain(file: Path, most_bytes: int) -> BinaryIO:
    """Return a file opened to read.

    Raises:
        OSError: it cannot be read, is no ordinary file, or is larger than ``most_bytes``;
            ``strerror`` says which.
        ValueError: the name is no path.
    """
    # Opening a pipe to read would wait for somebody who writes.
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(number)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "Not an ordinary file", str(file))
        _check_size(file, found.st_size, most_bytes)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(file: Path, most_bytes: int) -> bytes:
    """Return a file's content.

    Raises:
        OSError, ValueError: as ``open_plain``.
    """
    with open_plain(file, most_bytes) as stream:
        content = stream.read(most_bytes + 1)
    _check_size(file, len(content), most_bytes)  # some files, such as those in /proc, tell none
    return content


def read_text(file: Path, most_bytes: int = TEXT_BYTES) -> str:
    """Return a UTF-8 file's text, its line ends as newlines.

    Raises:
        OSError: as ``open_plain``.
        ValueError: it is not UTF-8, or the name is no path.
    """
    text = read_bytes(file, most_bytes).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(file: Path, most_bytes: int = JSON_BYTES) -> Any:
    """Return what a JSON file holds.

    Raises:
        OSError: as ``open_plain``.
        ValueError: it is no JSON, not UTF-8, or nested too deeply; or the name is no path.
    """
    try:
        return json.loads(read_text(file, most_bytes))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _check_size(file: Path, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise OSError(errno.EFBIG, f"Larger than {most_bytes >> 10} KiB", str(file))
