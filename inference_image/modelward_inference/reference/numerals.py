"""How numbers and points in time are written in text files: 1234.5, 1,234.5, 1.234,5; 2026-11-29.

A column's values have one notation together: 1,234 alone may be a thousand and more, or a little more than one.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Notation(StrEnum):
    """Of numbers. PLAIN: as Python reads them."""

    PLAIN = "1234.5"
    COMMAS = "1,234.5"
    POINTS = "1.234,5"


_COMMAS: Final = re.compile(
    r"[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII
)
_POINTS: Final = re.compile(
    r"[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:[. \u00a0\u202f\'][0-9]{3})+)(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII
)
_CODE: Final = re.compile(r"[+-]?0[0-9]", re.ASCII)
"""007 is a code whose zeros matter, though Python takes it for a number, as it does 1_000."""

_UNIT: Final = re.compile(r"(?:[€$£¥%]|CHF|EUR|USD|GBP)", re.IGNORECASE)

_WORTH_A_LOOK: Final = re.compile(r"[0-9]{1,4}[-/.:][0-9]{1,2}")

_TIMES: Final[tuple[Callable[[str], object], ...]] = (
    datetime.fromisoformat,
    time.fromisoformat,
    lambda text: datetime.strptime(text, "%m/%d/%Y"),
    lambda text: datetime.strptime(text, "%d/%m/%Y"),
    lambda text: datetime.strptime(text, "%d.%m.%Y"),
    lambda text: datetime.strptime(text, "%d.%m.%Y %H:%M"),
    lambda text: datetime.strptime(text, "%m/%d/%Y %H:%M"),
    lambda text: datetime.strptime(text, "%Y/%m/%d"),
)

CACHED: Final = 1 << 15
"""Texts that are remembered: columns repeat many of theirs."""


@lru_cache(CACHED)
def notations(text: str) -> frozenset[Notation]:
    """In which ones a text is a number; none: it is no number, as a code with leading zeros is none."""
    text = text.strip()
    if not text or "_" in text or _CODE.match(text):
        return frozenset()
    found = {Notation.PLAIN} if _is_float(text) else set()
    if _COMMAS.fullmatch(text):
        found.add(Notation.COMMAS)
    if _POINTS.fullmatch(text):
        found.add(Notation.POINTS)
    return frozenset(found)


def chosen(found: Iterable[Notation], separator: str) -> Notation | None:
    """Of those in which all of a column's values are numbers. `separator`: of the file, which tells where the values
    do not: who separates values by semicolons writes commas in numbers."""
    left = frozenset(found)
    if Notation.PLAIN in left or not left:
        return Notation.PLAIN if left else None
    if len(left) == 1:
        return next(iter(left))
    return Notation.COMMAS if separator == "," else Notation.POINTS


def all_in(texts: Iterable[str], notation: Notation) -> bool:
    """Whether all are numbers in a notation other than PLAIN, which Python's own reading tells."""
    pattern = _COMMAS if notation is Notation.COMMAS else _POINTS
    return all(pattern.fullmatch(text) and not _CODE.match(text) for text in texts)


def number(text: str, notation: Notation) -> float:
    """Raises ValueError."""
    text = text.strip()
    if notation is Notation.COMMAS:
        text = text.replace(",", "")
    elif notation is Notation.POINTS:
        text = re.sub("[. \u00a0\u202f']", "", text).replace(",", ".")
    return float(text)


def is_almost_number(text: str) -> bool:
    """With a unit, which people take for a number."""
    bare, units = _UNIT.subn("", text, count=1)
    return bool(units and notations(bare))


@lru_cache(CACHED)
def is_time(text: str) -> bool:
    """A day, a time of day, or both."""
    text = text.strip()
    if not _WORTH_A_LOOK.match(text):
        return False
    for read in _TIMES:
        try:
            return isinstance(read(text), date | time)
        except ValueError:
            continue
    return False


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
