"""A model's chat format as token ids, in which nobody's words can open or close a role.

Works with any tokenizer of the transformers library that has a ``tokenizer.json`` and a chat
template; knows none of them by name.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pika_emotion.errors import PromptError

# Letters and digits that no template trims or changes.
_MARK = "Qx7Zk"
_MARKED_LINE = "a\n"


class ChatFormat(Protocol):
    """What a prompt is made with: ``Chat``, or ``text_chat.TextChat`` where there are no ids."""

    def opening(self, content: str) -> list[int]:
        """Return the ids of the message's beginning."""

    def following(self, content: str) -> list[int]:
        """Return the ids of text that stands after a line feed in the message."""

    def closing(self, answer: str) -> list[int]:
        """Return the ids of the message's end and of how the model's answer begins."""

    def first_token(self, answer: str, word: str) -> int | None:
        """Return the token with which a word begins after an answer's beginning."""

    def cut(self, text: str, tokens: int, *, tail: bool = False) -> str:
        """Return the text's first (or last) so many tokens."""


class Chat:
    """One user message of changing text between a template's fixed head and tail.

    A text's token ids are those that the chat template itself gives for the same message, except
    that a special token written in a text stays the plain text that it is.

    Args:
        tokenizer: a fast tokenizer of the transformers library.
        options: passed to the chat template.

    Raises:
        PromptError: the tokenizer has no chat template or no plain form.
    """

    def __init__(self, tokenizer: Any, options: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        self._options = dict(options or {})
        self.special = self._special_tokens()
        self._plain = self._plain_tokenizer()
        head, self._tail = self._template()
        self._head, self._residue = self._split_head(head)
        self._head_ids = self._full(self._head)
        self._line_ids = self._encode(_MARKED_LINE)
        self._check_specials()

    def opening(self, content: str) -> list[int]:
        """Return the ids of the message's beginning: the head, and the content's first lines.

        Args:
            content: ends with a line feed; what follows goes through ``following``.
        """
        return [*self._head_ids, *self._encode(self._residue + content)]

    def following(self, content: str) -> list[int]:
        """Return the ids of text that stands after a line feed in the message."""
        return self._encode(_MARKED_LINE + content)[len(self._line_ids) :]

    def closing(self, answer: str) -> list[int]:
        """Return the ids of the message's end and of how the model's answer begins."""
        return self._full(self._tail + answer)

    def first_token(self, answer: str, word: str) -> int | None:
        """Return the token with which a word begins after an answer's beginning.

        None where the tokenizer joins the two, so that no single token says it.
        """
        begun = self.closing(answer)
        whole = self.closing(f"{answer} {word}")
        if whole[: len(begun)] != begun or len(whole) == len(begun):
            return None
        return whole[len(begun)]

    def cut(self, text: str, tokens: int, *, tail: bool = False) -> str:
        """Return the text's first (or last) so many tokens, as whole words where it has them."""
        encoding = self._plain.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= tokens:
            return text
        if tokens < 1:
            return ""
        if tail:
            kept = text[encoding.offsets[-tokens][0] :]
            _, space, words = kept.partition(" ")
        else:
            kept = text[: encoding.offsets[tokens - 1][1]]
            words, space, _ = kept.rpartition(" ")
        return (words if space and words else kept).strip()

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def _full(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _special_tokens(self) -> dict[str, int]:
        """Return every token that is not plain text: special ones, and others that were added."""
        added = {str(token): int(i) for token, i in self._tokenizer.get_added_vocab().items()}
        ids = [int(i) for i in self._tokenizer.all_special_ids]
        named = dict(zip((str(t) for t in self._tokenizer.all_special_tokens), ids, strict=False))
        return {**added, **named}

    def _plain_tokenizer(self) -> Any:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise PromptError(
                f"tokenizer of '{self._name}' is not a fast one; use a model with a tokenizer.json"
            )
        import tokenizers

        description = json.loads(backend.to_str())
        description.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
        return tokenizers.Tokenizer.from_str(json.dumps(description))

    def _template(self) -> tuple[str, str]:
        if not getattr(self._tokenizer, "chat_template", None):
            raise PromptError(
                f"model '{self._name}' has no chat template; use an instruct or chat model"
            )
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": _MARK}],
            tokenize=False,
            add_generation_prompt=True,
            **self._options,
        )
        head, mark, tail = str(text).partition(_MARK)
        if not mark:
            raise PromptError(
                f"chat template of '{self._name}' leaves the user's message out; "
                "use a model whose template has a user role"
            )
        return head, tail

    def _split_head(self, head: str) -> tuple[str, str]:
        """Split after the last special token: the rest is tokenized with the text after it."""
        end = max((head.rfind(t) + len(t) for t in self.special if t in head), default=0)
        residue = head[end:]
        last = next((t for t in self.special if head[:end].endswith(t)), None)
        decoder = getattr(self._tokenizer, "added_tokens_decoder", {})
        token = decoder.get(self.special[last]) if last is not None else None
        if token is not None and getattr(token, "rstrip", False):
            residue = residue.lstrip()
        return head[:end], residue

    def _check_specials(self) -> None:
        taken = set(self.special.values())
        for token in self.special:
            if taken.intersection(self.following(f"a {token} b{token}")):
                raise PromptError(
                    f"tokenizer of '{self._name}' turns the text '{token}' into a special token, "
                    "so that anybody's words could open a role; use another model"
                )


def check_joints(chat: ChatFormat, parts: Sequence[str]) -> bool:
    """Whether lines tokenized one by one give the ids of the whole text."""
    whole = chat.opening("".join(parts))
    first, *others = parts
    return whole == [*chat.opening(first), *(i for part in others for i in chat.following(part))]
