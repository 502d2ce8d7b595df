"""Whose rows they are, as a real server tells the monitor: ids, the callers' keys, the arm, time and latency."""

import json
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.capture.buffer import Buffer
from modelward_inference.capture.calls import MOST_REQUESTS
from modelward_inference.capture.requests import COLUMNS, Requests, RequestsError
from modelward_inference.capture.wire import LENGTHS, Batch, load_batch
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.origin import MAX_KEY, Origin, arm_of, key_of

from .fake_monitor import FakeMonitor
from .processes import DEADLINE, ServerProcess, free_port
from .rest_process import ask, serving
from .test_capture_served import body, path  # noqa: F401  a fixture

ARMS = "m-a=stable,m-b=candidate"


def told(monitor: FakeMonitor) -> list[dict[str, Any]]:
    """A dictionary for each request, in the order in which they came."""
    requests = [each.requests for each in monitor.disk.batches if each.requests is not None]
    rows = [
        dict(zip(COLUMNS, one, strict=True)) for each in requests for one in zip(*each.to_dict().values(), strict=True)
    ]
    return sorted(rows, key=lambda row: row["times"])


def test_a_request_is_told_with_its_id_its_key_and_its_arm(tmp_path: Path, path: Path) -> None:  # noqa: F811
    began = time.time()
    settings = {"CAPTURE_SOCKET": str(path), "MODEL_REVISION": "m-b"}
    with FakeMonitor(path) as monitor, serving(tmp_path, **settings) as process:
        sent = [
            (body(1, 2), {"x-request-id": "one", "modelward-key": "order 1"}),
            (body(3), {"x-request-id": "two", "x-modelward-arms": ARMS}),
            (body(4), {"x-request-id": "three", "x-modelward-arms": "shadow"}),
            (body(5), {"x-request-id": "four", "x-modelward-arms": "m-a=stable"}),
            (json.dumps({**json.loads(body(6)), "id": "mine", "parameters": {"modelward_key": 7}}).encode(), {}),
            (body(7), {}),
        ]
        for content, headers in sent:
            assert ask(process, content, **headers)[0] == 200
        monitor.wait(lambda: monitor.rows_seen() == 7)
    rows = told(monitor)
    assert [row["ids"] for row in rows[:5]] == ["one", "two", "three", "four", "mine"]
    assert rows[5]["ids"] not in ("", "mine")
    assert [row["keys"] for row in rows] == ["order 1", None, None, None, "7", None]
    assert [row["arms"] for row in rows] == ["direct", "candidate", "shadow", "direct", "direct", "direct"]
    assert [row["rows"] for row in rows] == [2, 1, 1, 1, 1, 1]
    assert all(began < row["times"] < time.time() and 0 < row["latencies"] < DEADLINE for row in rows)


def test_a_key_that_is_none_is_told_by_its_name(tmp_path: Path, path: Path) -> None:  # noqa: F811
    with FakeMonitor(path), serving(tmp_path, CAPTURE_SOCKET=str(path)) as process:
        for key in ("", "x" * (MAX_KEY + 1)):
            status, answer = ask(process, body(1), **{"modelward-key": key})
            assert (status, b"modelward-key" in answer) == (400, True)
        bad = json.dumps({**json.loads(body(6)), "parameters": {"modelward_key": [1]}}).encode()
        status, answer = ask(process, bad)
        assert (status, b"parameters.modelward_key" in answer) == (400, True)


