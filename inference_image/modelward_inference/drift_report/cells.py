"""What the page calls a feature's cells: categories of the data can be told from the cells that every feature has."""

from dataclasses import dataclass
from typing import Final

from modelward_drift.profiles.profile import SPECIAL
from modelward_inference.drift_report.findings import Finding

_SPECIAL: Final = dict(zip(SPECIAL, ("other values", "not finite", "no value"), strict=True))
"""Longer for the table; pictures have room for a word or two."""

_NEW: Final = "other categories"


@dataclass(frozen=True)
class Cell:
    """`special`: no category or bin of the data, but a cell that every feature has; it is set in italics."""

    text: str
    special: bool = False


def cells(finding: Finding) -> tuple[Cell, ...]:
    """In the order of the profile."""
    profile = finding.feature.profile
    if finding.bad is not None:
        what = finding.bad.what.replace("_", " ")
        named: tuple[Cell, ...] = (Cell("good", True), Cell(what, True))
    else:
        names = profile.cell_names()[: profile.bins]
        named = tuple(Cell(_quoted(each) if profile.grid is None else each) for each in names)
    special = dict(_SPECIAL)
    if profile.levels:
        special["other"] = _NEW
    return (*named, *(Cell(special[each], True) for each in SPECIAL))


def _quoted(category: str) -> str:
    """In quotes where the name alone would be taken for something else, or for nothing."""
    plain = category.strip().lower().replace("_", " ")
    taken = {"other", "null", "non finite", "none", "nan", "na", _NEW, *_SPECIAL.values()}
    return f'"{category}"' if not plain or category != category.strip() or plain in taken else category
