"""Regular expressions that users write into parameters: compiled, and refused where they are slow.

A transcript is matched between its receipt and its tag, and a match cannot be interrupted. So a
pattern is refused that could be tried in too many ways on the longest transcript there is.
"""

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from pika_emotion.errors import ConfigError
from pika_emotion.text import CHILD_CHARS

# The standard library's own parser of patterns: not public, so that it has no types.
try:
    from re import _constants as codes  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as codes
    import sre_parse as parser

# What each kind of part is made of, of which one matches.
_ALTERNATIVES: dict[Any, Callable[[Any], list[Any]]] = {
    codes.BRANCH: lambda argument: argument[1],
    codes.SUBPATTERN: lambda argument: [argument[3]],
    codes.ASSERT: lambda argument: [argument[1]],
    codes.ASSERT_NOT: lambda argument: [argument[1]],
    codes.GROUPREF_EXISTS: lambda argument: [argument[1], argument[2] or []],
    getattr(codes, "ATOMIC_GROUP", None): lambda argument: [argument],  # from Python 3.11 on
}
# So many are tried in some tens of milliseconds at worst.
_MOST_WAYS = 350_000
# More than this is too much, however much more; keeps the count a number.
_CEILING = 10**12


def compile_patterns(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Compile patterns, each by itself.

    Raises:
        ConfigError: one is not a regular expression, or could take long on some transcript.
    """
    return tuple(_compile(pattern) for pattern in patterns)


@functools.lru_cache(maxsize=64)  # the usual ones are asked for with every turn of a file
def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
        ways, rounds = _of_all(parser.parse(pattern))
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"event pattern '{pattern}' is not a regular expression ({error}); correct it"
        ) from error
    if max(ways, rounds) > _MOST_WAYS:
        raise ConfigError(
            f"event pattern '{pattern}' could be tried in too many ways on a long transcript, and "
            "the tag would be late; repeat plain characters only (such as [A-Z_]+), not groups "
            "that repeat or have alternatives, and at most twice without a limit"
        )
    return compiled


def _of_all(items: Iterable[Any]) -> tuple[int, int]:
    ways, rounds = 1, 0
    for code, argument in items:
        more, each = _of_one(code, argument)
        rounds = min(rounds + ways * each, _CEILING)
        ways = min(ways * more, _CEILING)
    return ways, rounds


def _of_one(code: Any, argument: Any) -> tuple[int, int]:
    """Return in how many ways a part can match at one place, and its groups' rounds, at most.

    A round of a group that repeats costs about what a way does; of a single character, nothing.
    """
    if code in _ALTERNATIVES:
        found = [_of_all(items) for items in _ALTERNATIVES[code](argument)]
        return sum(ways for ways, _ in found), sum(rounds for _, rounds in found)
    if isinstance(argument, tuple) and len(argument) == 3:  # every kind of repetition
        least, most, body = argument
        ways, rounds = _of_all(body)
        total = _of_repeated(ways, least, most)
        if len(body) == 1 and body[0][0] not in _ALTERNATIVES:
            return total, total * rounds
        return total, max(total, min(int(most), CHILD_CHARS)) * (rounds + 1)
    return 1, 0


def _of_repeated(ways: int, least: int, most: int) -> int:
    most = min(int(most), CHILD_CHARS)
    least = min(int(least), most)
    if ways == 1:
        return most - least + 1
    total = 0
    for times in range(least, most + 1):
        total += ways**times
        if total > _CEILING:
            return _CEILING
    return total
