"""Outcomes told to a real server, and kept by a real monitor: each is in the files once, or its sender knows better."""

import asyncio
import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from modelward_inference.capture import wire
from modelward_inference.protocol.outcomes import MAX_BODY
from modelward_monitor.predictionlog import house, stores
from modelward_monitor.predictionlog.names import Folder
from modelward_monitor.predictionlog.settings import LogSettings
from unit.inference.rest_process import Process, ask, serving
from unit.inference.test_capture_served import body as prediction
from unit.monitor.worlds import DEADLINE, MonitorProcess, read_frame, reference, send, write_bundle

from .logs import asked, paths, rows, settings, told_rows, until
from .logs import told as document

PATH = "/v2/models/m/outcomes"
KILLS = 4
AGAIN = 3
"""Times that a client tells what was not taken within the server's patience."""


def tell(process: Process, told: Any, **headers: str) -> tuple[int, Any]:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    status, answer = ask(process, body, PATH, **headers)
    return status, json.loads(answer)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    made.mkdir()
    return made


@pytest.fixture
def world(bundle: Path, store: Path) -> Iterator[tuple[MonitorProcess, Process]]:
    with (
        MonitorProcess(bundle, **settings(store)) as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        yield monitor, server


def test_what_is_told_is_in_files_beside_the_predictions(world: tuple[MonitorProcess, Process], store: Path) -> None:
    monitor, server = world
    before = time.time()
    whole = {"request_id": "q1", "row": 3, "value": 1, "time": "2026-01-01T00:00:00Z", "weight": 0.5}
    assert tell(server, {"outcomes": [whole, {"key": "order 1", "value": "spam"}]}) == (202, {"outcomes": 2})
    assert tell(server, gzip.compress(b'{"key": "order 2", "value": true}'), content_encoding="gzip")[0] == 202
    assert document(monitor)["outcomes"]["written"] == 3
    until(lambda: document(monitor)["outcomes"]["stored"] == 3, lambda: monitor.log)
    assert document(monitor)["outcomes"] == {
        "written": 3, "stored": 3, "waiting": 0, "refused": 0, "lost": 0, "invalid_requests": 0,
    }  # fmt: skip
    found = told_rows(store)
    values = [[row[name] for name in ("request_id", "key", "row", "value", "weight")] for row in found]
    assert values == [
        [None, "order 1", None, "spam", None], [None, "order 2", None, "true", None], ["q1", None, 3, "1", 0.5],
    ]  # fmt: skip
    assert found[2]["time"].isoformat() == "2026-01-01T00:00:00+00:00"
    assert all(before <= row["arrived"].timestamp() <= time.time() for row in found)
    folder = {Folder.of(path.rpartition("/")[0]) for path in paths(store)}
    assert {(each.namespace, each.model, each.revision) for each in folder if each} == {("ml", "m", "")}
    metrics = monitor.metrics()
    assert metrics['modelward_monitor_outcomes_total{result="stored",revision="m-a"}'] == 3
    # Predictions are beside them, and neither is taken for the other.
    assert ask(server, prediction(1, 2), modelward_key="order 1")[0] == 200
    until(lambda: document(monitor)["rows"]["stored"] == 2, lambda: monitor.log)
    assert {path.split("/")[0] for path in paths(store)} == {"outcomes", "v1"}
    assert document(monitor)["outcomes"]["stored"] == 3


def test_a_monitor_that_is_killed_again_and_again_keeps_each_once(
    world: tuple[MonitorProcess, Process], store: Path
) -> None:
    monitor, server = world
    done = threading.Event()

    def kill() -> None:
        for number in range(KILLS):
            until(lambda: document(monitor)["outcomes"]["written"] >= 20 * number)  # noqa: B023
            monitor.kill()
            monitor.start()
        done.set()

    again: Counter[int] = Counter()

    def say(number: int) -> int:
        """Until it is taken: a monitor that is not back within the server's patience is told once more."""
        entries = [{"key": f"k{number}", "row": row, "value": row} for row in range(2)]
        while (status := tell(server, {"outcomes": entries})[0]) == 503 and again[number] < AGAIN:
            again[number] += 1
        return status

    killing = threading.Thread(target=kill)
    killing.start()
    with ThreadPoolExecutor(4) as pool:
        count = 0
        while not done.is_set() or count < 60:
            assert set(pool.map(say, range(count, count + 10))) == {202}, monitor.log
            count += 10
    killing.join(DEADLINE)

    def is_stored() -> bool:
        told = document(monitor)["outcomes"]
        return bool(told["stored"] == told["written"] >= 2 * count)

    until(is_stored, lambda: (document(monitor), monitor.log))
    found = Counter((row["key"], row["row"]) for row in told_rows(store))
    assert set(found) == {(f"k{number}", row) for number in range(count) for row in range(2)}
    for number in range(count):
        for row in range(2):
            assert found[f"k{number}", row] <= 1 + again[number], "no more often than it was sent"


def test_one_that_is_sent_again_under_its_id_is_kept_once(bundle: Path, store: Path) -> None:
    """Also where the snapshot that knew it is lost."""
    with MonitorProcess(bundle, **settings(store, PREDICTION_LOG_SECONDS="3600")) as monitor:
        for _ in range(2):
            assert asyncio.run(_once(monitor, "same", b'{"key": "k", "value": 1}'))["status"] == 202
        monitor.kill()
        monitor.start()
        assert asyncio.run(_once(monitor, "same", b'{"key": "k", "value": 1}'))["status"] == 202
        monitor.kill()
        (monitor.folder / "state" / "snapshot").write_bytes(b"nonsense")
        monitor.start()
        assert asyncio.run(_once(monitor, "same", b'{"key": "k", "value": 1}'))["status"] == 202
        assert asyncio.run(_once(monitor, "other", b'{"key": "k2", "value": 1}'))["status"] == 202
        monitor.terminate()
        assert monitor.process.wait(DEADLINE) == 0
    assert [row["key"] for row in told_rows(store)] == ["k", "k2"]


async def _once(monitor: MonitorProcess, name: str, body: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(monitor.folder / "outcome.sock")
    try:
        writer.writelines(wire.frame({"id": name, "encoding": ""}, [body]))
        return await read_frame(reader)
    finally:
        writer.close()


def test_a_full_disk_refuses_and_loses_nothing(bundle: Path, store: Path) -> None:
    more = settings(store, PREDICTION_LOG_SECONDS="3600", PREDICTION_LOG_DISK_BYTES=str(1 << 20))
    told = {"outcomes": [{"key": "k" * 200, "value": 1}] * 300}
    with (
        MonitorProcess(bundle, **more) as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        assert tell(server, told)[0] == 202
        status, answer = tell(server, told)
        assert (status, "spec.predictionLog.diskLimit" in answer["error"]) == (503, True)
        outcomes = document(monitor)["outcomes"]
        assert (outcomes["written"], outcomes["refused"], outcomes["lost"]) == (300, 300, 0)
        # Rows have their own room.
        send(monitor.socket, asked(1, 10))
        assert sum(document(monitor)["lost"].values()) == 0
        server.terminate()
        server.process.wait(DEADLINE)
        monitor.terminate()
        assert monitor.process.wait(DEADLINE) == 0
    assert len(told_rows(store)) == 300


def test_what_is_wrong_is_refused_as_a_whole(world: tuple[MonitorProcess, Process]) -> None:
    monitor, server = world
    status, answer = tell(server, {"outcomes": [{"key": "k", "value": 1}, {"key": "k"}]})
    assert (status, answer) == (
        400, {"error": "outcomes[1].value is missing: say what became of the prediction"}
    )  # fmt: skip
    assert tell(server, b" " * (MAX_BODY + 1))[0] == 413
    assert tell(server, gzip.compress(b" " * (MAX_BODY + 1)), content_encoding="gzip")[0] == 413
    assert tell(server, b"{}", content_encoding="br")[0] == 415
    assert tell(server, {"outcomes": [{"key": "k", "value": 1}] * 1001})[0] == 413
    status, answer = tell(server, {"key": "k", "value": 1}, x_modelward_arms="shadow")
    assert (status, "original" in answer["error"]) == (409, True)
    assert ask(server, b"{}", "/v2/models/other/outcomes")[0] == 404
    assert document(monitor)["outcomes"] == {
        "written": 0, "stored": 0, "waiting": 0, "refused": 0, "lost": 0, "invalid_requests": 4,
    }  # fmt: skip
    assert server.process.poll() is None


def test_without_a_log_it_is_said_what_to_set(bundle: Path, tmp_path: Path) -> None:
    with (
        MonitorProcess(bundle) as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        status, answer = tell(server, {"key": "k", "value": 1})
        assert (status, "set spec.predictionLog" in answer["error"]) == (404, True)
    bare = tmp_path / "bare"
    bare.mkdir()
    with serving(bare) as server:
        status, answer = tell(server, {"key": "k", "value": 1})
        assert (status, "set spec.predictionLog" in answer["error"]) == (404, True)


def test_without_a_monitor_outcomes_are_to_come_again_and_predictions_go_on(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, CAPTURE_SOCKET=str(tmp_path / "c.sock")) as server:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(tell, server, {"key": "k", "value": 1})
            assert ask(server, prediction(1))[0] == 200
            assert not waiting.done()
            status, answer = waiting.result(DEADLINE)
        assert (status, "send them again" in answer["error"]) == (503, True)


def test_bodies_of_outcomes_are_held_within_the_bound_of_all_bodies(bundle: Path, tmp_path: Path) -> None:
    """A client that sends one slowly, again and again, does not fill the server's memory."""
    bound = {"MAX_BUFFERED_BYTES": "65536", "MAX_REQUEST_BYTES": "65536"}
    with serving(bundle, CAPTURE_SOCKET=str(tmp_path / "c.sock"), **bound) as server:
        slow = server.connection()
        slow.putrequest("POST", PATH)
        slow.putheader("content-length", "60000")
        slow.endheaders(b" " * 50_000)
        until(lambda: _metric(server, "modelward_inference_body_bytes") == 50_000)
        status, answer = tell(server, b" " * 20_000)
        assert (status, "the bodies of all requests together" in answer["error"]) == (503, True)
        slow.close()
        until(lambda: _metric(server, "modelward_inference_body_bytes") == 0)
        assert _metric(server, 'modelward_inference_outcome_requests_total{code="503"}') == 1


def _metric(server: Process, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=DEADLINE) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), -1.0)


def test_keys_are_changed_as_those_of_predictions(bundle: Path, store: Path) -> None:
    columns = {"hash": ["key"], "exclude": []}
    more = settings(store, PREDICTION_LOG_COLUMNS=json.dumps(columns), PREDICTION_LOG_HASH_KEY="0123456789abcdef")
    write_bundle(bundle, reference())
    with MonitorProcess(bundle, **more) as monitor:
        send(monitor.socket, asked(1, 1))
        told = json.dumps({"key": "krun-1-0", "value": 1}).encode()
        assert asyncio.run(_once(monitor, "a", told))["status"] == 202
        until(lambda: document(monitor)["outcomes"]["stored"] == document(monitor)["rows"]["stored"] == 1)
    (outcome,) = told_rows(store)
    (row,) = rows(store)
    assert outcome["key"] == row["key"]
    assert len(outcome["key"]) == 32


def test_a_log_without_keys_takes_no_outcome_by_key_alone(bundle: Path, store: Path) -> None:
    with MonitorProcess(bundle, **settings(store, PREDICTION_LOG_COLUMNS='{"exclude": ["key"]}')) as monitor:
        refused = asyncio.run(_once(monitor, "a", b'{"key": "k", "value": 1}'))
        assert (refused["status"], "send request_id" in refused["answer"]["error"]) == (400, True)
        assert asyncio.run(_once(monitor, "b", b'{"key": "k", "request_id": "q", "value": 1}'))["status"] == 202
        until(lambda: document(monitor)["outcomes"]["stored"] == 1, lambda: monitor.log)
    assert [(row["request_id"], row["key"]) for row in told_rows(store)] == [("q", None)]


def test_files_of_outcomes_are_joined_and_go_with_the_days_of_the_log(
    bundle: Path, store: Path, tmp_path: Path
) -> None:
    with MonitorProcess(bundle, **settings(store)) as monitor:
        for number in range(3):
            told = json.dumps({"key": f"k{number}", "value": 1}).encode()
            assert asyncio.run(_once(monitor, f"n{number}", told))["status"] == 202
            until(lambda: document(monitor)["outcomes"]["stored"] == number + 1)  # noqa: B023
        send(monitor.socket, asked(1, 4))
        until(lambda: document(monitor)["rows"]["stored"] == 4, lambda: monitor.log)
    environment = {**settings(store), "MODEL_NAME": "m", "POD_UID": "pod-1", "MONITOR_DIR": str(tmp_path)}
    made = LogSettings.from_environment(environment)
    assert made is not None
    claim = stores.store_of(made)
    assert len([path for path in paths(store) if path.startswith("outcomes/")]) == 3
    now = time.time()
    house.keep(claim, "ml", "m", "pod-1", None, now + 7200, tmp_path)
    left = paths(store)
    assert len({path.rpartition("/")[0] for path in left}) == len(left)  # one an hour
    assert [row["key"] for row in told_rows(store)] == ["k0", "k1", "k2"]
    house.keep(claim, "ml", "m", "pod-1", 1, now + 3 * 86_400, tmp_path)
    assert paths(store) == []


def test_the_end_brings_outcomes_to_the_store(bundle: Path, store: Path) -> None:
    more = settings(store, PREDICTION_LOG_SECONDS="3600", MONITOR_FAREWELL_SECONDS="0")
    with MonitorProcess(bundle, **more) as monitor:
        assert asyncio.run(_once(monitor, "a", b'{"key": "k", "value": 1}'))["status"] == 202
        assert not paths(store)
        monitor.terminate()
        assert monitor.process.wait(DEADLINE) == 0
    assert [row["key"] for row in told_rows(store)] == ["k"]
