"""What holds for every frame between server and monitor: it comes back as it was, or is told to be none."""

import contextlib
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import LENGTHS, Batch, WireError, dump_batch, frame, lengths, load_batch
from modelward_inference.protocol.origin import ARMS

NUMBERS = [dtype for dtype in DTYPES.values() if dtype.kind != "O"]
COUNTS = st.integers(0, 2**63 - 1)
JSON_VALUES = (
    st.text(max_size=20)
    | st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, width=32)
).filter(lambda value: value not in (float("inf"), float("-inf")))


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    rows = draw(st.integers(0, 5))
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4).map(lambda tail: (rows, *tail))
    plain = shapes.flatmap(lambda shape: st.sampled_from(NUMBERS).flatmap(lambda dtype: hnp.arrays(dtype, shape)))
    objects = shapes.flatmap(lambda shape: hnp.arrays(object, shape, elements=JSON_VALUES))
    tensors = st.dictionaries(st.text(max_size=5), plain | objects, max_size=3)
    return Batch(
        draw(st.text(max_size=8)), draw(COUNTS), rows, draw(tensors), draw(tensors), draw(COUNTS), draw(COUNTS),
        draw(st.none() | requests(rows)),
    )  # fmt: skip


TRACES = st.builds(
    "00-{:032x}-{:016x}-01".format, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)
)  # fmt: skip
"""As a traceparent: what is none is left out."""


def requests(rows: int) -> st.SearchStrategy[Requests]:
    """Of so many rows altogether."""
    moments = st.floats(0, 2**39)
    one = st.tuples(
        st.text(max_size=9), st.none() | st.text(min_size=1, max_size=9), st.sampled_from(sorted(ARMS)),
        st.integers(0, 2**20), moments, moments, st.none() | TRACES,
    )  # fmt: skip

    def made(cuts: list[int], each: list[Any]) -> Requests:
        ends = sorted(min(cut, rows) for cut in cuts[: len(each) - 1])
        counts = [end - begin for begin, end in zip([0, *ends], [*ends, rows], strict=True)]
        ids, keys, arms, firsts, times, latencies, traces = map(list, zip(*each, strict=True))
        kept = [(index, trace) for index, trace in enumerate(traces) if trace]
        return Requests(ids, keys, arms, counts, firsts, times, latencies, kept)

    names = st.lists(one, min_size=1, max_size=4)
    return names.flatmap(
        lambda each: st.lists(st.integers(0, rows), min_size=len(each) - 1, max_size=len(each) - 1).map(
            lambda cuts: made(cuts, each)
        )
    )


def parts(pieces: list[Any]) -> tuple[bytes, bytes]:
    """Head and body of a frame."""
    written = b"".join(pieces)
    head, body = lengths(written[: LENGTHS.size])
    assert len(written) == LENGTHS.size + head + body
    return written[LENGTHS.size : LENGTHS.size + head], written[LENGTHS.size + head :]


def same(left: Batch, right: Batch) -> bool:
    for one, other in ((left.inputs, right.inputs), (left.outputs, right.outputs)):
        if one.keys() != other.keys():
            return False
        for name, array in one.items():
            if array.dtype != other[name].dtype or array.shape != other[name].shape:
                return False
            if array.dtype.kind == "O" and array.tolist() != other[name].tolist():
                return False
            if array.dtype.kind != "O" and array.tobytes() != other[name].tobytes():
                return False
    figures = ("epoch", "number", "rows", "dropped", "sampled_out")
    return left.requests == right.requests and all(getattr(left, name) == getattr(right, name) for name in figures)


@given(batches())
def test_a_batch_comes_back_as_it_was(batch: Batch) -> None:
    assert same(load_batch(*parts(dump_batch(batch))), batch)


@given(batches(), st.data())
def test_a_batch_that_was_cut_is_none(batch: Batch, data: st.DataObject) -> None:
    head, body = parts(dump_batch(batch))
    at = data.draw(st.integers(0, len(head) + len(body) - 1))
    with pytest.raises(WireError):
        load_batch(head[:at], body[: max(at - len(head), 0)])


