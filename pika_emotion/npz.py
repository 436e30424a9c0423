"""Named arrays out of an ``.npz`` file that nobody vouches for.

Sizes and types are checked before anything is unpacked, and nothing is ever unpickled.
"""

import hashlib
import io
import math
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion import files

Array = npt.NDArray[Any]
# The one that ``numpy.savez`` writes for arrays of plain numbers.
_VERSION = (1, 0)
# Those of ``numpy.savez`` and ``savez_compressed``; the others cannot be unpacked a part at a time.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(file: Path, types: Mapping[str, npt.DTypeLike], most_bytes: int) -> dict[str, Array]:
    """Return the named arrays; others in the file are not looked at.

    Args:
        file: the file.
        types: the type that each array must have.
        most_bytes: what the file, and its unpacked arrays together, may be large.

    Raises:
        OSError: the file cannot be read, or is larger.
        KeyError: an array is missing.
        ValueError: an array has another type, another length than its header says, is larger, or
            is packed in another way than numpy's.
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError: the archive is damaged.
    """
    found, left = {}, most_bytes
    with zipfile.ZipFile(io.BytesIO(files.read_bytes(file, most_bytes))) as archive:
        for name, kind in types.items():
            entry = archive.getinfo(f"{name}.npy")
            left -= entry.file_size
            if left < 0:
                raise ValueError(
                    f"array '{name}' unpacks to {entry.file_size} bytes, which is more than the "
                    f"{most_bytes >> 20} MiB for all of them"
                )
            found[name] = _array(name, _unpacked(archive, entry), np.dtype(kind))
    return found


def digest(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of names, types, shapes and values, in hexadecimal."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        shape = ",".join(map(str, array.shape))
        whole.update(f"{name} {array.dtype.str} {shape}\n".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return what the archive says that the entry holds; no more is unpacked, whatever there is."""
    if entry.compress_type not in _PACKINGS:
        raise ValueError(f"'{entry.filename}' is packed in another way than numpy's")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size)


def _array(name: str, data: bytes, kind: "np.dtype[Any]") -> Array:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != _VERSION:
        raise ValueError(f"array '{name}' has version {version} where {_VERSION} fits")
    try:
        shape, columns_first, found = np.lib.format.read_array_header_1_0(stream)
    except (SyntaxError, TypeError, MemoryError, tokenize.TokenError) as error:
        raise ValueError(f"array '{name}' has a header that is no description") from error
    if found != kind:
        raise ValueError(f"array '{name}' has type {found} where {kind} fits")
    start = stream.tell()
    # numpy makes room for what the header says, however little follows it.
    if min(shape, default=0) < 0 or math.prod(shape) * found.itemsize != len(data) - start:
        raise ValueError(f"array '{name}' is not as long as its header says")
    return np.array(np.ndarray(shape, found, data, start, order="F" if columns_first else "C"))
