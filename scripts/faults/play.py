"""Plays one fault and writes its CSV files; ``campaign.py`` starts it in a process of its own.

Ends with 0 where it was played, whatever came of it, and with 3, saying why, where it cannot be
played on this machine.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test"))

import engines
import files
import middleware
import primaries
import processes
import rows
import signals
from catalogue import FAULTS
from scene import NotRunError, Stage

NOT_RUN = 3
PLAYS = {
    **primaries.PLAYS,
    **files.PLAYS,
    **processes.PLAYS,
    **middleware.PLAYS,
    **signals.PLAYS,
    **engines.PLAYS,
}


def main() -> int:
    """Play the fault that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--out", type=Path, required=True, help="folder of the CSV files")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--load-timeout", type=float, default=60.0)
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE for the play")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fault_") as folder:
        stage = Stage(
            Path(folder),
            options.seconds,
            options.rate,
            tuple(shlex.split(options.prefix)),
            options.load_timeout,
            FAULTS[options.fault].deadline_ms,
            dict(assignment.split("=", 1) for assignment in options.set),
        )
        try:
            PLAYS[options.fault](stage)
        except NotRunError as error:
            print(error, file=sys.stderr)
            return NOT_RUN
    rows.write(options.out, options.fault, stage.replies, stage.events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