def test_grpc_tells_the_same(tmp_path: Path, path: Path) -> None:  # noqa: F811
    port = free_port()
    settings = {"GRPC_PORT": str(port), "CAPTURE_SOCKET": str(path), "DRAIN_SECONDS": "0", "MODEL_REVISION": "m-a"}
    with FakeMonitor(path) as monitor, ServerProcess(tmp_path, **settings) as process:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            request = pb.ModelInferRequest(model_name="m")
            tensor = request.inputs.add(name="X", datatype="FP32", shape=[1, 4])
            tensor.contents.fp32_contents.extend([0.0] * 4)
            names = (("x-request-id", "one"), ("modelward-key", "k"), ("x-modelward-arms", ARMS))
            infer(request, timeout=DEADLINE, metadata=names)
            request.id = "two"
            request.parameters["modelward_key"].string_param = "k2"
            infer(request, timeout=DEADLINE)
            with pytest.raises(grpc.RpcError) as error:
                infer(request, timeout=DEADLINE, metadata=(("modelward-key", "x" * 300),))
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        process.terminate()
        assert process.process.wait(DEADLINE) == 0
    assert [(row["ids"], row["keys"], row["arms"]) for row in told(monitor)] == [
        ("one", "k", "stable"), ("two", "k2", "direct"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arms", "expected"),
    [("", "direct"), ("shadow", "shadow"), (ARMS, "stable"), ("m-a=root", "direct"), ("m-aa=stable", "direct")],
)
def test_who_answers_finds_itself_in_the_split(arms: str, expected: str) -> None:
    assert arm_of(arms, "m-a") == expected
    assert arm_of("=stable", "") == "direct"


@pytest.mark.parametrize("header", [b"\xff", b"a\0b", b"", "\n"])
def test_what_is_no_text_is_no_key(header: Any) -> None:
    with pytest.raises(RequestError, match="modelward-key"):
        key_of(header, {})


def frames(buffer: Buffer) -> list[Batch]:
    found, number = [], 0
    while buffer.join():
        pass
    while (frame := buffer.after(number)) is not None:
        number += 1
        written = b"".join(frame.pieces)
        head, _ = LENGTHS.unpack(written[: LENGTHS.size])
        assert head < 4 << 20, "the monitor takes no longer heads"
        found.append(load_batch(written[LENGTHS.size : LENGTHS.size + head], written[LENGTHS.size + head :]))
    return found


def test_a_large_request_in_pieces_numbers_its_rows_on() -> None:
    buffer = Buffer(64 << 20)
    x = np.arange(600_000.0).reshape(-1, 2)
    buffer.take({"x": x}, {}, len(x), [(Origin("one"), 100_000, 0.0), (Origin("two", "k"), 200_000, 0.0)])
    rows = []
    for batch in frames(buffer):
        assert batch.requests is not None
        position = 0
        for name, count, first in zip(batch.requests.ids, batch.requests.rows, batch.requests.firsts, strict=True):
            values = batch.inputs["x"][position : position + count, 0].tolist()
            rows += list(zip([name] * count, range(first, first + count), values, strict=True))
            position += count
    assert rows == [
        *(("one", row, 2.0 * row) for row in range(100_000)),
        *(("two", row, 200_000 + 2.0 * row) for row in range(200_000)),
    ]


def test_heads_stay_short_however_many_requests_with_long_names_wait() -> None:
    buffer = Buffer(256 << 20)
    long = Origin("i" * 1000, '"' * MAX_KEY, trace=TRACE)
    for _ in range(2 * MOST_REQUESTS + 10):
        buffer.take({"x": np.ones(1)}, {}, 1, [(long, 1, 0.0)])
    found = frames(buffer)
    assert sum(len(each.requests or ()) for each in found) == 2 * MOST_REQUESTS + 10
    assert len(found) == 3


@given(st.lists(st.integers(0, 5), max_size=5), st.data())
def test_parts_are_the_whole(counts: list[int], data: st.DataObject) -> None:
    asked = [(Origin(str(index)), count, 0.0) for index, count in enumerate(counts)]
    whole = Requests.of([(asked, 1.0, 2.0)], "", str)
    cut = data.draw(st.integers(0, sum(counts)))

    def rows(requests: Requests) -> list[tuple[str, int]]:
        columns = zip(requests.ids, requests.rows, requests.firsts, strict=True)
        return [(name, row) for name, count, first in columns for row in range(first, first + count)]

    parts = [whole.part(0, cut), whole.part(cut, sum(counts))]
    assert rows(parts[0]) + rows(parts[1]) == rows(whole)


GOOD = Requests(["a"], [None], ["stable"], [2], [0], [1.0], [0.5]).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [1]}, {"ids": ["a", "b"]}, {"rows": [3]}, {"rows": [-1]}, {"rows": [True]}, {"times": [1e300]},
        {"times": ["now"]}, {"keys": ["k" * 300]}, {"firsts": [2**40]}, {"latencies": None},
    ],
)  # fmt: skip
def test_requests_that_cant_be_are_told(change: dict[str, Any]) -> None:
    assert Requests.from_dict(GOOD, 2).ids == ["a"]
    with pytest.raises(RequestsError):
        Requests.from_dict({**GOOD, **change}, 2)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_span_travels_with_its_request_and_with_no_other() -> None:
    buffer = Buffer(64 << 20)
    x = np.arange(300_000.0).reshape(-1, 2)
    buffer.take({"x": x}, {}, len(x), [(Origin("one"), 50_000, 0.0), (Origin("two", trace=TRACE), 100_000, 0.0)])
    buffer.take({"x": np.ones((1, 2))}, {}, 1, [(Origin("three"), 1, 0.0)])
    buffer.take({"x": np.ones((1, 2))}, {}, 1, [(Origin("four", trace=TRACE), 1, 0.0)])
    rows = {"two": 0, "four": 0}
    batches = frames(buffer)
    for batch in batches:
        assert batch.requests is not None
        for index, context in batch.requests.contexts:
            assert (context.trace_id, context.span_id) == (TRACE[3:35], TRACE[36:52])
            rows[batch.requests.ids[index]] += batch.requests.rows[index]
        assert ("traces" in batch.requests.to_dict()) is bool(batch.requests.traces)
    assert rows == {"two": 100_000, "four": 1}
    assert sum(not (batch.requests or Requests()).traces for batch in batches) >= 1


@pytest.mark.parametrize(
    "traces",
    [
        None, {}, [1], [[0]], [[0, "x"]], [[0, 1]], [["0", TRACE]], [[1, TRACE]], [[-1, TRACE]], [[True, TRACE]],
        [[0, TRACE.replace("-", "_")]],
    ],
)  # fmt: skip
def test_a_trace_that_cant_be_read_costs_no_row(traces: Any) -> None:
    found = Requests.from_dict({**GOOD, "traces": traces}, 2)
    assert (found.ids, found.traces) == (["a"], [])
    assert Requests.from_dict({**GOOD, "traces": [[0, TRACE], [0, TRACE]]}, 2).traces == [(0, TRACE)]


def test_an_arm_of_another_release_is_none_of_ours() -> None:
    assert Requests.from_dict({**GOOD, "arms": ["queen"]}, 2).arms == ["direct"]
