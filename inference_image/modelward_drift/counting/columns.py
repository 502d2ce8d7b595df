"""A column of whatever came, as numbers or as labels. No value makes it fail: what is wrong is marked as wrong.

Null: None, NaN, NaT, pandas' NA, a masked value. Numbers of any type are numbers; texts are not, even "1.5".
"""

import hashlib
import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

import numpy as np

from modelward_drift.arrays import Array, Floats, Mask

MAX_LABEL: Final = 64
"""Characters of a category that are kept; a longer one is its beginning and a hash of the whole."""

_PLAIN: Final = 10**16
"""Below it floats hold whole numbers exactly, and Python writes them without an exponent."""


_EXACT: Final = 2**53
"""Up to it a whole number stays itself as a float. Neighbours beyond are different labels, whatever they come with."""


class Special(IntEnum):
    """What a value may be instead of an ordinary one. WRONG: of a type that the feature does not take."""

    OTHER = 0
    NON_FINITE = 1
    NULL = 2
    WRONG = 3


Label = str | Special


@dataclass(frozen=True)
class Numbers:
    """`values`: (rows,) float32 or float64, NaN for null and for wrong; `wrong`: which are wrong, None for none."""

    values: Floats
    wrong: Mask | None = None


def column(values: Any) -> Array:
    """Any sequence as an array (rows,); a matrix of one column too. What has more dimensions is rows of objects."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = values.data.astype(object)
        values[mask] = None
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = values if isinstance(values, np.ndarray) else _array(values)
    if array.ndim == 1:
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    return _objects(list(array) if array.ndim else [array.item()])


def as_numbers(values: Array) -> Numbers:
    """Of a numeric feature. float16 and whole numbers become float64, exact up to 2^53."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "f" and size in (4, 8) and values.dtype.isnative:
        return Numbers(values)
    if kind in "fiub":
        return Numbers(values.astype(np.float64))
    if kind == "O":
        return _parsed(values, number)
    return _of_another_kind(values)


def as_booleans(values: Array) -> Numbers:
    """Of a boolean feature: 0 and 1 of any type; other numbers are wrong, infinities stay infinities."""
    found = as_numbers(values)
    odd = np.isfinite(found.values) & (found.values != 0) & (found.values != 1)
    if not odd.any():
        return found
    wrong = odd if found.wrong is None else odd | found.wrong
    return Numbers(np.where(odd, np.nan, found.values), wrong)


def as_lengths(values: Array) -> Numbers:
    """Of a text feature: numbers of characters, of bytes for what is no UTF-8."""
    if values.dtype.kind == "U":
        return Numbers(np.strings.str_len(values).astype(np.float64))
    if values.dtype.kind in "OS":
        return _parsed(values, length)
    if values.dtype.kind == "T":
        return _parsed(values.astype(object), length)
    return _of_another_kind(values)


def has_texts(values: Array) -> bool:
    """Whether a value is a text."""
    return values.dtype.kind in "UT" or (
        values.dtype.kind == "O" and any(isinstance(each, str) for each in values.flat)
    )


def as_labels(values: Array) -> list[Label]:
    """Of a categorical feature."""
    if values.dtype.kind in "Mm":
        return [Special.NULL if null else Special.WRONG for null in np.isnat(values).tolist()]
    items: list[Any] = values.tolist()
    if set(map(type, items)) == {str} and max(map(len, items)) <= MAX_LABEL:
        return items
    return list(map(label, items))


def label(value: Any) -> Label:
    """The category that a value is, the same for 1, 1.0 and "1"; true and false for truths."""
    if type(value) is int and -_PLAIN < value < _PLAIN:  # what most are that are no texts, without a detour
        return str(value)
    if isinstance(value, str):
        return _short(value)
    if is_null(value):
        return Special.NULL
    if isinstance(value, bytes):
        return _short(value.decode(errors="replace"))
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    try:
        if isinstance(value, numbers.Integral):
            return _short(str(int(value)))
        if isinstance(value, numbers.Real | Decimal):
            real = float(value)
            if not math.isfinite(real):
                return Special.NON_FINITE
            return str(int(real)) if real.is_integer() and abs(real) < _PLAIN else repr(real)
    except (ValueError, OverflowError, TypeError):
        pass  # whole numbers of more digits than Python writes, and what only claims to be a number
    return Special.WRONG


def number(value: Any) -> float | None:
    """None: it is none."""
    if is_null(value):
        return math.nan
    if isinstance(value, numbers.Real | np.bool_ | Decimal):
        try:
            return float(value)
        except OverflowError:
            return math.inf if operator.gt(value, 0) else -math.inf
        except (ValueError, TypeError):
            return None
    return None


def length(value: Any) -> float | None:
    """None: it is no text."""
    if isinstance(value, str):
        return float(len(value))
    if isinstance(value, bytes):
        try:
            return float(len(value.decode()))
        except UnicodeDecodeError:
            return float(len(value))
    return math.nan if is_null(value) else None


def is_null(value: Any) -> bool:
    """None, NaN, NaT, NA: what is absent, or does not equal itself."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except Exception:  # noqa: BLE001 - pandas' NA has no truth, arrays have many, and a stranger's type may do anything
        return type(value).__name__ == "NAType"


def _parsed(values: Array, parse: Any) -> Numbers:
    parsed = list(map(parse, values.tolist()))
    wrong = np.fromiter((each is None for each in parsed), np.bool_, len(parsed))
    floats = np.fromiter((math.nan if each is None else each for each in parsed), np.float64, len(parsed))
    return Numbers(floats, wrong if wrong.any() else None)


def _of_another_kind(values: Array) -> Numbers:
    """What has no text or number in it. A value that is absent stays that, whatever it is absent from: NaN is what a
    batch has whose texts are all missing."""
    kind = values.dtype.kind
    absent = np.isnat(values) if kind in "Mm" else np.isnan(values) if kind in "fc" else np.zeros(len(values), np.bool_)
    return Numbers(np.full(len(values), np.nan), ~absent)


def _short(text: str) -> str:
    if len(text) <= MAX_LABEL:
        return text
    hashed = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()
    return f"{text[: MAX_LABEL - 18]}…#{hashed}"


def _array(values: Iterable[Any]) -> Array:
    """Numbers as numbers, and everything else as objects: numpy would make texts of [1, "a"]."""
    items = values if isinstance(values, Sequence) else list(values)
    if not items or not set(map(type, items)) <= {float, int}:
        return _objects(items)
    large = any(type(each) is int and abs(each) > _EXACT for each in items)
    return _objects(items) if large else np.asarray(items, np.float64)


def _objects(items: Sequence[Any]) -> Array:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array
