"""A chat format for servers that make the tokens themselves: a prompt's text, and answers as words.

Has what ``prompt.Prompt`` uses of ``chat.Chat``. Its ids are a text's characters, which only
measure its length; no model ever reads them.
"""

# Characters that a token has at least, in the languages of this robot: texts are cut by this.
_CHARACTERS = 2


class TextChat:
    """One user message as text.

    Args:
        coded: answer with single letters, each of which is one token for every known model;
            else with the labels' names.
    """

    def __init__(self, *, coded: bool) -> None:
        self._coded = coded
        self._words: dict[str, int] = {}

    def opening(self, content: str) -> list[int]:
        """Return the characters of the message's beginning."""
        return list(map(ord, content))

    def following(self, content: str) -> list[int]:
        """Return the characters of what follows."""
        return list(map(ord, content))

    def closing(self, answer: str) -> list[int]:
        """Return nothing: the server closes the message."""
        return []

    def first_token(self, answer: str, word: str) -> int | None:
        """Return a number that stands for the word; None where only letters may answer."""
        if self._coded and len(word) > 1:
            return None
        return self._words.setdefault(word, len(self._words))

    def cut(self, text: str, tokens: int, *, tail: bool = False) -> str:
        """Return the first (or last) whole words that surely fit into so many tokens."""
        most = tokens * _CHARACTERS
        if len(text) <= most:
            return text
        if most < 1:
            return ""
        if tail:
            kept = text[-most:]
            _, space, words = kept.partition(" ")
        else:
            kept = text[:most]
            words, space, _ = kept.rpartition(" ")
        return (words if space and words else kept).strip()
