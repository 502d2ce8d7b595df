"""Malformed inference requests by the hundred, made from a good one for the model of `rest_process`."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2.5]}
KIND = {"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["a"]}
COUNT = {"name": "count", "shape": [1], "datatype": "INT8", "data": [7]}
INPUTS = [X, KIND, COUNT]
GOOD = json.dumps({"inputs": INPUTS}).encode()

MAX_BODY = 20_000
MAX_ROWS = 50

HUGE = 10**12

DEEP = b"[" * 1015 + b"]" * 1015
"""As deep as the JSON parser takes it, and deeper than Python's repr does."""

DEEPER_THAN_FLAT = b"[" * 40 + b"]" * 40
"""Dimensions that numpy can hold, but not iterate over by `flat`."""

Sizes = tuple[int, int, int]

LYING = ((4, 5, 1), (12, 5, 1), (8, 4, 1), (8, 6, 1), (8, 5, 0), (8, 5, 2), (0, 5, 1), (8, 0, 1))
"""Bytes of the three tensors, where 8, 5 and 1 would be right."""

TYPES = ("text/html", "image/png", "application/xml", "multipart/form-data; boundary=x", "x", "application/grpc", "*/*")


@dataclass(frozen=True)
class Malformed:
    """One request. `names`: what the message has to name."""

    what: str
    body: bytes
    names: str
    headers: dict[str, str] = field(default_factory=dict)


def corpus() -> list[Malformed]:
    found = [*_fields(), *_top_level(), *_outputs_and_ids(), *_binary(), *_encodings(), *_numbers_of_rows()]
    assert len({each.what for each in found}) == len(found)
    return found


def _document(index: int, **changes: Any) -> bytes:
    inputs: list[Any] = [dict(each) for each in INPUTS]
    inputs[index] = {name: value for name, value in {**inputs[index], **changes}.items() if value is not ...}
    return json.dumps({"inputs": inputs}).encode()


WRONG: dict[str, list[Any]] = {
    "shape": [
        ..., None, "1", 1, {}, True, [-1], [1.5], ["1"], [None], [True], [[1]], [2**63], [2**70], [1] * 65, [0, 5], [7],
        [1, 2, 3], [2**31, 2**31], [-(2**63)],
    ],
    "datatype": [..., None, 1, "", "fp32", "FP8", "INT", "FP32 ", [], {}, ["FP32"], True, "BOOL", "UINT128"],
    "name": [..., None, 1, "", [], {}, True, "y", "X", "x ", "z" * 5000, "\u0000", "\u00e9"],
    "data": [
        ..., None, "1", 1, {}, True, [None, None, None], [[]], [[[[1]]]], [{}], [[1], [2, 3]], [True, "a"], [1] * 99,
        [2**70], [1, [2]], [{"a": 1}], [[["a"]], 2],
    ],
    "parameters": [
        [], 1, "x", True, {"binary_data_size": -1}, {"binary_data_size": 1.5}, {"binary_data_size": "4"},
        {"binary_data_size": True}, {"binary_data_size": []}, {"binary_data_size": HUGE}, {"binary_data_size": 4},
    ],
}  # fmt: skip
"""Values that no input may have; ...: without the field."""


def _fields() -> Iterator[Malformed]:
    for index, good in enumerate(INPUTS):
        for name, values in WRONG.items():
            for number, value in enumerate(values):
                yield Malformed(f"{good['name']}.{name} {number}", _document(index, **{name: value}), "inputs")


