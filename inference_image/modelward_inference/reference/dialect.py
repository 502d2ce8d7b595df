"""How a text file separates its values, and whether its first line has names at all."""

import contextlib
import csv
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.numerals import notations

COMMA: Final = ","
OTHERS: Final = (";", "\t", "|")

NAMES: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}

LOOKED_AT: Final = 50
"""Rows that tell the separator."""


def separator(rows: Callable[[str], Iterable[Sequence[str]]]) -> str:
    """`rows`: those of the file, read with a separator. It is a comma where the first line has one between names that
    hold no other; else what splits the first line and most of the others into as many values."""
    header = next(iter(_first(rows(COMMA), 1)), [])
    needed = 0.5 if len(header) < 2 else 1.0  # 1,5;2 has a comma, too
    best, most = COMMA, 0.0
    for each in OTHERS:
        if not any(each in name for name in header):
            continue
        found = _first(rows(each), LOOKED_AT)
        width = len(found[0]) if found else 0
        alike = sum(len(row) == width for row in found) / max(len(found), 1)
        if width > 1 and alike >= needed and width * alike > most:
            best, most = each, width * alike
    return best


def check_names(path: object, header: Sequence[str]) -> str | None:
    """Raises InvalidConfiguration where the first line has numbers; returns a line to tell where some names are.

    0, 1, 2 and so on are names: pandas gives them to columns that have none.
    """
    numeric = [name for name in header if notations(name)]
    if list(header) == [str(place) for place in range(len(header))] or not numeric:
        return None
    if len(numeric) == len(header):
        raise InvalidConfiguration(
            f"{path}, line 1: {', '.join(header)[:100]} are numbers, not names; write a first line with the name of "
            "each column"
        )
    return (
        f"line 1 has {numeric[0]!r} as the name of a column: if that is a value, the line of names is missing, and "
        "this row is lost"
    )


def check_one_column(header: Sequence[str], chosen: str) -> str | None:
    """A line to tell where a name looks like several that were not told apart."""
    if len(header) != 1 or chosen != COMMA:
        return None
    within = next((each for each in OTHERS if each in header[0]), None)
    if within is None:
        return None
    return (
        f"the file has one column, {header[0][:100]!r}: there are {NAMES[within]} in its name, but the other lines are "
        "not separated by them"
    )


def _first(rows: Iterable[Sequence[str]], count: int) -> list[Sequence[str]]:
    found: list[Sequence[str]] = []
    with contextlib.suppress(csv.Error, InvalidConfiguration):  # whoever reads the file says so, with the line
        found.extend(islice(rows, count))
    return found
