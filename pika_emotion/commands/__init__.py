"""One module a command of ``pika-emotion``: ``add_arguments(parser)`` and ``run(options)``."""

import importlib
from types import ModuleType

from pika_emotion.errors import ConfigError


def import_probe() -> ModuleType:
    """Return the module ``probe``, which speaks with a running node.

    Raises:
        ConfigError: there is no ROS 2 here.
    """
    try:
        return importlib.import_module("pika_emotion.probe")
    except ImportError as error:
        raise ConfigError(
            f"this speaks with a running node and needs ROS 2 ({error}); "
            "source ROS's setup.bash and this workspace's"
        ) from error