def _top_level() -> Iterator[Malformed]:
    raw = {
        "nothing": b"", "null": b"null", "a number": b"1", "a text": b'"x"', "a list": b"[]", "a word": b"NaN",
        "no UTF-8": b'{"inputs": "\xff"}', "half a surrogate": b'{"inputs": "\\ud800"}',
        "UTF-16": GOOD.decode().encode("utf-16"), "a byte order mark": b"\xef\xbb\xbf" + GOOD,
        "two documents": GOOD + GOOD, "a comma too many": GOOD[:-1] + b",}", "single quotes": GOOD.replace(b'"', b"'"),
        "deep lists": b"[" * 9000, "deep objects": b'{"a":' * 3000, "deep and closed": b"[" * 5000 + b"]" * 5000,
        "deep shape": GOOD.replace(b"[1, 2]", DEEP), "deep datatype": GOOD.replace(b'"FP32"', DEEP),
        "deep flag": GOOD[:-1] + b', "parameters": {"binary_data_output": %s}}' % DEEP,
        "deep texts": GOOD.replace(b'["a"]', DEEPER_THAN_FLAT), "deep objects as numbers": GOOD.replace(
            b"[7]", DEEPER_THAN_FLAT.replace(b"[]", b"[{}]")),
        "a long text among numbers": GOOD.replace(b"[1.5", b'["%s"%s' % (b"x" * 9000, b", 1" * 3000)),
        "deep data": GOOD.replace(b"[1.5", b"[" * 2000 + b"1.5" + b"]" * 1999 + b", 1"),
        "a control character": GOOD.replace(b"kind", b"ki\x01nd"), "a form": b"a=b&c=d", "xml": b"<inputs/>",
    }  # fmt: skip
    for number in (b"NaN", b"-Infinity", b"0x10", b"01.5", b"1e999", b"1.", b".5", b"+1", b"1_000", b"--1"):
        raw[f"the number {number.decode()}"] = GOOD.replace(b"1.5", number)
    for what, body in raw.items():
        yield Malformed(what, body, "")
    for length in range(1, len(GOOD), max(1, len(GOOD) // 30)):
        yield Malformed(f"cut off after {length} bytes", GOOD[:length], "JSON")
    for value in (None, 1, "x", {}, [], True, [1], [None], [[]], ["x"], [[X]]):
        yield Malformed(f"inputs is {value!r}", json.dumps({"inputs": value}).encode(), "inputs")
    for left_out in range(3):
        inputs = INPUTS[:left_out] + INPUTS[left_out + 1 :]
        yield Malformed(f"without input {left_out}", json.dumps({"inputs": inputs}).encode(), "inputs lacks")
        twice = json.dumps({"inputs": [*INPUTS, INPUTS[left_out]]}).encode()
        yield Malformed(f"input {left_out} twice", twice, "inputs")


def _outputs_and_ids() -> Iterator[Malformed]:
    outputs: list[Any] = [
        1, "sum", {}, True, [1], ["sum"], [None], [{}], [{"name": 1}], [{"name": "nope"}], [{"name": ""}],
        [{"name": "sum"}, {"name": "sum"}], [{"name": "sum", "parameters": 1}], [{"name": "sum", "parameters": []}],
        [{"name": "sum", "parameters": {"binary_data": 1}}], [{"name": "sum", "parameters": {"binary_data": "true"}}],
    ]  # fmt: skip
    for number, value in enumerate(outputs):
        yield Malformed(f"outputs {number}", json.dumps({"inputs": INPUTS, "outputs": value}).encode(), "outputs")
    for number, identifier in enumerate((1, [], {}, True, 1.5)):
        yield Malformed(f"id {number}", json.dumps({"inputs": INPUTS, "id": identifier}).encode(), "id")
    for number, parameters in enumerate((1, [], "x", True, {"binary_data_output": 1}, {"binary_data_output": "yes"})):
        body = json.dumps({"inputs": INPUTS, "parameters": parameters}).encode()
        yield Malformed(f"parameters {number}", body, "parameters")


def _binary() -> Iterator[Malformed]:
    """Binary tensors whose sizes lie."""
    header = "Inference-Header-Content-Length"

    def sent(
        what: str, sizes: tuple[int, int, int], tail: bytes, length: str | None = None, names: str = ""
    ) -> Malformed:
        inputs = [
            {name: value for name, value in each.items() if name != "data"} | {"parameters": {"binary_data_size": size}}
            for each, size in zip(INPUTS, sizes, strict=True)
        ]
        head = json.dumps({"inputs": inputs}).encode()
        return Malformed(what, head + tail, names, {header: str(len(head)) if length is None else length})

    tail = b"\0\0\x80\x3f" * 2 + b"\1\0\0\0a" + b"\7"
    for length in ("0", "-1", "x", "1e2", " ", "9" * 30, str(HUGE), "1", "20", "99999"):
        yield sent(f"a header length of {length}", (8, 5, 1), tail, length)
    for missing in range(1, len(tail) + 1):
        yield sent(f"{missing} bytes too few", (8, 5, 1), tail[:-missing], names="inputs")
    for more in (1, 4, 100):
        yield sent(f"{more} bytes too many", (8, 5, 1), tail + b"\0" * more, names="binary data")
    for number, sizes in enumerate(
        ((4, 5, 1), (12, 5, 1), (8, 4, 1), (8, 6, 1), (8, 5, 0), (8, 5, 2), (0, 5, 1), (8, 0, 1))
    ):
        yield sent(f"sizes {number}", sizes, tail, names="inputs")
    for length in (0, 2, 100, 2**31, 2**32 - 1):
        lying = tail[:8] + length.to_bytes(4, "little") + b"a" + tail[13:]
        yield sent(f"a text that says it has {length} bytes", (8, 5, 1), lying, names="inputs[1]")


def _encodings() -> Iterator[Malformed]:
    packed = gzip.compress(GOOD)
    for what, body, encoding in (
        ("gzip that is none", GOOD, "gzip"), ("deflate that is none", GOOD, "deflate"), ("brotli", GOOD, "br"),
        ("an unknown encoding", GOOD, "x"), ("two encodings", packed, "gzip, gzip"), ("zstd", GOOD, "zstd"),
        ("gzip with more behind", packed + b"x", "gzip"), ("deflate cut off", zlib.compress(GOOD)[:-5], "deflate"),
        ("a bomb", gzip.compress(b" " * 50_000_000), "gzip"), ("lists", zlib.compress(b"[1," * 9_000_000), "deflate"),
    ):  # fmt: skip
        yield Malformed(what, body, "", {"Content-Encoding": encoding})
    for length in range(1, len(packed), max(1, len(packed) // 10)):
        yield Malformed(f"gzip cut off after {length}", packed[:length], "gzip", {"Content-Encoding": "gzip"})
    for kind in (
        "text/html",
        "image/png",
        "application/xml",
        "multipart/form-data; boundary=x",
        "x",
        "application/grpc",
        "*/*",
    ):
        yield Malformed(f"of type {kind}", GOOD, "Content-Type", {"Content-Type": kind})
    for value in ("x", "-5", "1.5", "9" * 40):
        yield Malformed(f"a timeout of {value}", GOOD, "timeout", {"x-envoy-expected-rq-timeout-ms": value})


def _numbers_of_rows() -> Iterator[Malformed]:
    def rows(x: int, kind: int, count: int) -> bytes:
        inputs = [
            {**X, "shape": [x, 2], "data": [1.0, 2.0] * x}, {**KIND, "shape": [kind], "data": ["a"] * kind},
            {**COUNT, "shape": [count], "data": [1] * count},
        ]  # fmt: skip
        return json.dumps({"inputs": inputs}).encode()

    for x, kind, count in ((2, 1, 1), (1, 2, 1), (1, 1, 2), (3, 2, 1), (0, 1, 1), (5, 5, 4)):
        yield Malformed(f"{x}, {kind} and {count} rows", rows(x, kind, count), "number of rows")
    yield Malformed("too many rows", rows(*[MAX_ROWS + 1] * 3), str(MAX_ROWS))
    yield Malformed("a body too large", GOOD + b" " * MAX_BODY, str(MAX_BODY))
