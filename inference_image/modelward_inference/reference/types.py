"""Of what type a column is, from its values: the type of any number of chunks is the join of theirs, in any order."""

import datetime
import math
import numbers
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np

from modelward_drift.counting.columns import is_null
from modelward_inference.artifact.arrays import Array
from modelward_inference.reference.numerals import Notation, number


class Type(StrEnum):
    """UNKNOWN: nothing but nulls. A column that mixes types holds texts."""

    UNKNOWN = "nulls"
    BOOLEAN = "truths"
    NUMBER = "numbers"
    TEXT = "texts"
    TIME = "points in time"
    OTHER = "values of another type"


DATATYPES: Final = {Type.UNKNOWN: "BYTES", Type.BOOLEAN: "BOOL", Type.NUMBER: "FP64", Type.TEXT: "BYTES"}
"""Of the tensor that a column becomes where no model says otherwise; the others become none."""

NULLS: Final = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""Texts that stand for no value, in files that know only texts: those of pandas.read_csv."""

TRUTHS: Final = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}

_CODE: Final = re.compile(r"\n[ \t]*[+-]?0[0-9]")
"""007 is a code whose zeros matter, though Python takes it for a number, as it does 1_000."""


def joined(types: Iterable[Type]) -> Type:
    """Of a column whose parts have these types."""
    known = set(types) - {Type.UNKNOWN}
    return Type.UNKNOWN if not known else known.pop() if len(known) == 1 else Type.TEXT


def type_of(array: Array) -> Type:
    """Of values as libraries hold them."""
    kinds = {"b": Type.BOOLEAN, "M": Type.TIME, "m": Type.TIME}
    kinds |= dict.fromkeys("iuf", Type.NUMBER) | dict.fromkeys("UST", Type.TEXT)
    if array.dtype.kind != "O":
        return kinds.get(array.dtype.kind, Type.OTHER)
    values = array.reshape(-1).tolist()
    by_type: dict[type, Any] = {type(value): value for value in values}
    floats = [each for each in by_type if issubclass(each, float | np.floating | Decimal)]
    if floats:  # NaN is how most libraries write null among objects
        for each in floats:
            del by_type[each]
        found = (value for value in values if isinstance(value, float | np.floating | Decimal) and not is_null(value))
        by_type[float] = next(found, None)
    return joined(map(_type_of_value, by_type.values()))


def type_of_texts(texts: Sequence[str]) -> Type:
    """Of a column of a text file."""
    if numbers_of(texts) is not None:
        return Type.UNKNOWN if all(each.strip() in NULLS for each in texts) else Type.NUMBER
    known = TRUTHS.keys() | NULLS
    return Type.BOOLEAN if all(each.strip() in known for each in texts) else Type.TEXT


def numbers_of(texts: Sequence[str]) -> Array | None:
    """(rows,) float64, NaN for null; None where a text is no number."""
    together = "\n" + "\n".join(texts)
    if "_" in together or _CODE.search(together):
        return None
    try:
        return _floats(texts)
    except ValueError:
        return None


def _floats(texts: Sequence[str]) -> Array:
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        pass  # nulls, or no numbers
    numbers = (math.nan if text.strip() in NULLS else float(text) for text in texts)
    return np.fromiter(numbers, np.float64, len(texts))


def values_of(texts: Sequence[str], wanted: Type, notation: Notation = Notation.PLAIN) -> Array:
    """(rows,) of a column whose texts are of the type `wanted`: floats, or objects with None for null.

    `notation`: of numbers. Raises ValueError and KeyError where they are not.
    """
    if wanted is Type.NUMBER:
        return _floats(texts) if notation is Notation.PLAIN else _noted(texts, notation)
    values: list[Any]
    if wanted is Type.BOOLEAN:
        values = [None if text in NULLS else TRUTHS[text] for text in map(str.strip, texts)]
    else:
        values = [None if text.strip() in NULLS else text for text in texts]
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _noted(texts: Sequence[str], notation: Notation) -> Array:
    numbers = (math.nan if text.strip() in NULLS else number(text, notation) for text in texts)
    return np.fromiter(numbers, np.float64, len(texts))


def _type_of_value(value: Any) -> Type:
    if is_null(value):
        return Type.UNKNOWN
    if isinstance(value, bool | np.bool_):
        return Type.BOOLEAN
    if isinstance(value, str | bytes):
        return Type.TEXT
    if isinstance(value, numbers.Real | Decimal):
        return Type.NUMBER
    moments = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
    return Type.TIME if isinstance(value, moments) else Type.OTHER
