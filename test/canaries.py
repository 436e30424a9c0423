"""Words that nobody would write by chance, and a search for them in whatever form they were kept.

A child or Pika says ``SPOKEN``; ``found`` tells which of the words a file, a log or a message has,
plain, escaped or encoded.
"""

import base64
import html
import json
import os
import re
import unicodedata
import urllib.parse
from pathlib import Path

# What is said, and the pieces of it that are searched for, each enough to betray it. The last one
# is split over several transcripts.
SPOKEN = {
    "xylophonecanary lives with me": ("xylophonecanary",),
    "con quờ quạng khuỷu nghễnh ngãng": ("khuỷu nghễnh", "ngãng"),
    "nhà con có 🦤🪗🫧 đó": ("🦤🪗", "🪗🫧"),
    'số nhà con là 70819264, "ngõ zumbelfratz"': ("70819264", "zumbelfratz"),
    "gorblimey": ("gorblimey",),
    "wuthering": ("wuthering",),
    "spindrift": ("spindrift",),
}
_SPELT = {
    word: re.sub(r"\s+", "", unicodedata.normalize("NFKD", word)).casefold()
    for words in SPOKEN.values()
    for word in words
}
# Larger files are what compilers made: searched for the words as they are, for time's sake.
_BIG = 16 << 20
_JSON = re.compile(r"\\+u([0-9a-fA-F]{4})")
_LONG = re.compile(r"\\+U([0-9a-fA-F]{8})")
_BYTE = re.compile(r"(?:\\+x[0-9a-fA-F]{2})+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")


def found(data):
    """The canaries in some bytes, or a text."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > _BIG:
        return sorted(word for word in _SPELT if any(form in data for form in _plain(word)))
    texts = list(_texts(data))
    for packed in _BASE64.findall(data):
        for shift in range(4):
            part = packed[shift:].translate(bytes.maketrans(b"-_", b"+/"))
            texts += _texts(base64.b64decode(part[: len(part) // 4 * 4]))
    for packed in _HEX.findall(data):
        for shift in range(2):
            part = packed[shift:]
            texts += _texts(bytes.fromhex(part[: len(part) // 2 * 2].decode()))
    return sorted({word for text in texts for word, spelt in _SPELT.items() if spelt in text})


def _plain(word):
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, word)
        yield from (text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
        yield json.dumps(text)[1:-1].encode()


def _texts(data):
    """The bytes as the texts that they may be, folded."""
    decoded = [data.decode("utf-8", "replace")]
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        decoded += [data[start:].decode(encoding, "ignore") for start in range(2)]
    plain = decoded[0]
    resolved = html.unescape(urllib.parse.unquote_plus(_unescaped(plain)))
    for text in (*decoded, resolved):
        yield re.sub(r"\s+", "", unicodedata.normalize("NFKD", text)).casefold()


def _unescaped(text):
    text = _LONG.sub(lambda match: chr(min(int(match[1], 16), 0x10FFFF)), text)
    text = _JSON.sub(lambda match: chr(int(match[1], 16)), text)
    text = _BYTE.sub(
        lambda match: bytes.fromhex(re.sub(r"\\+x", "", match[0])).decode("utf-8", "replace"), text
    )
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def found_in_files(folder):
    """The canaries in the names and contents of all files below a folder, by file."""
    leaks = {}
    for path in sorted(Path(folder).rglob("*")):
        words = found(str(path.relative_to(folder)))
        if path.is_file() and not path.is_symlink():
            words += found(path.read_bytes())
        if words:
            leaks[str(path)] = words
    return leaks


def family(pid):
    """The pids of a process and of all that it started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text(errors="replace").rsplit(")", 1)[1]
            except OSError:  # it has ended meanwhile
                continue
            parents[int(entry.name)] = int(after_name.split()[1])
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def found_in_processes(pid):
    """The canaries in the titles, arguments and environments of a process and its children."""
    leaks = {}
    for member in family(pid):
        for name in ("cmdline", "environ", "comm", *_threads(member)):
            try:
                words = found(Path(f"/proc/{member}/{name}").read_bytes())
            except OSError:
                continue
            if words:
                leaks[f"{member} {name}"] = words
    return leaks


def _threads(pid):
    try:
        return [f"task/{thread}/comm" for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


class Room:
    """Folders of a process's own: all that it writes by default lies below ``folder``."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        for variable, name in {
            "HOME": "home", "TMPDIR": "tmp", "ROS_LOG_DIR": "ros", "ROS_HOME": "roshome",
            "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data",
            "MPLCONFIGDIR": "matplotlib", "HF_HOME": "hub",
        }.items():  # fmt: skip
            (folder / name).mkdir()
            monkeypatch.setenv(variable, str(folder / name))
        (folder / "work").mkdir()
        monkeypatch.chdir(folder / "work")  # where a core file would be

    def leaks(self):
        return found_in_files(self.folder)