@given(batches(), st.data())
def test_a_damaged_batch_is_read_or_told(batch: Batch, data: st.DataObject) -> None:
    written = bytearray(b"".join(parts(dump_batch(batch))))
    head = len(parts(dump_batch(batch))[0])
    for _ in range(data.draw(st.integers(1, 4))):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = load_batch(bytes(written[:head]), bytes(written[head:]))
    except WireError:
        return
    assert all(len(array) == read.rows for array in (*read.inputs.values(), *read.outputs.values()))


DESCRIBED = {"side": "input", "name": "x", "kind": "<f4", "shape": [1], "bytes": 4}
HEAD = {"epoch": "e", "number": 1, "rows": 1, "dropped": 0, "sampled_out": 0, "tensors": [DESCRIBED]}
JUNK = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.sampled_from(["json", "O", "<f4", "U0", "f4,f4"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)  # fmt: skip


@given(st.sampled_from(sorted(HEAD)), JUNK, st.sampled_from(sorted(DESCRIBED)), JUNK, st.binary(max_size=16))
def test_a_head_that_lies_is_told(name: str, value: Any, described: str, inner: Any, body: bytes) -> None:
    for head in ({**HEAD, name: value}, {**HEAD, "tensors": [{**DESCRIBED, described: inner}]}, value):
        with contextlib.suppress(WireError):
            load_batch(orjson.dumps(head), body)


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"kind": "json", "shape": [10**12], "bytes": 2}, b"[]"),
        ({"kind": "json", "shape": [1] * 10**5, "bytes": 3}, b"[1]"),
        ({"kind": "json", "shape": [1], "bytes": 3}, b'"a"'),
        ({"kind": "(1,f4"}, bytes(4)),
        ({"kind": "<f4\n"}, bytes(4)),
        ({"kind": "|O", "shape": [1], "bytes": 8}, bytes(8)),
        ({"shape": [-1]}, bytes(4)),
        ({"shape": [2], "bytes": 8}, bytes(8)),
        ({"bytes": -4}, bytes(4)),
        ({"bytes": 4.0}, bytes(4)),
        ({"bytes": 3}, bytes(3)),
        ({}, bytes(8)),
        ({"side": "both"}, bytes(4)),
    ],
)
def test_a_tensor_that_lies_is_told(change: dict[str, Any], body: bytes) -> None:
    load_batch(orjson.dumps(HEAD), bytes(4))  # what is changed is sound
    with pytest.raises(WireError):
        load_batch(orjson.dumps({**HEAD, "tensors": [{**DESCRIBED, **change}]}), body)


@given(st.binary(min_size=LENGTHS.size, max_size=LENGTHS.size))
def test_lengths_are_bounded(prefix: bytes) -> None:
    try:
        head, body = lengths(prefix)
    except WireError:
        return
    assert head <= 64 << 20
    assert body <= 1 << 30


def test_lengths_that_are_ours() -> None:
    assert lengths(b"".join(frame({"ack": 1}))[: LENGTHS.size]) == (len(b'{"ack":1}'), 0)
    with pytest.raises(WireError):
        lengths(struct.pack(">IQ", 2**32 - 1, 0))


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([b"caf\xc3\xa9", "x"], ["café", "x"]),
        ([b"\xff"], ["\ufffd"]),
        (["\ud800a", b"b", 1.5, None, True, 7], ["?a", "b", 1.5, None, True, 7]),
        ([2**70, "x"], [str(2**70), "x"]),
        ([np.str_("a"), np.float64(0.5)], ["a", 0.5]),
        ([1 + 2j], ["(1+2j)"]),
        ([(), ()], [[], []]),
    ],
)
def test_objects_travel_as_what_json_knows(values: list[Any], read: list[Any]) -> None:
    array = np.fromiter(values, object, len(values))
    found = load_batch(*parts(dump_batch(Batch("e", 1, len(values), {"x": array}, {}))))
    assert found.inputs["x"].tolist() == read


@pytest.mark.parametrize("dtype", [">f4", "<U3", "<f8", "S2", np.longdouble])
def test_other_kinds_of_arrays(dtype: Any) -> None:
    array = np.array(["1", "22"]).astype(dtype)
    found = load_batch(*parts(dump_batch(Batch("e", 1, 2, {"x": array[::-1]}, {}))))
    expected = array[::-1].tolist()
    assert found.inputs["x"].tolist() == [each.decode() if isinstance(each, bytes) else each for each in expected]
