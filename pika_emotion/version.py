"""The package's version; package.xml has the same one (tested)."""

__version__ = "0.1.0"
