"""The HTTP tagger: a language model behind any server that speaks the OpenAI protocol.

What the server can do is found out by asking it at load. A server that is away, slow or wrong
costs a reply no more than its deadline, and is tried again by itself.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from pika_emotion import files
from pika_emotion.chat import Chat, ChatFormat
from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    ConfigError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerLoadingError,
    TaggerUnreachableError,
    lacks,
)
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import PromptText, load_prompt
from pika_emotion.tag import Tag
from pika_emotion.taggers.http_breaker import Breaker
from pika_emotion.taggers.http_client import Client, ServerBusyError
from pika_emotion.taggers.http_ways import (
    PROBE,
    Post,
    Prompts,
    Reading,
    Way,
    ask,
    find_model,
    find_way,
)
from pika_emotion.text_chat import TextChat

PARAMETERS = (
    Parameter("http.url", "http://127.0.0.1:8000/v1", "the server's address, up to the version"),
    Parameter("http.model", "", "the model's name there; empty where it has one only"),
    Parameter(
        "http.tokenizer", "",
        "folder with the model's tokenizer.json: prompts are sent as token ids; empty: as chat",
    ),
    Parameter("http.prompt_file", "", "what the model is told; empty for the package's own"),
    Parameter("http.api_key_file", "", "file that holds the server's key"),
    Parameter("http.api_key_env", "", "environment variable that holds the server's key"),
    Parameter("http.ca_file", "", "PEM file of who signed the server's certificate"),
    Parameter("http.allow_remote", False, "the server may be outside the local network"),
    Parameter("http.read_ahead", True, "let the server read the words before a reply at once"),
    Parameter(
        "http.max_turn_tokens", 512, "tokens of a turn's texts; longer ones are shortened",
        low=200, high=4096,
    ),
    Parameter(
        "http.block_tokens", 16, "tokens of a block of the server's prefix cache; vLLM's: 16",
        low=1, high=512,
    ),
    Parameter("http.max_replies", 4, "replies that the server is asked about at once",
              low=1, high=64),
    Parameter(
        "http.load_timeout_s", 60.0, "how long the server may take to show what it can do, s",
        low=1.0, high=3600.0,
    ),
)  # fmt: skip

# Two heads a reply, and the hint.
_CONNECTIONS = 3
_ATTEMPTS = 2
# A hint that takes longer is of no use, and would be the last one.
_HINT_S = 5.0


def create(labels: LabelSet, settings: Mapping[str, Any]) -> "HttpTagger":
    """Build the tagger, not loaded yet.

    Raises:
        ConfigError: a setting cannot work.
        PromptError: the prompt file is wrong.
    """
    text = load_prompt(settings["http.prompt_file"] or None)
    client = Client(  # last: it holds an open loop until it is closed
        settings["http.url"],
        key=_key(settings),
        ca_file=settings["http.ca_file"],
        connections=_CONNECTIONS * settings["http.max_replies"],
        allow_remote=settings["http.allow_remote"],
    )
    return HttpTagger(labels, settings, client, text)


def _key(settings: Mapping[str, Any]) -> str:
    """Return the server's key, which must never be shown."""
    file, variable = settings["http.api_key_file"], settings["http.api_key_env"]
    if file and variable:
        raise ConfigError("http.api_key_file and http.api_key_env are both set; empty one of them")
    if variable:
        key = os.environ.get(variable, "")
        if not key:
            raise ConfigError(f"http.api_key_env '{variable}' is not set; export it to the node")
        return _checked(key, f"http.api_key_env '{variable}'")
    if not file:
        return ""
    try:
        key = files.read_text(files.user_path(file))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"http.api_key_file '{file}' cannot be read; name a text file that holds the key"
        ) from error
    return _checked(key, f"http.api_key_file '{file}'")


def _checked(key: str, place: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"{place} holds no key that a header can carry; write the key alone")
    return key


