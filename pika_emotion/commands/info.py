"""``pika-emotion info``: print the card of a reflex model."""

import argparse
import json

from pika_emotion import model, resources
from pika_emotion.taggers.reflex import MODEL_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", nargs="?", help="a model file (default: the package's own)")


def run(options: argparse.Namespace) -> int:
    """Print the card as JSON."""
    card = model.read_card(options.file or resources.find(MODEL_FILE))
    print(json.dumps(card, ensure_ascii=False, indent=2))
    return 0
