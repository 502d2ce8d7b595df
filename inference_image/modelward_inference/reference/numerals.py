"""How numbers and points in time are written in text files: 1234.5, 1,234.5, 1.234,5; 2026-11-29.

A column's values have one notation together: 1,234 alone may be a thousand and more, or a little more than one.
"""

import re
from collections.abc import Iterable
from datetime import date, time
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

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_CLOCK: Final = (
    r"(?:[T, ]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[ap][.]?m[.]?)?"
    r"(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_WEEKDAY: Final = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
_DAYS: Final = tuple(
    re.compile(_WEEKDAY + day + _CLOCK, re.ASCII | re.IGNORECASE)
    for day in (
        r"(?P<year>[0-9]{4})(?P<sign>[-/.])(?P<first>[0-9]{1,2})(?P=sign)(?P<second>[0-9]{1,2})",
        r"(?P<first>[0-9]{1,2})(?P<sign>[-/.])(?P<second>[0-9]{1,2})(?P=sign)(?P<year>[0-9]{4})",
        r"(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})/(?P<year>[0-9]{2})",
        r"(?P<first>[0-9]{2})(?P<sign>[-.])(?P<second>[0-9]{2})(?P=sign)(?P<year>[0-9]{2})",  # 1.2.26 is a version
        r"(?P<year>(?:19|20)[0-9]{2})(?P<sign>[-/])(?P<first>[0-9]{2})",
        r"(?P<first>[0-9]{1,2})(?:st|nd|rd|th|[.])?[- ]?(?P<month>[a-z]{3,9})[.]?,?[- ]?(?P<year>[0-9]{4}|[0-9]{2})",
        r"(?P<month>[a-z]{3,9})[.]?[- ](?P<first>[0-9]{1,2})(?:st|nd|rd|th)?,?[- ](?P<year>[0-9]{4})",
        r"(?P<month>[a-z]{3,9})[.]?,?[- ](?P<year>(?:19|20)[0-9]{2})",
    )
)
"""A day, or a month, with a time of day or without. Of two numbers either may be the month."""

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
    """A day, a month of a year, a time of day, or both."""
    text = text.strip()
    if not any(each.isdigit() for each in text):
        return False
    return _is_clock(text) or any(map(_is_day, (each.fullmatch(text) for each in _DAYS)))


def _is_clock(text: str) -> bool:
    try:
        return ":" in text and isinstance(time.fromisoformat(text), time)
    except ValueError:
        return False


def _is_day(found: re.Match[str] | None) -> bool:
    """Whether there is such a day."""
    if found is None:
        return False
    parts = found.groupdict()
    year, named = int(parts["year"]), (parts.get("month") or "").lower()
    numbers = [int(parts[name]) for name in ("first", "second") if parts.get(name) is not None]
    if named:
        month = next((place for place, each in enumerate(_MONTHS, 1) if named in (each, each[:3], each[:4])), None)
        ways = [(month, *numbers)] if month is not None else []
    else:
        ways = [tuple(numbers), tuple(reversed(numbers))]
    return any(_there_is(year, *way) for way in ways)


def _there_is(year: int, month: int, day: int = 1) -> bool:
    try:
        return isinstance(date(year if year > 99 else 2000 + year, month, day), date)
    except ValueError:
        return False


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
