"""A column of a file as an array that a model's tensor takes, by the rules of requests: numbers, truths, texts; null is
NaN among numbers and None among texts.

A value that does not fit is a row's own trouble, and is told with its row; what a whole column is not, `unfit` says
before anything is read.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.protocol.tensors import shown
from modelward_inference.reference.types import NULLS, TRUTHS

_NULL_TEXTS: Final = pa.array(sorted(NULLS), pa.string())


@dataclass
class Values:
    """`array`: (rows, …); `bad`: rows whose value is none for the model, with the reason; the array is zero there."""

    array: Array
    bad: dict[int, str] = field(default_factory=dict)


def unfit(kind: pa.DataType, datatype: str, width: int = 1) -> str:
    """Why no value of a column of this type can be one of the tensor's, in words; empty where it can."""
    types = pa.types
    wanted = DTYPES[datatype].kind
    if width > 1:
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            return f"holds {kind}, and the model takes lists of {width} values"
        if types.is_fixed_size_list(kind) and kind.list_size != width:
            return f"holds lists of {kind.list_size} values, and the model takes {width}"
        kind = kind.value_type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind):
        return ""
    floats = types.is_floating(kind) or types.is_decimal(kind)
    fits = {
        "f": floats or types.is_integer(kind) or types.is_boolean(kind),
        "i": types.is_integer(kind) or types.is_boolean(kind),
        "u": types.is_integer(kind) or types.is_boolean(kind),
        "b": types.is_boolean(kind),
        "O": is_text(kind),
    }[wanted]
    return "" if fits else f"holds {kind}, and the model takes {datatype}"


def is_text(kind: pa.DataType) -> bool:
    checks = ("is_string", "is_large_string", "is_binary", "is_large_binary", "is_string_view", "is_binary_view")
    return any(getattr(pa.types, name)(kind) for name in checks)


TEXTS: Final = "texts"


def kind_of(kind: pa.DataType) -> str:
    """What a column holds, whatever its width, in words; empty where it has no value."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return ""
    if is_text(kind):
        return TEXTS
    return "whole numbers" if pa.types.is_integer(kind) else str(kind)


def is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def array_of(column: pa.Array, name: str, datatype: str, shape: tuple[int, ...], texts: bool = False) -> Values:
    """`name`: of the column; `shape`: of a row; `texts`: whether a text may stand for what is none, as in CSV."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    width = math.prod(shape)
    if width > 1:
        return _lists(column, name, datatype, shape)
    found = _plain(column, name, datatype, texts)
    return found if len(shape) <= 1 else Values(found.array.reshape(-1, *shape), found.bad)


def _plain(column: pa.Array, name: str, datatype: str, texts: bool) -> Values:
    wanted = DTYPES[datatype].kind
    if wanted == "O":
        if texts and is_text(column.type):
            column = pc.if_else(pc.is_in(column, value_set=_NULL_TEXTS), pa.scalar(None, column.type), column)
        return _texts(column)
    if is_text(column.type):
        return _parsed(column, name, datatype)
    if wanted == "f":
        return Values(_floats(column))
    return _filled(column, name)


def _floats(column: pa.Array) -> Array:
    """NaN for null."""
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and not column.null_count):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _filled(column: pa.Array, name: str) -> Values:
    """Whole numbers and truths: there is no value that stands for null."""
    bad: dict[int, str] = {}
    if pa.types.is_null(column.type):
        column = column.cast(pa.int64())
    if column.null_count:
        reason = f"the column {name!r} has no value, and the model has none that stands for that"
        bad = dict.fromkeys(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist(), reason)
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    return Values(np.asarray(column.to_numpy(zero_copy_only=False)), bad)


def _texts(column: pa.Array) -> Values:
    array = np.empty(len(column), object)
    array[:] = column.to_pylist()
    return Values(array)


def _lists(column: pa.Array, name: str, datatype: str, shape: tuple[int, ...]) -> Values:
    width = math.prod(shape)
    if pa.types.is_null(column.type):
        column = column.cast(pa.list_(pa.float64()))
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    bad = {
        int(row): f"the column {name!r} has {'no list' if lengths[row] < 0 else f'{lengths[row]} values'}, and the "
        f"model takes {width}"
        for row in np.flatnonzero(lengths != width)
    }  # fmt: skip
    good = np.flatnonzero(lengths == width)
    flat = pc.list_flatten(column.take(pa.array(good)) if bad else column)
    if pa.types.is_dictionary(flat.type):
        flat = flat.dictionary_decode()
    inner = _plain(flat, name, datatype, False)
    made = np.zeros((len(column), width), inner.array.dtype)
    if made.dtype.kind == "O":
        made[:] = ""
    made[good] = inner.array.reshape(-1, width)
    bad |= {int(good[place // width]): reason for place, reason in inner.bad.items()}
    return Values(made.reshape(-1, *shape), bad)


def _parsed(column: pa.Array, name: str, datatype: str) -> Values:
    """Numbers and truths that are written as texts."""
    kind = DTYPES[datatype].kind
    parse, words, held = _PARSED[kind]
    array: Array = np.zeros(len(column), held)
    bad: dict[int, str] = {}
    for row, value in enumerate(column.to_pylist()):
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        text = "" if text is None else text.strip()
        if text in NULLS:
            if kind == "f":
                array[row] = math.nan
            else:
                bad[row] = f"the column {name!r} has no value, and the model has none that stands for that"
            continue
        try:
            array[row] = _checked(parse, text)
        except (ValueError, OverflowError):
            bad[row] = f"the column {name!r} has {shown(text)!r}, which is no {words}"
    return Values(array, bad)


def _checked(parse: Callable[[str], Any], text: str) -> Any:
    if "_" in text:  # which Python takes for a separator of digits
        raise ValueError(text)
    return parse(text)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)  # pandas writes 1.0 where the column lacks a value elsewhere
        if not number.is_integer():
            raise
        return int(number)


def _truth(text: str) -> bool:
    found = TRUTHS.get(text, {"1": True, "0": False}.get(text))
    if found is None:
        raise ValueError(text)
    return found


_PARSED: Final[Mapping[str, tuple[Callable[[str], Any], str, Any]]] = {
    "f": (float, "number", np.float64),
    "i": (_whole, "whole number", np.int64),
    "u": (_whole, "whole number", np.uint64),
    "b": (_truth, "true or false", np.bool_),
}
"""How a text is read, what it should be, and what holds it, by the kind of the tensor's type."""
