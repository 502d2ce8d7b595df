"""Capture by a real server: all rows arrive once, whatever the monitor does, and no request notices."""

import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from .fake_monitor import Disk, FakeMonitor, read_batch, say
from .processes import DEADLINE, POLL, ServerProcess, free_port
from .rest_process import Process, ask, serving

LITTLE = 65536
"""Bytes of the smallest buffer."""


def body(*numbers: float, kind: str = "a", outputs: tuple[str, ...] = ()) -> bytes:
    """A row for each number, which is its first column."""
    rows = len(numbers)
    inputs = [
        {"name": "x", "shape": [rows, 2], "datatype": "FP32", "data": [[number, 0] for number in numbers]},
        {"name": "kind", "shape": [rows], "datatype": "BYTES", "data": [kind] * rows},
        {"name": "count", "shape": [rows], "datatype": "INT8", "data": [7] * rows},
    ]
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return json.dumps({"inputs": inputs, **wanted}).encode()


def metric(process: ServerProcess, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=DEADLINE) as answer:
        found = re.search(rf"^modelward_capture_{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def rows_total(process: ServerProcess, result: str) -> float:
    return metric(process, f'rows_total{{result="{result}"}}')


def until(condition: Callable[[], bool]) -> None:
    """Ask again and again; fails after the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(POLL)


def ask_many(process: Process, numbers: range, clients: int = 8) -> None:
    with ThreadPoolExecutor(clients) as pool:
        statuses = pool.map(lambda number: ask(process, body(number))[0], numbers)
        assert set(statuses) == {200}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the socket: short, since there is a limit to it."""
    folder = tmp_path / "m"
    folder.mkdir()
    return folder / "s"


@contextlib.contextmanager
def captured(tmp_path: Path, path: Path, **settings: str) -> Iterator[Process]:
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "b", CAPTURE_SOCKET=str(path), **settings) as process:
        yield process


def test_every_row_arrives_once_with_its_answer(tmp_path: Path, path: Path) -> None:
    with FakeMonitor(path) as monitor, captured(tmp_path, path) as process:
        ask_many(process, range(100))
        assert ask(process, body(*range(100, 130), kind="ü"))[0] == 200
        assert ask(process, body(1, kind="a", outputs=("no such",)))[0] == 400
        monitor.wait(lambda: monitor.rows_seen() == 130)
        until(lambda: metric(process, "acknowledged_rows_total") == 130)
        assert rows_total(process, "sent") == 130
        assert metric(process, "buffer_bytes") == 0
        assert metric(process, "connected") == 1
    assert monitor.disk.rows() == list(range(130))
    kinds = [kind for batch in monitor.disk.batches for kind in batch.inputs["kind"].tolist()]
    assert sorted(kinds) == ["a"] * 100 + ["ü"] * 30
    for batch in monitor.disk.batches:
        assert batch.outputs["sum"].tolist() == batch.inputs["x"].sum(axis=1).tolist()
        assert batch.outputs["echo"].tolist() == batch.inputs["kind"].tolist()
        assert {name: array.dtype.str for name, array in batch.inputs.items()} == {
            "x": "<f4", "kind": "|O", "count": "|i1",
        }  # fmt: skip


def test_binary_tensors_arrive_as_they_were(tmp_path: Path, path: Path) -> None:
    texts = [b"a\x00b", "ü".encode()]
    parts = [
        struct.pack("<4f", 1, float("nan"), 2, float("inf")),
        b"".join(struct.pack("<I", len(text)) + text for text in texts),
        bytes([1, 255]),
    ]
    kinds = (("x", "FP32", [2, 2]), ("kind", "BYTES", [2]), ("count", "INT8", [2]))
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(part)}}
        for (name, datatype, shape), part in zip(kinds, parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "outputs": [{"name": "same"}]}).encode()
    with FakeMonitor(path) as monitor, captured(tmp_path, path) as process:
        status, answer = ask(process, head + b"".join(parts), Inference_Header_Content_Length=str(len(head)))
        assert status == 200, answer
        monitor.wait(lambda: monitor.rows_seen() == 2)
    batch = monitor.disk.batches[0]
    assert batch.inputs["x"].tobytes() == parts[0]
    assert batch.inputs["kind"].tolist() == ["a\0b", "ü"]
    assert {name: array.tolist() for name, array in batch.outputs.items()} == {"same": [1, -1]}


def test_grpc_and_one_tensor_of_all_columns(tmp_path: Path, path: Path) -> None:
    (tmp_path / "b").mkdir()
    port = free_port()
    settings = {"GRPC_PORT": str(port), "CAPTURE_SOCKET": str(path), "DRAIN_SECONDS": "0"}
    with FakeMonitor(path) as monitor, ServerProcess(tmp_path / "b", **settings) as process:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            for number in range(20):
                request = pb.ModelInferRequest(model_name="m")
                tensor = request.inputs.add(name="X", datatype="FP32", shape=[2, 4])
                rows = [float(2 * number), 0, 0, 0, float(2 * number + 1), 0, 0, 0]
                if number % 2:
                    request.raw_input_contents.append(struct.pack("<8f", *rows))
                else:
                    tensor.contents.fp32_contents.extend(rows)
                infer(request, timeout=DEADLINE)
        process.terminate()
        assert process.process.wait(DEADLINE) == 0
    assert monitor.disk.rows("X") == list(range(40))
    outputs = {output.name for output in process.manifest.signature.outputs}
    assert all(batch.outputs.keys() == outputs for batch in monitor.disk.batches)