class HttpTagger:
    """Asks a server.

    Args:
        labels: what is answered with.
        settings: the values of ``PARAMETERS``.
        client: speaks with the server; closed with the tagger.
        text: what the model is told.

    Attributes:
        on_change: called, from any thread, when the server turns out to have another model, or to
            be asked in another way, than before.
    """

    name = "http"

    def __init__(
        self, labels: LabelSet, settings: Mapping[str, Any], client: Client, text: PromptText
    ) -> None:
        self._labels = labels
        self._settings = settings
        self._client = client
        self._text = text
        self._prompts: Prompts | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._model = ""
        self._way: Way | None = None
        self._breaker = Breaker()
        self._asked = 0
        self._hint: Future[None] | None = None
        self._recovery: asyncio.Future[None] | None = None
        self._lock = threading.Lock()
        self._answers = 0
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def load(self) -> None:
        """Find out what the server can do; the connections are open afterwards.

        Raises:
            TaggerUnreachableError: the server does not serve now.
            TaggerError: it cannot be used as it is set.
            PromptError: the tokenizer cannot carry the prompt.
        """
        self._client.start()
        self._prompts = self._prompts or self._make_prompts()
        timeout_s = self._settings["http.load_timeout_s"]
        try:
            self._client.run(self._explore(), timeout_s)
        except TaggerLateError as error:
            raise TaggerUnreachableError(
                f"server '{self._client.url}' did not show what it can do in {timeout_s:g} s; "
                "see its log, or raise http.load_timeout_s"
            ) from error
        except TaggerBusyError as error:
            raise TaggerUnreachableError(f"{error}; ask it less, or later") from error
        except TaggerError as error:
            # What a server or a proxy before it answers can change at any time, as after the load.
            raise TaggerUnreachableError(str(error)) from error

    def prefill(self, turn: Turn) -> None:
        """Let the server read what is known, if it has nothing better to do."""
        way = self._way
        with self._lock:
            idle = not self._asked and (self._hint is None or self._hint.done())
        if way is None or not idle or self._breaker.open or not self._settings["http.read_ahead"]:
            return
        self._hint = self._client.schedule(self._read_ahead(way, turn))

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Ask the server and wait for its answer.

        Raises:
            TaggerLoadingError: nobody has found out yet what the server can do.
            TaggerBusyError: too many replies wait for it, or it says that it has too much to do.
            TaggerLateError: no answer by the deadline (``time.monotonic``, seconds).
            TaggerError: it failed, or its answer cannot be read.
            TagError: its answer is not a tag.
        """
        way = self._way
        if way is None:
            raise TaggerLoadingError(f"server '{self._client.url}' is not known yet; ask later")
        self._breaker.check()
        with self._lock:
            if self._asked >= self._settings["http.max_replies"]:
                raise TaggerBusyError(
                    f"{self._asked} replies wait for server '{self._client.url}'; "
                    "use a faster one, or raise http.max_replies"
                )
            self._asked += 1
        try:
            reading = self._client.run(self._ask(way, turn, deadline), deadline - time.monotonic())
        except TaggerLateError:
            with self._lock:
                self._counts["late"] += 1
            raise
        finally:
            with self._lock:
                self._asked -= 1
        with self._lock:
            self._answers += 1
            self._sums.update(reading.counts)
        return Tag(self._labels, tuple(reading.scores), reading.celebrate, self.name)

    def posts(self, turn: Turn) -> list[Post]:
        """Return what the server is asked about a turn; nothing before ``load``."""
        return [] if self._way is None else self._way.posts(turn)

    def describe(self) -> Mapping[str, str]:
        """Return the server, the way it is asked, and what its answers took on average."""
        told = {"server": self._client.url, "model": self._model or "not known yet"}
        way, prompts = self._way, self._prompts
        if way is not None and prompts is not None:
            prompt = prompts.ids or prompts.coded
            known = f"{self._model}\n{way.name}"
            told |= {
                "way": way.name,
                "confidence": "the model's" if way.confident else "unknown: the server tells none",
                "model_sha256": hashlib.sha256(known.encode()).hexdigest(),
                "prompt_sha256": prompt.digest,
            }
        if self._breaker.open:
            told["state"] = "left alone after failures; tried again by itself"
        with self._lock:
            told |= {f"{name} answers": str(count) for name, count in self._counts.items()}
            for name, total in self._sums.items():
                told[f"{name} per reply"] = f"{total / self._answers:.4g}"
        return told

    def close(self) -> None:
        """Close the connections."""
        self._way = None
        self._client.close()

    def _make_prompts(self) -> Prompts:
        folder = self._settings["http.tokenizer"]
        ids: Prompt | None = None
        decode: Callable[[int], str] = str
        if folder:
            from pika_emotion.tokenizer import Tokenizer

            try:
                tokenizer = Tokenizer(folder)
            except ImportError as error:
                raise TaggerError(lacks("http.tokenizer", str(error.name), "http")) from error
            ids = self._prompt(
                Chat(tokenizer, self._text.template), self._settings["http.block_tokens"]
            )
            decode = tokenizer.decode
        return Prompts(
            ids,
            decode,
            self._prompt(TextChat(coded=True)),
            self._prompt(TextChat(coded=False)),
            self._text.chat,
        )

    def _prompt(self, chat: ChatFormat, block: int = 1) -> Prompt:
        named = [(label.name, label.description) for label in self._labels]
        most = self._settings["http.max_turn_tokens"]
        return Prompt(chat, self._text, named, block=block, max_turn_tokens=most)

    # In the client's thread.

    async def _explore(self) -> None:
        assert self._prompts is not None
        model = await find_model(self._client, self._settings["http.model"])
        way = await find_way(self._client, self._prompts, model)
        await ask(self._client, way, PROBE)  # what is asked first takes longest
        before = self._way and (self._model, self._way.name)
        self._model, self._way = model, way
        if before not in (None, (model, way.name)):
            self.on_change()

    async def _ask(self, way: Way, turn: Turn, deadline: float) -> Reading:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                reading = await asyncio.wait_for(
                    ask(self._client, way, turn), deadline - time.monotonic()
                )
            except asyncio.TimeoutError:
                raise TaggerLateError(
                    f"server '{self._client.url}' did not answer before the deadline"
                ) from None
            except TaggerUnreachableError as error:
                # A connection may have been closed while it lay idle: once more, on a new one.
                if attempt == _ATTEMPTS:
                    self._failed(error)
                    raise
            except TaggerError as error:
                self._failed(error)
                raise
            else:
                self._breaker.succeeded()
                return reading
        raise AssertionError

    def _failed(self, error: TaggerError) -> None:
        was_open = self._breaker.open
        pause_s = error.retry_after_s if isinstance(error, ServerBusyError) else None
        with self._lock:
            self._counts["failed"] += 1
        recovering = self._recovery is not None and not self._recovery.done()
        if self._breaker.failed(error, pause_s) and not was_open and not recovering:
            self._recovery = asyncio.ensure_future(self._recover())

    async def _recover(self) -> None:
        """Try the server again after each pause, until it serves; no reply waits for that."""
        while self._breaker.open:
            await asyncio.sleep(self._breaker.pause_s)
            try:
                await asyncio.wait_for(self._explore(), self._settings["http.load_timeout_s"])
            except Exception as error:  # whatever it is, the server is tried again
                known = error if isinstance(error, TaggerError) else TaggerLateError("no answer")
                self._breaker.failed(known, getattr(error, "retry_after_s", None))
            else:
                self._breaker.succeeded()

    async def _read_ahead(self, way: Way, turn: Turn) -> None:
        post = way.ahead(turn)
        if post is not None:
            with contextlib.suppress(TaggerError, asyncio.TimeoutError):
                await asyncio.wait_for(self._client.post(post.path, post.body), _HINT_S)
