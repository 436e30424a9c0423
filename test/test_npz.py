"""Archives of arrays that lie, swell or carry code: told before anything is unpacked."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from pika_emotion import npz

TYPES = {"a": np.float32, "b": np.int8}
MOST = 1 << 20


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.npz"


def header(shape, kind="<f4", magic=b"\x93NUMPY\x01\x00"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(magic) + 2 + len(text) + 1) % 64) + "\n"
    return magic + len(text).to_bytes(2, "little") + text.encode()


def write(file, packing=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def plain(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([-1, 1], np.int8)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_was_saved_is_read(file, packing):
    write(file, packing, a=plain(np.asfortranarray(A)), b=plain(B), c=plain(B))
    found = npz.read(file, TYPES, MOST)
    assert found.keys() == TYPES.keys()
    for array, wanted in zip(found.values(), (A, B), strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.dtype == wanted.dtype
        array[0] = 0  # it is the reader's own


def test_a_missing_array_is_named(file):
    write(file, a=plain(A))
    with pytest.raises(KeyError, match=r"b\.npy"):
        npz.read(file, TYPES, MOST)


class Bomb:
    """Says so where it is unpickled."""

    unpickled = False

    def __reduce__(self):
        return (setattr, (Bomb, "unpickled", True))


def test_nothing_is_unpickled(file):
    assert pickle.loads(pickle.dumps(Bomb())) is None
    assert Bomb.unpickled, "the test's own bomb does not work"
    Bomb.unpickled = False
    np.savez(file, a=np.array([Bomb()], dtype=object), b=B)
    with pytest.raises(ValueError, match="array 'a' has type object where float32 fits"):
        npz.read(file, TYPES, MOST)
    assert not Bomb.unpickled


def test_a_swelling_archive_is_not_unpacked(file):
    write(file, zipfile.ZIP_DEFLATED, a=header((MOST,)) + bytes(4 * MOST), b=plain(B))
    assert file.stat().st_size < MOST // 50
    with pytest.raises(ValueError, match=r"array 'a' unpacks to \d+ bytes, which is more than"):
        npz.read(file, TYPES, MOST)


def test_arrays_are_bounded_together(file):
    half = header((MOST // 6,)) + bytes(4 * (MOST // 6))
    write(file, zipfile.ZIP_DEFLATED, a=half, b=half)
    with pytest.raises(ValueError, match=r"array 'b' unpacks to"):
        npz.read(file, {"a": np.float32, "b": np.float32}, MOST)


def test_a_size_that_lies_yields_no_more_than_it_says(file):
    write(file, zipfile.ZIP_DEFLATED, a=header((MOST,)) + bytes(4 * MOST), b=plain(B))
    whole = file.read_bytes()
    sizes = (4 * MOST + len(header((MOST,)))).to_bytes(4, "little")
    assert whole.count(sizes) == 2  # beside the member and in the directory
    file.write_bytes(whole.replace(sizes, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, zipfile.BadZipFile)):
            npz.read(file, TYPES, MOST)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * MOST, "more was unpacked than was said"  # the file itself is read whole


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_by_parts_is_refused(file, packing):
    write(file, packing, a=plain(A), b=plain(B))
    with pytest.raises(ValueError, match="another way"):
        npz.read(file, TYPES, MOST)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (header((1 << 40,)) + bytes(8), "'a' is not as long as its header says"),
        (header((-2, -3)) + bytes(24), "'a' is not as long as its header says"),
        (plain(A)[:-1], "'a' is not as long as its header says"),
        (plain(A) + b"\0", "'a' is not as long as its header says"),
        (plain(A.astype(np.float64)), "'a' has type float64 where float32 fits"),
        (plain(A.astype(">f4")), "'a' has type >f4 where float32 fits"),
        (header((2,), magic=b"\x93NUMPY\x09\x00"), r"'a' has version \(9, 0\) where \(1, 0\) fits"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "malformed"),
        (b"\x93NUMPY\x01\x00\x08\x00{'a': ( ", "'a' has a header that is no description"),
        (b"\x93NUMPY\x01\x00\x06\x00  a\n b", "'a' has a header that is no description"),
        (b"\x93NUMPY\x01\x00\x08\x00{[]: 1} ", "'a' has a header that is no description"),
        (b"", "magic"),
    ],
)
def test_a_header_that_lies_is_told(file, content, match):
    write(file, a=content, b=plain(B))
    with pytest.raises(ValueError, match=match):
        npz.read(file, TYPES, MOST)


def test_the_digest_tells_names_types_shapes_and_values():
    told = {
        npz.digest({"a": A}),
        npz.digest({"b": A}),
        npz.digest({"a": A.reshape(3, 2)}),
        npz.digest({"a": A.astype(np.float64)}),
        npz.digest({"a": A + 1}),
        npz.digest({"a": A, "b": B}),
    }
    assert len(told) == 6
    assert npz.digest({"a": A, "b": B}) == npz.digest({"b": B, "a": np.asfortranarray(A)})
