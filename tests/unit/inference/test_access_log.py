"""Lines about single requests: the access log of sampled predictions, and whose request a line is about. The last tests
change what is wanted under a server that runs."""

import http.client
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from modelward_inference.telemetry.requestlog import AccessLog, whose

from .processes import DEADLINE, ServerProcess, free_port
from .test_logs import SCHEMA

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = f"00-{TRACE}-b7ad6b7169203331-01"


def answered(caplog: pytest.LogCaptureFixture, share: float, *ids: str) -> list[str]:
    """Which of the requests are in the log."""
    access = AccessLog()
    access.set_share(share)
    caplog.clear()
    for each in ids:
        if access.active:
            access.take("rest", 200, 0.0015, 2, each, PARENT)
    return [record.request_id for record in caplog.records]


def test_a_share_of_the_requests_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ids = [f"request-{each}" for each in range(2000)]
    assert answered(caplog, 0, *ids) == []
    assert answered(caplog, 1, *ids) == ids
    some = answered(caplog, 0.1, *ids)
    assert 120 < len(some) < 280
    assert answered(caplog, 0.1, *ids) == some, "the same in every pod"
    assert set(some) < set(answered(caplog, 0.2, *ids))


def test_a_request_without_an_id_is_chosen_at_random(caplog: pytest.LogCaptureFixture) -> None:
    access = AccessLog()
    access.set_share(0.5)
    for _ in range(200):
        access.take("grpc", "OK", 0.0, 1, "")
    assert 50 < len(caplog.records) < 150


def test_a_line_says_how_it_went(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().setLevel(logging.ERROR)  # the share alone says how many
    answered(caplog, 1, "r" * 1000)
    (record,) = caplog.records
    found = {name: getattr(record, name) for name in ("protocol", "status", "rows", "ms", "trace_id", "request_id")}
    assert found == {
        "protocol": "rest", "status": "200", "rows": 2, "ms": 1.5, "trace_id": TRACE, "request_id": "r" * 128
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("", ""), {}),
        (("r", ""), {"request_id": "r"}),
        (("", PARENT), {"trace_id": TRACE}),
        (("r", "no parent"), {"request_id": "r"}),
        (("r", f"00-{'0' * 32}-b7ad6b7169203331-01"), {"request_id": "r"}),
    ],
)
def test_whose_a_line_is(given: tuple[str, str], told: dict[str, str]) -> None:
    assert whose(*given) == told


def out_of_range() -> bytes:
    """`place` INT64 [-1, 1] gives `value`, of the three that there are; whoever asks for another breaks the model."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["values", "place"], ["value"])],
        "gather",
        [helper.make_tensor_value_info("place", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("values", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class Served(ServerProcess):
    """A server of that model, that follows a file."""

    def __init__(self, folder: Path) -> None:
        self.wanted = folder / "logging"
        self.grpc_port = free_port()
        super().__init__(
            folder, model=out_of_range(), LOGGING_FILE=str(self.wanted), MODEL_NAME="fraud", MODEL_REVISION="fraud-a",
            GRPC_PORT=str(self.grpc_port),
        )  # fmt: skip

    def asks(self, place: int, request: str) -> int:
        tensor = {"name": "place", "shape": [2, 1], "datatype": "INT64", "data": [0, place]}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            headers = {"x-request-id": request, "traceparent": PARENT}
            path = f"/v2/models/{self.manifest.name}/infer"
            connection.request("POST", path, json.dumps({"inputs": [tensor]}), headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def asks_by_grpc(self, request: str) -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{self.grpc_port}") as client:
            tensor = triton.InferInput("place", [3, 1], "INT64")
            tensor.set_data_from_numpy(np.array([[0], [1], [2]]))
            client.infer(self.manifest.name, [tensor], headers={"x-request-id": request, "traceparent": PARENT})

    def lines(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in (self._folder / "log").read_text().splitlines()]
        for each in found:
            SCHEMA.validate(each)
        return found

    def until(self, seen: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Its lines, once they are as wanted."""
        end = time.monotonic() + DEADLINE
        while not seen(found := self.lines()):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found


def test_what_is_logged_changes_while_it_runs(tmp_path: Path) -> None:
    with Served(tmp_path) as server:
        assert server.asks(2, "before") == 200
        assert server.asks(987654, "broken") >= 400
        assert not [each for each in server.lines() if each["logger"] == "modelward.access"]
        server.wanted.write_text('{"level": "WARNING", "accessLogShare": 1}')
        # What it takes up it says at INFO, which is off now: the first line of the access log tells.
        server.until(lambda _: server.asks(2, "sampled") == 200 and "sampled" in server.lines()[-1].values())
        server.asks(987654, "broken-again")
        server.asks_by_grpc("by-grpc")
        server.wanted.write_text('{"level": "DEBUG"}')
        server.until(lambda lines: "level DEBUG" in lines[-1]["message"])
        server.asks(987654, "debugged")
        lines = server.until(lambda lines: any(each.get("request_id") == "debugged" for each in lines))
    by_id: dict[str, list[dict[str, Any]]] = {}
    for each in lines:
        by_id.setdefault(each.get("request_id", ""), []).append(each)
        assert (each["component"], each.get("name"), each.get("revision")) == ("server", "fraud", "fraud-a")
    assert "before" not in by_id
    sampled = by_id["sampled"][0]
    assert sampled.pop("ms") >= 0
    del sampled["ts"]
    assert sampled == {
        "level": "INFO", "logger": "modelward.access", "message": "answered", "component": "server", "name": "fraud",
        "revision": "fraud-a", "request_id": "sampled", "trace_id": TRACE, "protocol": "rest", "status": "200",
        "rows": 2,
    }  # fmt: skip
    (by_grpc,) = by_id["by-grpc"]
    assert (by_grpc["protocol"], by_grpc["status"], by_grpc["rows"], by_grpc["trace_id"]) == ("grpc", "OK", 3, TRACE)
    assert all(each["trace_id"] == TRACE for name, found in by_id.items() if name for each in found)
    failed = [each for each in by_id["broken-again"] if each["logger"] == "modelward.access"]
    assert [("rows" in each, int(each["status"]) >= 400) for each in failed] == [(False, True)]
    quiet = [each for name in ("", "broken", "broken-again", "sampled") for each in by_id.get(name, ())]
    assert "987654" not in json.dumps(quiet), "a feature's value is in no line, whatever the model says"
    assert "987654" in json.dumps(by_id["debugged"]), "unless it is asked for"
