"""``pika-emotion quantize``: make the 4-bit AWQ checkpoint of a chat model, shown our own turns."""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pika_emotion import foreign
from pika_emotion.corpus import Row, read_rows
from pika_emotion.errors import ConfigError, ModelError
from pika_emotion.labels import load_labels
from pika_emotion.prompt_file import load_prompt

MODEL = "microsoft/Phi-3-mini-4k-instruct"
JOB = "pika_emotion.quantize_process"
_SEED = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--model", default=MODEL, help="folder or hub name (default: %(default)s)")
    parser.add_argument("--revision", default="", help="of the hub's model: a commit")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the checkpoint")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV files of turns to show it, or folders of them: the train split",
    )
    parser.add_argument("--turns", type=int, default=256, help="how many (default: %(default)s)")
    parser.add_argument(
        "--check", type=int, default=64, help="others that before and after are compared on"
    )
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument("--prompt", help="prompt file (default: the package's own)")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has llm-compressor"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Make the checkpoint and print what was made."""
    for name in ("turns", "check"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} {getattr(options, name)} must be 1 or more")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ConfigError(f"--out '{options.out}' is there already; name a new folder")
    labels = load_labels(options.labels)
    shown, held_out = choose(read_rows(options.data, labels), options.turns, options.check)
    order = {
        "model": options.model,
        "revision": options.revision,
        "out": str(options.out),
        "labels": [(label.name, label.description) for label in labels],
        "prompt": load_prompt(options.prompt).to_plain(),
        "turns": [asdict(row.turn) for row in shown],
        "check": [asdict(row.turn) for row in held_out],
    }
    made = ask(options.python, order)
    print(json.dumps(made) if options.json else table(made))
    return 0


def choose(rows: Sequence[Row], shown: int, held_out: int) -> tuple[list[Row], list[Row]]:
    """Draw rows to show and others to hold out; the same rows give the same draw.

    Raises:
        ConfigError: there are not enough.
    """
    if len(rows) < shown + held_out:
        raise ConfigError(
            f"--data has {len(rows)} turns, {shown} to show and {held_out} to check are asked for; "
            "give more files, or lower --turns or --check"
        )
    drawn = random.Random(_SEED).sample(list(rows), shown + held_out)
    return drawn[:shown], drawn[shown:]


def ask(python: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """Run the process that quantizes; return its result.

    Raises:
        ConfigError: the interpreter is missing, or lacks a library.
        ModelError: the model cannot be quantized.
    """
    try:
        answer = foreign.run(python, JOB, order)
    except OSError as error:
        raise ConfigError(
            f"--python '{python}' cannot be started ({error.strerror}); name an interpreter that "
            "has llm-compressor"
        ) from error
    if "missing" in answer:
        raise ConfigError(
            f"'{python}' has no module '{answer['missing']}'; make an environment with "
            "'python3 -m venv .venv-quantize && .venv-quantize/bin/pip install llmcompressor' "
            "and name it: --python .venv-quantize/bin/python"
        )
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    if "died" in answer:
        raise ModelError(
            f"quantizing '{order['model']}' ended with exit code {answer['died']}; "
            "see its output above"
        )
    return answer


def table(made: Mapping[str, Any]) -> str:
    """Return the result for people to read."""
    return "\n".join(
        [
            f"checkpoint   {made['out']}, {made['bytes'] / 1e9:.2f} GB",
            f"scheme       {made['scheme']}, group {made['group']}, lm_head as it was",
            f"shown        {made['prompts']} prompts, {made['seconds']:.0f} s",
            f"checked      {made['checked']} other prompts: the same answer in "
            f"{100 * made['same_answer']:.0f} %, divergence {made['kl_mean']:.4f} nats on average, "
            f"{made['kl_max']:.4f} at most",
            f"use it       --set vllm.model={made['out']} (leave vllm's quantization unset)",
        ]
    )
