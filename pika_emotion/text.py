"""The one place where raw text becomes the text that taggers read."""

import unicodedata

CHILD_CHARS = 400
REPLY_HEAD_CHARS = 900
REPLY_TAIL_CHARS = 300

# Composing can make a text shorter, never longer than this many times (Unicode TR15: at most 3).
_SLACK = 4
_GAP = " … "


def clean(text: str) -> str:
    """Return the text in Unicode NFC, control characters and runs of space as one space.

    Lone surrogates (broken UTF-8) go too. Emoji joiners and the like stay.
    """
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    return " ".join(unicodedata.normalize("NFC", spaced).split())


def clean_child(text: str) -> str:
    """Clean the child's words and keep the first 400 characters."""
    return clean(text[: CHILD_CHARS * _SLACK])[:CHILD_CHARS].rstrip()


def clean_reply(text: str) -> str:
    """Clean a reply; of a long one keep the head (900 characters) and the tail (300).

    The opening reaction and the closing words carry the feeling; a megabyte costs no more time
    than a page, because what lies between is never looked at.
    """
    if len(text) > (REPLY_HEAD_CHARS + REPLY_TAIL_CHARS) * _SLACK:
        text = text[: REPLY_HEAD_CHARS * _SLACK] + " " + text[-REPLY_TAIL_CHARS * _SLACK :]
    text = clean(text)
    if len(text) <= REPLY_HEAD_CHARS + REPLY_TAIL_CHARS + len(_GAP):
        return text
    return text[:REPLY_HEAD_CHARS].rstrip() + _GAP + text[-REPLY_TAIL_CHARS:].lstrip()
