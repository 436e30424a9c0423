"""YAML as people write it by hand: no aliases, no deep nesting, no tags that make objects.

A few lines of aliases can stand for billions of values, and deep nesting ends Python's stack.
"""

from typing import Any

import yaml

_DEPTH = 20


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader for plain files; what it refuses is a ``yaml.YAMLError``."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Build one node; called by PyYAML for each."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors:
            raise yaml.composer.ComposerError(
                None, None, f"alias '*{event.anchor}' is not taken; write it out", event.start_mark
            )
        if self._depth >= _DEPTH:
            raise yaml.composer.ComposerError(
                None, None, f"nested more than {_DEPTH} deep", event.start_mark
            )
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def load(text: str) -> Any:
    """Return what a YAML text stands for.

    Raises:
        yaml.YAMLError: it is no YAML, or not plain.
        ValueError: a number, date or truth value in it is none.
    """
    loader = PlainLoader(text)
    try:
        return loader.get_single_data()
    except (AttributeError, LookupError) as error:  # PyYAML's, of "!!bool x" and "!!timestamp x"
        raise ValueError("a value is not of the kind that its tag names") from error
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]
