"""The subcommands of ``pika-emotion bag`` and their options; those that say how a bag is paired."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from pika_emotion.bag_turns import Conversation
from pika_emotion.commands.tag import add_tagger_arguments, add_threshold_argument
from pika_emotion.errors import ConfigError

RECORDED = "recorded"
_SUMMARIES = {
    "evaluate": "tag a bag's turns anew and measure them on labelled turns",
    "export": "write a bag's turns as TSV, for evaluate or to label by hand",
    "compare": "show where the tags of two bags, or of two taggers, differ",
    "stats": "sum up a bag: messages, turns, labels, sources, latency, losses",
}


def declare(
    parser: argparse.ArgumentParser, acts: Mapping[str, Callable[[argparse.Namespace], int]]
) -> None:
    """Declare the subcommands and their options; ``act`` becomes what runs the chosen one."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = {}
    for name, summary in _SUMMARIES.items():
        made[name] = actions.add_parser(name, help=summary, description=summary)
        made[name].set_defaults(act=acts[name])
    bag = "rosbag2 folder, or its .mcap or .db3 file"

    made["evaluate"].add_argument("bag", type=Path, help=bag)
    made["evaluate"].add_argument(
        "--truth", type=Path, required=True, metavar="FILE", help="TSV file of labelled turns"
    )
    add_tagger_arguments(made["evaluate"])

    made["export"].add_argument("bag", type=Path, help=bag)
    made["export"].add_argument("--out", type=Path, required=True, metavar="FILE", help="TSV")
    made["export"].add_argument(
        "--tags",
        choices=(RECORDED, "reflex", "none"),
        default=RECORDED,
        help="what the columns emotions and celebrate begin with; a turn without a tag has them "
        "empty, and evaluate refuses it until it is labelled (default: %(default)s)",
    )

    made["compare"].add_argument("bag", type=Path, nargs="+", help=bag + "; one or two")
    made["compare"].add_argument(
        "--taggers",
        nargs=2,
        metavar=("A", "B"),
        help=f"with one bag: two taggers, or '{RECORDED}' for what it recorded",
    )
    _add_settings(made["compare"])
    made["compare"].add_argument(
        "--out", type=Path, metavar="FILE", help="write the turns that differ there, with texts"
    )

    made["stats"].add_argument("bag", type=Path, help=bag)
    made["stats"].add_argument("--plots", type=Path, metavar="DIR", help="write plots there, PNG")

    for name in ("evaluate", "export", "compare"):
        add_threshold_argument(made[name])
    for name in ("export", "compare"):
        made[name].add_argument("--force", action="store_true", help="replace a file that is there")
    for each in made.values():
        add_conversation_arguments(each)
        each.add_argument("--json", action="store_true", help="print one JSON object")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare what ``load_tagger`` reads, but for the tagger's name."""
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of a tagger, as for the node; may be repeated",
    )
    parser.set_defaults(calibration="", pool=False)


def add_conversation_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that ``conversation_of`` reads."""
    usual = Conversation()
    parser.add_argument("--transcript-topic", default=usual.transcript_topic, help="in the bag")
    parser.add_argument("--reply-topic", default=usual.reply_topic, help="in the bag")
    parser.add_argument("--transcript-field", default="", help="text field of its messages")
    parser.add_argument("--reply-field", default="", help="text field of its messages")
    parser.add_argument("--tag-topic", default="", help="of EmotionTag, where there are several")
    parser.add_argument(
        "--turn-timeout", type=float, default=usual.turn_timeout_s, metavar="S", help="as the node"
    )
    parser.add_argument(
        "--session-timeout",
        type=float,
        default=usual.session_timeout_s,
        metavar="S",
        help="as the node",
    )


def conversation_of(options: argparse.Namespace) -> Conversation:
    """Return where a bag holds the conversation, as the options say.

    Raises:
        ConfigError: a timeout is not above 0.
    """
    for name, value in (
        ("--turn-timeout", options.turn_timeout),
        ("--session-timeout", options.session_timeout),
    ):
        if not value > 0:
            raise ConfigError(f"{name} {value:g} must be above 0 seconds; the node's is the usual")
    return Conversation(
        options.transcript_topic,
        options.reply_topic,
        options.transcript_field,
        options.reply_field,
        options.tag_topic,
        options.turn_timeout,
        options.session_timeout,
    )
