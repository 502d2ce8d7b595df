"""A request as one process writes it and another one reads it: small pickles without classes, and arrays as they are.

What is read here is what a process answers that handles what clients send. It may have been taken over, so nothing is
unpickled but numbers, texts, tuples, lists and dicts, and no array has objects that were not pickled.
Invariant: no piece takes longer to read than a fraction of a millisecond, however many tensors or texts there are, so
that an event loop can turn between them. Failure: ValueError or pickle.UnpicklingError for what was not written here.
"""

import io
import math
import pickle
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.engine.sharedbytes import SharedBytes
from modelward_inference.protocol.messages import InferRequest, Input, WantedOutput

AT_ONCE = 500
"""Tensors, or texts, of a piece."""

CHARACTERS = 64 << 10
"""Of the texts in a piece, with which it is full."""

MAX_PARAMETERS = 100
"""Of a request's own parameters. None of those that change an answer is among so many."""

_ALIGNED = 64
_LENGTH = struct.Struct("<Q")
_NUMBERS = "biuf"
"""Kinds of numpy's types that are as they are in memory."""


def write(request: InferRequest, to: SharedBytes) -> None:
    """`to`: empty. Parameters of the request are left out where they are none that the protocol has (lists, objects)
    or more than MAX_PARAMETERS: no answer depends on those."""
    parameters = {
        name: value
        for name, value in list(request.parameters.items())[:MAX_PARAMETERS]
        if value is None or isinstance(value, bool | int | float | str)
    }
    outputs = [(each.name, each.binary) for each in request.outputs]
    inputs = [_described(each) for each in request.inputs]
    write_value((request.id, request.binary_output, parameters, len(outputs), len(inputs)), to)
    for some in (*_parts(outputs), *_parts(inputs)):
        write_value(some, to)
    for given in request.inputs:
        if given.array.dtype.kind in _NUMBERS:
            _write(np.ascontiguousarray(given.array).reshape(-1).view(np.uint8).data, to)
        else:
            for texts in _texts(given.array):
                write_value(texts, to)


def write_value(value: object, to: SharedBytes) -> None:
    """Of Python's own types."""
    _write(pickle.dumps(value, protocol=5), to)


def read(content: memoryview) -> Iterator[InferRequest | None]:
    """The request, after as many None as there are pieces before. Its arrays lie in `content`."""
    position = 0

    def piece() -> memoryview:
        nonlocal position
        (length,) = _LENGTH.unpack_from(content, position)
        begin = _aligned(position + _LENGTH.size)
        position = begin + length
        if position > len(content):
            raise ValueError("a piece is longer than what there is")
        return content[begin:position]

    identifier, binary, parameters, wanted, given = _loaded(piece())
    outputs: list[WantedOutput] = []
    while len(outputs) < wanted:
        outputs += [WantedOutput(name, each) for name, each in _some(piece())]
        yield None
    described: list[tuple[str, str, str, tuple[int, ...]]] = []
    while len(described) < given:
        described += _some(piece())
        yield None
    inputs = []
    for number, (name, datatype, code, shape) in enumerate(described):
        if code:
            dtype = np.dtype(code)
            if dtype.kind not in _NUMBERS:
                raise ValueError(f"{code} is no type of numbers")
            array: Array = np.frombuffer(piece(), dtype).reshape(shape)
            if number % AT_ONCE == AT_ONCE - 1:
                yield None
        else:
            if math.prod(shape) > len(content):
                raise ValueError("it tells of more texts than it has bytes")
            array = np.empty(shape, dtype=object)
            flat, filled = array.reshape(-1), 0
            while filled < flat.size:
                texts = _some(piece())
                flat[filled : filled + len(texts)] = texts
                filled += len(texts)
                yield None
        inputs.append(Input(name, datatype, array))
    yield InferRequest(tuple(inputs), tuple(outputs), identifier, binary, parameters)


def read_value(content: memoryview) -> Any:
    """What `write_value` wrote to an empty one."""
    (length,) = _LENGTH.unpack_from(content)
    begin = _aligned(_LENGTH.size)
    return _loaded(content[begin : begin + length])


def _described(given: Input) -> tuple[str, str, str, tuple[int, ...]]:
    """The third is empty for texts."""
    numbers = given.array.dtype.kind in _NUMBERS
    return given.name, given.datatype, given.array.dtype.str if numbers else "", given.array.shape


def _parts(of: list[Any]) -> Iterable[list[Any]]:
    return (of[begin : begin + AT_ONCE] for begin in range(0, len(of), AT_ONCE))


def _texts(array: Array) -> Iterator[list[str | bytes | None]]:
    """In order, so many at a time, and not too long together."""
    some: list[str | bytes | None] = []
    characters = 0
    for each in array.reshape(-1).tolist():
        some.append(each)
        characters += len(each) if each is not None else 0
        if len(some) == AT_ONCE or characters > CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


def _write(piece: bytes | memoryview, to: SharedBytes) -> None:
    begin = to.size + _LENGTH.size
    to.write(_LENGTH.pack(len(piece)) + bytes(_aligned(begin) - begin))
    to.write(piece)


def _aligned(position: int) -> int:
    return -(-position // _ALIGNED) * _ALIGNED


class _Plain(pickle.Unpickler):
    """Of nothing that has a class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a request")


def _loaded(piece: memoryview) -> Any:
    return _Plain(io.BytesIO(piece)).load()


def _some(piece: memoryview) -> list[Any]:
    """Raises ValueError for an empty list, which would be read without an end."""
    found = _loaded(piece)
    if not isinstance(found, list) or not found:
        raise ValueError("a piece has nothing in it")
    return found
