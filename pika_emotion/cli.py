"""The command line: ``pika-emotion COMMAND …``. Each command is a module of ``commands``."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from pika_emotion.crashes import keep_private
from pika_emotion.errors import PikaEmotionError
from pika_emotion.version import __version__

COMMANDS = {
    "tag": "tag one turn",
    "evaluate": "measure a tagger on labelled turns",
    "bench": "measure speed: taggers, or publisher to tag with --ros",
    "calibrate": "fit what a tagger's probabilities are worth, and write its card",
    "train": "train the reflex from labelled turns",
    "distill": "train the reflex on your robot's own turns, as a teacher tags them",
    "train-encoder": "fine-tune a pretrained encoder for the encoder tagger",
    "quantize": "make the 4-bit AWQ checkpoint of a chat model",
    "info": "print the card of a reflex model",
    "serve": "answer over HTTP: the OpenAI protocol and /tag",
    "replay": "play a recorded bag to a running node and print its tags",
    "bag": "evaluate, export, compare or sum up what a bag recorded",
    "monitor": "serve a live page about a running node",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (0 done, 1 a fault named on stderr, 2 wrong usage)."""
    if argv is None:  # started as a program, not called by one
        keep_private()
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="pika-emotion", description=__doc__)
    parser.add_argument("--version", action="version", version=f"pika-emotion {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:  # only this command's libraries are needed
            module_name = name.replace("-", "_")
            module = importlib.import_module(f"pika_emotion.commands.{module_name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except PikaEmotionError as error:
        print(f"pika-emotion {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"pika-emotion {options.command}: {error}; name another file", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
