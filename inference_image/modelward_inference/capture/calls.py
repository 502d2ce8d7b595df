"""Calls of the model: how much memory they take, and how they are joined.

What has the same tensors, of the same types and shapes, becomes one call of all the rows. They are copied, since arrays
may be views that keep a client's whole request in memory. Many at a time: after a long prediction all code is cold, and
a call that was handled on its own cost several times as much. Very large ones come in pieces. Pure, and in any thread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Any, Final

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.capture.requests import WEIGHT, Requests
from modelward_inference.protocol.origin import Asked

OVERHEAD: Final = 250
"""Bytes that an array takes besides its elements: its own head, its allocation, its place in a dictionary."""

PIECE: Final = 1 << 20
"""Bytes that are handed on at a time, so that the event loop gets its turn in between."""

MOST_REQUESTS: Final = 4096
"""Of calls that are joined: what a batch says of its requests has to fit into its head, however long their names."""


@dataclass(slots=True)
class Call:
    """`size`: bytes in memory, with what object arrays point to; `asked`: by whom; `time`, `now`: when it ended,
    seconds since the epoch and on the monotonic clock; `requests`: the same of a piece, or joined. Not frozen, as that
    costs each request; nobody changes one."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    rows: int
    size: int
    asked: Sequence[Asked] = ()
    time: float = 0.0
    now: float = 0.0
    requests: Requests = field(default_factory=Requests)


def call(
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    rows: int,
    asked: Sequence[Asked] = (),
    time: float = 0.0,
    now: float = 0.0,
) -> Call:
    """A call of the model as it happened."""
    size = 0
    for origin, _, _ in asked:
        size += WEIGHT if origin is None else WEIGHT + len(origin[0]) + (2 * len(origin[1]) if origin[1] else 0)
        if origin is not None and origin.trace:
            size += len(origin.trace)
    for array in (*inputs.values(), *outputs.values()):
        size += array.nbytes + OVERHEAD if array.dtype.kind != "O" else OVERHEAD + _objects(array)
    return Call(inputs, outputs, rows, size, asked, time, now)


Tell = Callable[[Iterable[tuple[Sequence[Asked], float, float]]], Requests]
"""Makes columns of what calls were asked, and when they ended; see Requests.of."""


def nobody(_: object) -> Requests:
    """Of calls of which nobody says who asked."""
    return Requests()


def groups(calls: Sequence[Call], tell: Tell = nobody) -> Iterator[list[Call]]:
    """Which calls to join: those whose tensors have the same names, and large ones alone, in pieces."""
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[list[Call], int]] = {}
    for each in calls:
        if each.size >= PIECE:
            yield from ([piece] for piece in _pieces(each, tell))
            continue
        names, more = (tuple(each.inputs), tuple(each.outputs)), len(each.asked)
        group, requests = alike.get(names, ([], 0))
        if group and requests + more > MOST_REQUESTS:
            yield group
            group, requests = [], 0
        group.append(each)
        alike[names] = (group, requests + more)
    yield from (group for group, _ in alike.values())


def joined(calls: Sequence[Call], tell: Tell = nobody) -> list[Call]:
    """All the rows, in as few calls as can be: one, unless types or shapes differ."""
    try:
        return [_joined(calls, tell)]
    except (ValueError, TypeError):  # seldom, so that it is not looked for
        kinds: dict[Any, list[Call]] = {}
        for each in calls:
            kinds.setdefault(_kind(each), []).append(each)
        return [_joined(each, tell) for each in kinds.values()]


def _joined(calls: Sequence[Call], tell: Tell) -> Call:
    first = calls[0]
    rows = sum([each.rows for each in calls])
    inputs = {name: _all_rows([each.inputs[name] for each in calls]) for name in first.inputs}
    outputs = {name: _all_rows([each.outputs[name] for each in calls]) for name in first.outputs}
    if not all(array.ndim and len(array) == rows for side in (inputs, outputs) for array in side.values()):
        if len(calls) > 1:
            raise ValueError("a tensor has another number of rows than its call")
        inputs, outputs = _by_rows(inputs, rows), _by_rows(outputs, rows)
    requests = first.requests if len(calls) == 1 else Requests()  # a piece has them
    if not len(requests):
        requests = tell((each.asked, each.time, each.now) for each in calls)
    return Call(inputs, outputs, rows, sum([each.size for each in calls]), requests=requests)


def _all_rows(arrays: list[Array]) -> Array:
    if len(arrays) == 1:
        return _own(arrays[0])
    # Types must be the same: a label is not to become a number with a fraction.
    return np.concatenate(arrays, dtype=arrays[0].dtype, casting="no")


def _by_rows(tensors: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """A model without an axis for rows has one row a call; of another's tensors, those that have no rows are left out,
    since they belong to none of them."""
    if rows == 1:
        return {name: each if each.ndim and len(each) == 1 else each[np.newaxis] for name, each in tensors.items()}
    return {name: each for name, each in tensors.items() if each.ndim and len(each) == rows}


def _kind(each: Call) -> Any:
    whole = all(array.ndim and len(array) == each.rows for array in (*each.inputs.values(), *each.outputs.values()))
    if not whole:
        return id(each)  # with nobody
    sides = (each.inputs.items(), each.outputs.items())
    return tuple(tuple((name, array.dtype, array.shape[1:]) for name, array in side) for side in sides)


def _pieces(large: Call, tell: Tell) -> Iterator[Call]:
    arrays = (*large.inputs.values(), *large.outputs.values())
    count = min(-(-large.size // PIECE), large.rows)
    if count <= 1 or not all(array.ndim and len(array) == large.rows for array in arrays):
        yield large
        return
    requests = tell([(large.asked, large.time, large.now)])
    for number in range(count):
        begin, end = large.rows * number // count, large.rows * (number + 1) // count
        inputs = {name: array[begin:end] for name, array in large.inputs.items()}
        outputs = {name: array[begin:end] for name, array in large.outputs.items()}
        size = large.size * (end - begin) // large.rows
        yield Call(inputs, outputs, end - begin, size, requests=requests.part(begin, end))


def _own(array: Array) -> Array:
    """The array, or a copy where it keeps more than half as much again in memory."""
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    try:
        kept = root.nbytes if root.base is None else memoryview(getattr(root.base, "obj", root.base)).nbytes
    except TypeError:  # memory of a library, such as onnxruntime's, which has an array for each
        kept = root.nbytes
    return array if 2 * kept <= 3 * array.nbytes else array.copy()


def _objects(array: Array) -> int:
    return int(array.nbytes) + sum(map(getsizeof, array.reshape(-1).tolist()))
