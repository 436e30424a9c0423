"""Runs a job of this package under an interpreter of another environment, as a process of its own.

A job is a module with ``obey(order)``. The order and the answer are one JSON object each; what the
job and its libraries print goes to standard error.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What an interpreter of another environment must not inherit from this one.
_OWN_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


def run(python: str, job: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """Run a job and return its answer.

    Args:
        python: the interpreter.
        job: the job's module.
        order: what it is told.

    Returns:
        What the job's ``obey`` returned; or ``missing``, the module that the interpreter lacks;
        or ``error``, the message of one of this package's errors; or ``died``, its exit code.

    Raises:
        OSError: the interpreter cannot be started.
    """
    environment = dict(os.environ)
    if python != sys.executable:
        for name in _OWN_ENVIRONMENT:
            environment.pop(name, None)
    done = subprocess.run(
        [python, __file__, job],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
        encoding="utf-8",
    )
    lines = done.stdout.splitlines()
    try:
        return dict(json.loads(lines[-1]))
    except (IndexError, ValueError):
        return {"died": done.returncode}


def _use_our_package() -> None:
    """Import the package from this file's folder, and nothing in it by a bare name."""
    package = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != package]
    spec = importlib.util.spec_from_file_location(
        "pika_emotion", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pika_emotion"] = module
    spec.loader.exec_module(module)


def main() -> int:
    """Do the job that the first argument names; print its answer as one line."""
    _use_our_package()
    from pika_emotion.crashes import keep_private
    from pika_emotion.errors import PikaEmotionError

    keep_private()
    result, sys.stdout = sys.stdout, sys.stderr
    try:
        order = json.load(sys.stdin)
        answer = importlib.import_module(sys.argv[1]).obey(order)
    except ImportError as error:
        answer = {"missing": str(error.name or error)}
    except PikaEmotionError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