def test_a_killed_monitor_gets_again_what_it_had_not_saved(tmp_path: Path, path: Path) -> None:
    disk = Disk()
    with captured(tmp_path, path) as process:
        with FakeMonitor(path, disk) as monitor:
            ask_many(process, range(20))
            monitor.wait(lambda: monitor.rows_seen() == 20)
        for first in (20, 40):
            with FakeMonitor(path, disk, saves=False) as forgetful:
                ask_many(process, range(first, first + 20))
                forgetful.wait(lambda end=first + 20: forgetful.rows_seen() == end)  # type: ignore[misc]
        assert disk.rows() == list(range(20))
        ask_many(process, range(60, 80))  # nobody is there
        with FakeMonitor(path, disk) as back:
            back.wait(lambda: back.rows_seen() == 80)
            until(lambda: metric(process, "buffer_bytes") == 0)
            assert rows_total(process, "sent") == 80
    assert disk.rows() == list(range(80))
    assert disk.batches[-1].dropped == 0


def test_an_acknowledgement_that_got_lost_is_in_the_greeting(tmp_path: Path, path: Path) -> None:
    disk = Disk()

    def saves_and_dies(connection: socket.socket) -> None:
        say(connection, epoch=None, number=0)
        disk.keep([read_batch(connection)])

    with captured(tmp_path, path) as process:
        with FakeMonitor(path, talk=saves_and_dies):
            ask_many(process, range(5))
            until(lambda: len(disk.batches) > 0)
        with FakeMonitor(path, disk) as monitor:
            monitor.wait(lambda: monitor.rows_seen() == 5)
    assert disk.rows() == list(range(5))


def test_a_monitor_that_never_reads_costs_its_rows_and_no_request(tmp_path: Path, path: Path) -> None:
    def deaf(connection: socket.socket) -> None:
        say(connection, epoch=None, number=0)
        monitor.ended.wait(DEADLINE)

    with captured(tmp_path, path, CAPTURE_BUFFER_BYTES=str(4 * LITTLE)) as process:
        monitor = FakeMonitor(path, talk=deaf)
        with monitor:
            until(lambda: metric(process, "connected") == 1)
            for number in range(200):
                assert ask(process, body(*[number] * 100))[0] == 200
            assert rows_total(process, "dropped") > 0
            assert metric(process, "buffer_bytes") <= 4 * LITTLE
        with FakeMonitor(path) as honest:
            until(lambda: metric(process, "buffer_bytes") == 0)
            dropped = rows_total(process, "dropped")
            honest.wait(lambda: honest.disk.batches[-1].dropped == dropped)
            assert 0 < honest.rows_seen() == 20_000 - dropped


def test_nonsense_disconnects_and_loses_nothing(tmp_path: Path, path: Path) -> None:
    """All that can be said wrong is in test_capture_link."""

    def lies(connection: socket.socket) -> None:
        if liar.connections % 2:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            say(connection, epoch=None, number=0)
            say(connection, ack=2**40)
        while connection.recv(1 << 16):  # until the server hangs up
            pass

    with captured(tmp_path, path) as process:
        liar = FakeMonitor(path, talk=lies)
        with liar:
            liar.wait(lambda: liar.connections == 3)
            assert ask(process, body(1))[0] == 200
            liar.wait(lambda: liar.connections == 4)
        with FakeMonitor(path) as honest:
            honest.wait(lambda: honest.rows_seen() == 1)


def test_without_a_monitor_memory_is_bounded_and_drops_are_counted(tmp_path: Path, path: Path) -> None:
    request = body(*range(2000))
    with captured(tmp_path, path, CAPTURE_BUFFER_BYTES=str(1 << 20)) as process:
        assert ask(process, request)[0] == 200
        before = process.memory()
        for _ in range(300):
            assert ask(process, request)[0] == 200
        assert metric(process, "buffer_bytes") <= 2 << 20
        assert metric(process, "connected") == 0
        dropped = rows_total(process, "dropped")
        assert dropped > 500_000
        assert rows_total(process, "sent") == 0
        assert process.memory() - before < 60 << 20


def test_what_is_not_chosen_is_counted(tmp_path: Path, path: Path) -> None:
    with FakeMonitor(path) as monitor, captured(tmp_path, path, CAPTURE_SAMPLING="0.25") as process:
        for number in range(200):
            assert ask(process, body(number, number))[0] == 200
        monitor.wait(lambda: monitor.rows_seen() + monitor.disk.batches[-1].sampled_out == 400)
    assert 20 < monitor.rows_seen() < 200  # of binomial(200, 0.25) pairs of rows; either end is 1e-7 away


@pytest.mark.parametrize("fraction", ["1", "0.5"])
def test_the_last_rows_are_handed_over_at_the_end(tmp_path: Path, path: Path, fraction: str) -> None:
    with FakeMonitor(path) as monitor, captured(tmp_path, path, CAPTURE_SAMPLING=fraction) as process:
        ask_many(process, range(50))
        process.terminate()
        assert process.process.wait(DEADLINE) == 0
    last = monitor.disk.batches[-1]
    assert monitor.rows_seen() + last.sampled_out == 50
    assert "reached no monitor" not in process.log


def test_the_end_does_not_wait_for_ever(tmp_path: Path, path: Path) -> None:
    with FakeMonitor(path, saves=False) as monitor, captured(tmp_path, path) as process:
        ask_many(process, range(5))
        monitor.wait(lambda: monitor.rows_seen() == 5)
        process.terminate()
        assert process.process.wait(DEADLINE) == 0
    assert "0 captured rows reached no monitor; of 5 it is not known" in process.log


def test_a_server_without_a_socket_has_no_metrics_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as process, urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=DEADLINE) as answer:
        assert b"modelward_capture" not in answer.read()
