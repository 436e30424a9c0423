"""A checkpoint's own tokenizer and chat template, without the transformers library.

Offers what ``chat.Chat`` uses of a tokenizer of that library, and gives the same token ids.
"""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pika_emotion.errors import PromptError
from pika_emotion.files import TOKENIZER_BYTES, read_json, read_text, user_path

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


class Tokenizer:
    """Reads a checkpoint's folder: ``tokenizer.json``, its configuration and its chat template.

    Args:
        folder: of the checkpoint; its weights are not needed.

    Raises:
        PromptError: a file is missing or damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        import tokenizers

        self.name_or_path = str(folder)
        files = user_path(folder)
        config = _read_json(files / "tokenizer_config.json")
        try:
            # The library's own reading waits for a pipe, and holds Python's global lock meanwhile.
            text = read_text(files / "tokenizer.json", TOKENIZER_BYTES)
            self.backend_tokenizer = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises no narrower kind
            raise PromptError(
                f"tokenizer '{files / 'tokenizer.json'}' cannot be read; "
                "name the folder of a checkpoint that has one"
            ) from error
        # What the file says of these is for training; transformers ignores it for one text, too.
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.added_tokens_decoder = self.backend_tokenizer.get_added_tokens_decoder()
        try:
            self._special = {
                name: _text(config[name]) for name in _SPECIAL if config.get(name) is not None
            }
            self.chat_template = _template(files, config)
        except (AttributeError, KeyError, TypeError) as error:
            raise PromptError(
                f"'{files / 'tokenizer_config.json'}' is damaged ({type(error).__name__}); "
                "download or save the model again"
            ) from error

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Return a text's ids; special tokens in it become themselves."""
        ids: list[int] = self.backend_tokenizer.encode(
            text, add_special_tokens=add_special_tokens
        ).ids
        return ids

    def decode(self, token: int) -> str:
        """Return one token's text."""
        return str(self.backend_tokenizer.decode([token], skip_special_tokens=False))

    def get_added_vocab(self) -> dict[str, int]:
        """Return the tokens that are not of the plain vocabulary, and their ids."""
        return {token.content: i for i, token in self.added_tokens_decoder.items()}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that the vocabulary has, each once."""
        named = [*self._special.values(), *(t.content for t in self._added_special())]
        return [t for t in dict.fromkeys(named) if self._id(t) is not None]

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids, in the same order."""
        return [i for t in self.all_special_tokens if (i := self._id(t)) is not None]

    def apply_chat_template(
        self,
        messages: list[dict[str, str]],
        *,
        tokenize: bool = False,
        add_generation_prompt: bool = True,
        **options: Any,
    ) -> str:
        """Return the messages as the model's template writes them.

        Raises:
            PromptError: the template refuses them, or ids are asked for.
        """
        from jinja2.exceptions import TemplateError

        if tokenize:
            raise PromptError("this tokenizer gives a template's text; tokenize it with encode()")
        try:
            return str(
                _environment()
                .from_string(self.chat_template)
                .render(
                    messages=messages,
                    add_generation_prompt=add_generation_prompt,
                    **{**self._special, **options},
                )
            )
        except TemplateError as error:
            raise PromptError(
                f"chat template of '{self.name_or_path}' does not take a user's message "
                f"({type(error).__name__}); use another model"
            ) from error

    def _added_special(self) -> list[Any]:
        return [token for token in self.added_tokens_decoder.values() if token.special]

    def _id(self, token: str) -> int | None:
        found: int | None = self.backend_tokenizer.token_to_id(token)
        return found


def _environment() -> Any:
    """Return Jinja as transformers sets it up: a model's template is somebody else's program."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):  # type: ignore[misc]  # Jinja may be missing
        """Marks what a model wrote; of no use here, but templates have it."""

        tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = datetime.datetime.now().strftime
    return environment


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file, TOKENIZER_BYTES)
    except (OSError, ValueError) as error:
        raise PromptError(
            f"'{file}' cannot be read ({type(error).__name__}); "
            "name the folder of a checkpoint that has one"
        ) from error
    if not isinstance(found, dict):
        raise PromptError(f"'{file}' is not a JSON object; download or save the model again")
    return found


def _template(files: Path, config: Mapping[str, Any]) -> str:
    beside = files / "chat_template.jinja"
    if beside.is_file():
        try:
            return read_text(beside)
        except (OSError, ValueError) as error:
            raise PromptError(
                f"'{beside}' cannot be read ({type(error).__name__}); "
                "download or save the model again"
            ) from error
    found = config.get("chat_template") or ""
    if isinstance(found, list):  # several named ones
        found = next((one["template"] for one in found if one.get("name") == "default"), "")
    return str(found)


def _text(token: Any) -> str:
    """Return a token's text; the configuration may have it with its properties."""
    return str(token["content"] if isinstance(token, dict) else token)
