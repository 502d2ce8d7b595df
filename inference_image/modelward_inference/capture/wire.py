"""Frames between the server and the monitor, over a Unix socket, in both directions.

    4 bytes  length of the head, big endian
    8 bytes  length of the body, big endian
    head     JSON
    body     the tensors' bytes, one after the other

The monitor speaks first, with a Greeting, `{"epoch": text or null, "number": number}`: which batches of this server's
run it has on its disk already. The server sends Batches with ascending numbers, and the monitor answers with
acknowledgements, `{"ack": number}`, once a batch and all before it are on the disk. What is not acknowledged is sent
again after a new connection, and is not counted twice.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import orjson

from modelward_inference.artifact.arrays import Array
from modelward_inference.capture.requests import Requests

LENGTHS: Final = struct.Struct(">IQ")
MAX_HEAD: Final = 64 << 20
MAX_BODY: Final = 1 << 30
LARGEST: Final = 1 << 63
MAX_DIMENSIONS: Final = 64
PLAIN: Final = "fiub"
"""Kinds of elements that travel as they lie in memory."""

_KIND: Final = re.compile(rf"[<>|=]?[{PLAIN}][0-9]{{1,2}}", re.ASCII)


class WireError(ValueError):
    """Bytes that are no frame."""


@dataclass(frozen=True)
class Greeting:
    """`number`: of the last batch of the run `epoch` that is on the disk; 0: none is. `epoch`: None: of no run yet."""

    epoch: str | None
    number: int


@dataclass(frozen=True)
class Batch:
    """`epoch`: of the server's run; `number`: from 1, without gaps. `inputs`, `outputs`: by tensor, rows first.

    All inputs are there; of the outputs those that the client asked for. A batch of no rows has no tensors and is only
    there for its totals, `dropped` and `sampled_out`: rows of this run so far that were left out for want of room, and
    on purpose. `requests`: whose rows they are, all of them; None where nobody says.
    """

    epoch: str
    number: int
    rows: int
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    dropped: int = 0
    sampled_out: int = 0
    requests: Requests | None = None


def frame(head: Mapping[str, Any], parts: Iterable[Any] = ()) -> list[Any]:
    """A frame as pieces for `writelines`. `parts`: bytes, or arrays of them."""
    written = orjson.dumps(head)
    pieces = [memoryview(part) if len(part) else b"" for part in parts]
    return [LENGTHS.pack(len(written), sum(map(len, pieces))), written, *pieces]


def lengths(prefix: bytes) -> tuple[int, int]:
    """Of head and body. Raises WireError."""
    head, body = LENGTHS.unpack(prefix)
    if head > MAX_HEAD or body > MAX_BODY:
        raise WireError(f"a frame of {head} and {body} bytes is none of ours")
    return head, body


def dump_batch(batch: Batch) -> list[Any]:
    """A batch as a frame. Texts and objects travel as JSON, numbers as they lie in memory."""
    described, parts = [], []
    for side, tensors in (("input", batch.inputs), ("output", batch.outputs)):
        for name, array in tensors.items():
            plain = array.dtype.kind in PLAIN
            # As bytes: a memoryview of some element types, such as those of another byte order, can't be cast.
            content: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if plain else _json(array)
            kind = array.dtype.str if plain else "json"
            described.append({"side": side, "name": name, "kind": kind, "shape": array.shape, "bytes": len(content)})
            parts.append(content)
    head: dict[str, Any] = {
        "epoch": batch.epoch, "number": batch.number, "rows": batch.rows, "dropped": batch.dropped,
        "sampled_out": batch.sampled_out, "tensors": described,
    }  # fmt: skip
    if batch.requests is not None:
        head["requests"] = batch.requests.to_dict()
    return frame(head, parts)


def load_batch(head: bytes, body: bytes) -> Batch:
    """The inverse of `dump_batch`: every tensor has as many rows as the batch. Raises WireError."""
    try:
        raw = orjson.loads(head)
        number, rows, dropped, sampled_out = (
            _whole(raw, name) for name in ("number", "rows", "dropped", "sampled_out")
        )
        sides: dict[str, dict[str, Array]] = {"input": {}, "output": {}}
        begin = 0
        for each in raw["tensors"]:
            size = _whole(each, "bytes")
            array = _array(str(each["kind"]), each["shape"], memoryview(body)[begin : begin + size])
            if array.shape[:1] != (rows,):
                raise WireError(f"a batch of {rows} rows has a tensor of shape {list(array.shape)}")
            begin += size
            sides[each["side"]][str(each["name"])] = array
        if begin != len(body):
            raise WireError(f"a batch describes {begin} bytes of tensors and has {len(body)}")
        requests = Requests.from_dict(raw["requests"], rows) if raw.get("requests") is not None else None
        return Batch(str(raw["epoch"]), number, rows, sides["input"], sides["output"], dropped, sampled_out, requests)
    except WireError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        raise WireError(f"a batch that can't be read: {error}") from error


def _whole(raw: Mapping[str, Any], name: str) -> int:
    value = raw[name]
    if type(value) is not int or not 0 <= value < LARGEST:
        raise WireError(f"{name} is {value!r:.50}, and no whole number from 0")
    return value


def _array(kind: str, shape: Any, part: memoryview) -> Array:
    sizes = tuple(shape)
    if len(sizes) > MAX_DIMENSIONS or not all(type(size) is int and 0 <= size < LARGEST for size in sizes):
        raise WireError(f"a tensor has the shape {shape!r:.50}")
    if kind != "json":
        if not _KIND.fullmatch(kind):  # numpy would read some texts as Python
            raise WireError(f"a tensor is of kind {kind!r:.50}")
        return np.frombuffer(part, np.dtype(kind)).reshape(sizes)
    values = list(_flat(orjson.loads(part), len(sizes)))
    if len(values) != prod(sizes):  # before there is room for what the shape says
        raise WireError(f"a tensor of shape {list(sizes)} has {len(values)} values")
    return np.fromiter(values, object, len(values)).reshape(sizes)


def _flat(values: Any, depth: int) -> Iterable[Any]:
    if type(values) is not list:
        raise WireError(f"a tensor is nested less deeply than its shape says: {values!r:.50}")
    if depth <= 1:
        yield from values
    else:
        for value in values:
            yield from _flat(value, depth - 1)


def _json(array: Array) -> bytes:
    try:
        return orjson.dumps(array.tolist(), default=_known)
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        clean = np.array([_clean(value) for value in array.reshape(-1)], object).reshape(array.shape)
        return orjson.dumps(clean.tolist(), default=_known)


def _clean(value: Any) -> Any:
    value = _known(value)
    if isinstance(value, bool | float | None) or (isinstance(value, int) and abs(value) < LARGEST):
        return value
    return str(value).encode(errors="replace").decode()


def _known(value: Any) -> Any:
    """As something that JSON has."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, bool | int | float | str | None) else str(value)
