"""The one place where raw text becomes the text that taggers read."""

import re
import unicodedata

CHILD_CHARS = 400
REPLY_HEAD_CHARS = 900
REPLY_TAIL_CHARS = 300

# Composing can make a text shorter, never longer than this many times (Unicode TR15: at most 3).
_SLACK = 4
_GAP = " … "

# What nobody sees: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), but for the
# two selectors that say how an emoji looks. Direction marks and hidden tag letters are among them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# A joiner is seen between pictures alone, as in 👩‍🚀.
_PICTURE = "\u2194\u2195\u2600-\u27bf\u2b1b\U0001f000-\U0001faff"
_USELESS_JOINER = re.compile(f"(?<![{_PICTURE}\ufe0f])\u200d|\u200d(?![{_PICTURE}])")

# What must not stand where a text was cut: a space, a joiner that lost a picture.
_TORN = " \u200d"


def clean(text: str) -> str:
    """Return the text in Unicode NFC, control characters and runs of space as one space.

    Lone surrogates (broken UTF-8) and what nobody sees go too; the joiners within emoji stay.
    """
    text = _USELESS_JOINER.sub("", _INVISIBLE.sub("", text))
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    return " ".join(unicodedata.normalize("NFC", spaced).split())


def clean_child(text: str) -> str:
    """Clean the child's words and keep the first 400 characters."""
    return clean(text[: CHILD_CHARS * _SLACK])[:CHILD_CHARS].rstrip(_TORN)


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
    head, tail = text[:REPLY_HEAD_CHARS], text[-REPLY_TAIL_CHARS:]
    return head.rstrip(_TORN) + _GAP + tail.lstrip(_TORN)
