"""``pika-emotion serve``: answer over HTTP, for teams that call an OpenAI API today."""

import argparse
import gc
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from pika_emotion import taggers
from pika_emotion.commands import import_extra
from pika_emotion.commands.tag import add_tagger_arguments, add_threshold_argument
from pika_emotion.deadline import SWITCH_S, DeadlineTagger
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.labels import load_labels
from pika_emotion.parameters import CORE, check_together
from pika_emotion.taggers.calibrated import CalibratedTagger

TOKEN_VARIABLE = "PIKA_EMOTION_TOKEN"
_PARAMETERS = {parameter.name: parameter for parameter in CORE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--port", type=int, default=7862, help="0: any (default: %(default)s)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen; other machines can call only with a token (default: %(default)s)",
    )
    parser.add_argument(
        "--token",
        help="callers must send 'Authorization: Bearer TOKEN'; other users of this machine see "
        f"it in the list of processes, unlike --token-file or {TOKEN_VARIABLE}",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the token is its text")
    add_tagger_arguments(parser)
    add_threshold_argument(parser)
    for name in ("deadline_ms", "publish_margin_ms"):
        parameter = _PARAMETERS[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=parameter.default,
            help=f"{parameter.description.replace('a tag is published', 'an answer is sent')} "
            "(default: %(default)s)",
        )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    server = import_extra("pika_emotion.server.listening", "serving over HTTP", "serve")
    api = import_extra("pika_emotion.server.api", "serving over HTTP", "serve")
    from pika_emotion.server.tagging import SLOTS, HttpTagging

    sys.setswitchinterval(SWITCH_S)
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port} is no port; choose one from 1 to 65535")
    times = {name: getattr(options, name) for name in ("deadline_ms", "publish_margin_ms")}
    for name, value in times.items():
        _PARAMETERS[name].check(value)
    check_together(times)
    token = _token(options)
    reflex, primary, tagger = _build(options, SLOTS, times)
    tagging = HttpTagging(reflex, primary, tagger, options.threshold)
    app = api.create_app(tagging, token)
    with server.bind(options.host, options.port, guarded=token is not None) as listening:
        # Not the name that was given: without a token, only this machine's own names are served.
        address, port = listening.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        print(f"{tagging.name} answers on http://{host}:{port}, see /docs", flush=True)
        tagger.start()
        if primary is not None:
            threading.Thread(target=_tell, args=(tagger, primary), daemon=True).start()
        # What lives from here on is looked at by the garbage collector no more: shorter pauses.
        gc.collect()
        gc.freeze()
        try:
            server.serve(app, listening)
        finally:
            tagger.close()
            reflex.close()
    return 0


def _build(
    options: argparse.Namespace, slots: int, times: Mapping[str, float]
) -> tuple[taggers.Tagger, CalibratedTagger | None, DeadlineTagger]:
    """Return the reflex, loaded, the primary where there is one, and what keeps the deadline."""
    labels = load_labels(options.labels)
    settings = taggers.settings_from_text(options.tagger, options.set)
    alone = options.tagger == "reflex"
    own = settings if alone else taggers.settings_from_text("reflex", [])
    reflex = taggers.create("reflex", labels, own)
    reflex.load()
    reflex.tag(Turn("Is it?", "yes", "Yes, it is!"), time.monotonic())  # the first is slower
    primary = None
    if not alone:
        card = {"calibration": options.calibration, "pool": options.pool}
        chosen = taggers.create(options.tagger, labels, settings)
        primary = CalibratedTagger(chosen, reflex, labels, {**settings, **card})
    return reflex, primary, DeadlineTagger(labels, reflex, primary, slots=slots, **times)


def _token(options: argparse.Namespace) -> str | None:
    """Return the token that callers must show; None where they need not.

    Raises:
        ConfigError: two are given, or one that no caller can send.
    """
    if options.token is not None and options.token_file is not None:
        raise ConfigError("--token and --token-file are both given; leave one out")
    token: str | None = options.token
    if options.token_file is not None:
        try:
            token = options.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"token file '{options.token_file}' cannot be read "
                f"({type(error).__name__}); name a text file with the token"
            ) from error
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and not (
        token.isascii() and token.isprintable() and token.split() == [token]
    ):
        raise ConfigError(
            "the token is empty or has spaces or letters that a header cannot carry; "
            "make one with 'openssl rand -hex 32'"
        )
    return token


def _tell(tagger: DeadlineTagger, primary: CalibratedTagger) -> None:
    """Say once how the primary's load ended."""
    try:
        tagger.wait_loaded(threading.TIMEOUT_MAX)
    except TaggerError as error:
        print(f"pika-emotion serve: the reflex answers alone: {error}", file=sys.stderr, flush=True)
        return
    if primary.warning is not None:
        print(f"pika-emotion serve: {primary.warning}", file=sys.stderr, flush=True)
