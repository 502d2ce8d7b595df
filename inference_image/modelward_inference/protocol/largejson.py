"""Large JSON bodies by simdjson: numbers get from text into an array without becoming Python objects.

A body of 1000 rows is read in less than half of the time. Only what is plain is taken: objects of numbers, flat or in
rows. Of anything else, and of nearly every mistake, nothing is said here: the answer is None, and the ordinary path
takes it or explains. But lists that don't have the form of their shape are refused (RequestError) before any object is
made of them. Each thread has a parser of its own: one must not be used by two at once.
"""

import contextlib
import threading
from typing import Any

import numpy as np
import orjson
import simdjson

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.tensors import MAX_DIMENSIONS, RAGGED, check_form, check_number, where_of

FROM = 32 * 1024
"""Bytes: orjson is as fast for less."""

KEEP = 8 << 20
"""Bytes of a body up to which the parser, which holds several times as much, is kept for the next one."""

_CODES = {"f": ("d", np.dtype(np.float64)), "i": ("i", np.dtype(np.int64))}
"""What numbers are read as, to simdjson and to numpy, by numpy's kind of the tensor's type."""

_KEYS = ("name", "datatype", "shape", "parameters", "data")

MOST = 100_000
"""Values that a request may have besides its tensors' data: names, parameters, wanted outputs."""

PIECE = 64 << 10
"""Bytes that are looked at in one call."""

_BRACKET = ord("[")

_kept = threading.local()


def read(body: bytes, most: int = MOST, lists: int | None = None) -> dict[str, Any] | None:
    """The document as orjson gives it, but with arrays as the inputs' `data`; None where orjson has to read it.
    `most`: values that it may have besides; `lists`: that it may have in all, None for any number."""
    begun = _lists_begun(body)
    if lists is not None and begun > lists:
        return None
    first = None
    try:
        found: Any = _parsed(body)
        _check_rest(found, most)
        first = _checked_form(found)
        document = {name: _plain(found[name]) for name in found if name != "inputs"}
        inputs = [_input(each) for each in found["inputs"]]
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError):
        if first is not None:
            _check_rows(*first)
        return None
    # simdjson flattens whatever is nested. Brackets tell whether that was rows and nothing deeper.
    rest = [{name: value for name, value in each.items() if name != "data"} for each in inputs]
    brackets = orjson.dumps([document, rest]).count(b"[") - 1 + sum(_brackets(each.get("data")) for each in inputs)
    return {**document, "inputs": inputs} if begun == brackets else None


def _lists_begun(body: bytes) -> int:
    """How many opening brackets there are. bytes.count takes four times as long as numpy, which needs a byte for each:
    so not for all of a large body at once."""
    every: Array = np.frombuffer(body, np.uint8)
    pieces = range(0, len(every), PIECE)
    return sum([int(np.count_nonzero(every[begin : begin + PIECE] == _BRACKET)) for begin in pieces])


def check_instances(body: bytes, most: int) -> None:
    """Raises RequestError for more rows of the V1 protocol than `most`, or much beside them; else what reads them tells
    what is wrong."""
    with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
        found = _parsed(body)
        _check_rest(found)
        rows = found.get("instances")
        if isinstance(rows, simdjson.Array) and len(rows) > most:
            raise RequestError(f"instances has {len(rows)} rows or more; this server takes {most} at a time", 413)


def _own_parser() -> Any:
    try:
        return _kept.parser
    except AttributeError:
        _kept.parser = simdjson.Parser()
        return _kept.parser


def _parsed(body: bytes) -> Any:
    parser = _own_parser() if len(body) <= KEEP else simdjson.Parser()
    try:
        return parser.parse(body)
    except RuntimeError:  # something of its last document is still held, by an error that is being told
        return simdjson.Parser().parse(body)


def _check_rest(found: Any, left: int = MOST) -> None:
    """Raises RequestError where so much stands beside the data that to make objects of it would take seconds, or where
    a field occurs twice, so that what is looked at here would not be what is read."""
    _check_once(found, "the body")
    for name in found:
        if name not in ("inputs", "instances"):
            left = _less(found[name], name, left)
    inputs = found.get("inputs")
    if isinstance(inputs, simdjson.Array):
        check_number(len(inputs), "inputs")
        for index, each in enumerate(inputs):
            if isinstance(each, simdjson.Object):
                _check_once(each, f"inputs[{index}]")
                for name in each:
                    left = left if name == "data" else _less(each[name], f"inputs[{index}].{name}", left)


def _check_once(found: Any, where: str) -> None:
    names = list(found.keys()) if len(found) <= MOST else []
    if len(set(names)) != len(found):
        raise RequestError(f"{where} has {len(found)} fields, and one of them twice, or too many; send each once")


def _less(value: Any, where: str, left: int) -> int:
    """How many values there may be after these. Lists and objects are asked for their length before their content."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        left -= 1
        if isinstance(each, simdjson.Array | simdjson.Object):
            if where == "outputs" and each is value:
                check_number(len(each), where)
            if len(each) > left:
                raise RequestError(f"{where} has too many values; besides data, a request may have {MOST}")
            if isinstance(each, simdjson.Object):
                _check_once(each, where)
                waiting += [each[name] for name in each]  # not values(), which makes Python's lists of them at once
            else:
                waiting += each
    return left


def _checked_form(found: Any) -> tuple[Any, str, str] | None:
    """Raises what the ordinary path would, of their number and of the first input, and only where nothing else is wrong
    before its data. Gives its data, its datatype and what messages call it; None where something else may be wrong."""
    if "instances" in found:
        return None
    check_number(len(found["inputs"]), "inputs")
    first = found["inputs"][0]
    name, datatype, shape, parameters, data = (first.get(key) for key in _KEYS)
    short = isinstance(shape, simdjson.Array) and len(shape) <= MAX_DIMENSIONS
    sizes: list[Any] = shape.as_list() if short else [None]
    if (
        isinstance(name, str) and name and datatype in DTYPES and all(type(size) is int and size >= 0 for size in sizes)
        and (parameters is None or parameters.get("binary_data_size") is None) and isinstance(data, simdjson.Array)
    ):  # fmt: skip
        where = where_of(0, name)
        check_form(data, tuple(sizes), where)
        return data, datatype, where
    return None


def _check_rows(data: Any, datatype: str, where: str) -> None:
    """Of what is not plain: rows that differ. To make lists of them, only to say so, takes seconds and gigabytes."""
    if not len(data) or not isinstance(data[0], simdjson.Array):
        return
    width = len(data[0])
    if any(not isinstance(row, simdjson.Array) or len(row) != width for row in data):
        raise RequestError(f"{where}.data does not hold {datatype} values: {RAGGED}")


def _plain(value: Any) -> Any:
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value


def _input(found: Any) -> dict[str, Any]:
    return {
        name: _numbers(found["data"], DTYPES[found["datatype"]].kind) if name == "data" else _plain(found[name])
        for name in found
    }


def _numbers(found: Any, kind: str) -> Array:
    """A flat list as [n], equally long rows as [rows, n]. Raises TypeError or ValueError where it is neither."""
    code, dtype = _CODES[kind]
    flat: Array = np.frombuffer(found.as_buffer(of_type=code), dtype)
    if not len(found) or not isinstance(found[0], simdjson.Array):
        return flat
    width = len(found[0])
    if any(len(row) != width for row in found):
        raise TypeError("rows of different length")
    return flat.reshape(len(found), width)


def _brackets(data: Array | None) -> int:
    if data is None:
        return 0
    return 1 if data.ndim == 1 else 1 + len(data)
