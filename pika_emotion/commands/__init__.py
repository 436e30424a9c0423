"""One module a command of ``pika-emotion``: ``add_arguments(parser)`` and ``run(options)``."""
