"""The prediction log of a monitor that is a process: rows are in the files exactly once, whoever is killed."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unit.monitor.worlds import DEADLINE, MonitorProcess, Sender, reference, send, write_bundle

from .logs import MOMENT, asked, ids, paths, read, rows, settings, told, until

KILLS = 6


def test_what_was_asked_and_answered_is_in_the_files(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    store = tmp_path / "store"
    batches = [asked(1, 3), asked(2, 2, at=MOMENT + 3600)]
    with MonitorProcess(tmp_path, **settings(store, PREDICTION_LOG_CAPTURED="0.5")) as monitor:
        send(monitor.socket, *batches)
        until(lambda: told(monitor)["rows"]["stored"] == 5, lambda: monitor.log)
        document = told(monitor)
        assert document["rows"] == {"written": 5, "stored": 5, "waiting": 0, "left_out": 0, "sampled_out": 0}
        assert set(document["lost"].values()) == {0}
        assert (document["pod"], document["failure"], document["disk_failure"]) == ("pod-1", None, None)
        assert monitor.metrics()['modelward_monitor_log_rows_total{result="stored",revision="m-a"}'] == 5
        epoch = document["epoch"]
    folder = "v1/namespace=ml/model=m/revision=m-a/day=2026-01-01"
    assert paths(store) == [f"{folder}/hour={hour}/pod-1.{epoch}.00000001.00000001.parquet" for hour in ("00", "01")]
    table = read(store)
    assert table.schema.names == [
        "request_id", "row", "key", "time", "arm", "model_version", "fraction", "latency_ms",
        "input.x[0]", "input.x[1]", "input.city", "output.label",
    ]  # fmt: skip
    assert [table.schema.field(name).type for name in ("input.x[0]", "input.city", "output.label")] == [
        pa.float64(), pa.string(), pa.int64(),
    ]  # fmt: skip
    found = rows(store)
    assert [row["request_id"] for row in found] == ids(*batches)
    first = found[0]
    assert (first["row"], first["key"], first["arm"], first["fraction"]) == (0, "krun-1-0", "stable", 0.5)
    assert (first["latency_ms"], first["model_version"], first["time"].timestamp()) == (2.0, "a" * 12, MOMENT)
    assert [row["input.x[1]"] for row in found[:3]] == batches[0].inputs["x"][:, 1].tolist()
    assert [row["output.label"] for row in found[3:]] == batches[1].outputs["label"].tolist()
    metadata = pq.read_metadata(store / paths(store)[0]).metadata
    assert (metadata[b"modelward.schema"], metadata[b"modelward.epoch"]) == (b"1", epoch.encode())


def test_whoever_is_killed_at_any_moment_every_row_is_in_the_files_once(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    store = tmp_path / "store"
    random = np.random.default_rng(4)
    batches = [asked(number, int(random.integers(1, 20)), at=MOMENT + 20 * number) for number in range(1, 1001)]
    more = settings(store, PREDICTION_LOG_SEGMENT_BYTES="20000")
    with MonitorProcess(tmp_path, **more) as monitor:
        sender = Sender(monitor.socket, ())
        thread = threading.Thread(target=lambda: asyncio.run(_hand_over(sender, batches)))
        thread.start()
        for pause in random.uniform(0, 2.5, KILLS):
            thread.join(pause)  # any moment will do
            monitor.kill()
            monitor.start(wait=False)
        thread.join(DEADLINE)
        assert not sender.waiting
        until(lambda: _answers(monitor) and told(monitor)["rows"]["waiting"] == 0, lambda: monitor.log)
        until(lambda: told(monitor)["rows"]["stored"] == sum(each.rows for each in batches), lambda: monitor.log)
        assert sum(told(monitor)["lost"].values()) == 0
    assert [row["request_id"] for row in rows(store)] == ids(*batches)


async def _hand_over(sender: Sender, batches: list) -> None:  # type: ignore[type-arg]
    """A few at a time, so that there is always something under way."""
    for start in range(0, len(batches), 100):
        sender.waiting |= {each.number: each for each in batches[start : start + 100]}
        await sender.run()


def _answers(monitor: MonitorProcess) -> bool:
    try:
        return monitor.get("/healthz")[0] == 200
    except Exception:  # noqa: BLE001  it is only starting
        return False


def test_a_snapshot_that_is_lost_takes_no_row_of_the_log_with_it(tmp_path: Path) -> None:
    """What was not acknowledged comes again, and is in the log already."""
    write_bundle(tmp_path, reference())
    store = tmp_path / "store"
    batches = [asked(number, 10) for number in range(1, 4)]
    with MonitorProcess(tmp_path, **settings(store, PREDICTION_LOG_SECONDS="3600")) as monitor:
        send(monitor.socket, *batches)
        epoch = told(monitor)["epoch"]
        monitor.kill()
        (monitor.folder / "state" / "snapshot").write_bytes(b"nonsense")
        monitor.start()
        send(monitor.socket, *batches, asked(4, 5))
        assert told(monitor)["epoch"] != epoch
        until(lambda: len(rows(store)) == 30, lambda: monitor.log)  # of the epoch before
        until(lambda: told(monitor)["rows"]["stored"] == 30, lambda: monitor.log)
        assert told(monitor)["rows"]["waiting"] == 5
        monitor.terminate()
        monitor.process.wait(DEADLINE)
    assert [row["request_id"] for row in rows(store)] == ids(*batches, asked(4, 5))


def test_the_end_brings_what_there_is_to_the_store(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    store = tmp_path / "store"
    more = settings(store, PREDICTION_LOG_SECONDS="3600", MONITOR_FAREWELL_SECONDS="0")
    with MonitorProcess(tmp_path, **more) as monitor:
        send(monitor.socket, asked(1, 7))
        assert not paths(store)
        monitor.terminate()
        assert monitor.process.wait(DEADLINE) == 0
    assert len(rows(store)) == 7


def test_a_full_disk_loses_rows_of_the_log_alone_and_counts_them(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    missing = tmp_path / "missing"
    batches = [asked(number, 1000) for number in range(1, 21)]
    more = settings(tmp_path / "store", PREDICTION_LOG_DISK_BYTES=str(1 << 20), PREDICTION_LOG_SECONDS="3600")
    with MonitorProcess(tmp_path, **(more | {"PREDICTION_LOG_URI": str(missing)})) as monitor:
        send(monitor.socket, *batches)
        document = told(monitor)
        assert monitor.get("/v1/counts")[1]["intake"]["counted"] == 20_000
        assert document["waiting_bytes"] <= 1 << 20
        assert document["rows"]["waiting"] > 1000
        assert document["lost"]["full"] + document["rows"]["written"] == 20_000


def test_a_store_that_is_away_is_told_and_gets_all_when_it_is_back(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    store = tmp_path / "store"
    more = settings(store)
    store.rmdir()
    with MonitorProcess(tmp_path, **more) as monitor:
        send(monitor.socket, asked(1, 7))
        until(lambda: told(monitor)["failure"] is not None, lambda: monitor.log)
        failure = told(monitor)["failure"]
        assert (failure["kind"], "spec.predictionLog.uri" in failure["message"]) == ("Missing", True)
        send(monitor.socket, asked(2, 5))
        assert monitor.metrics()['modelward_monitor_log_failing{revision="m-a"}'] == 1
        store.mkdir()
        until(lambda: told(monitor)["rows"]["stored"] == 12, lambda: monitor.log)
        assert told(monitor)["failure"] is None
    assert [row["request_id"] for row in rows(store)] == ids(asked(1, 7), asked(2, 5))


def test_a_monitor_without_a_log_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path) as monitor:
        status, answer = monitor.get("/v1/log")
        assert (status, "PREDICTION_LOG_URI" in answer["error"]) == (404, True)
        assert not any(name.startswith("modelward_monitor_log") for name in monitor.metrics())


@pytest.mark.parametrize("chosen", ["0.25"])
def test_a_fraction_is_chosen_by_the_request_alone(tmp_path: Path, chosen: str) -> None:
    write_bundle(tmp_path, reference())
    stores = [tmp_path / "one", tmp_path / "two"]
    for store in stores:
        with MonitorProcess(tmp_path, **settings(store, PREDICTION_LOG_FRACTION=chosen)) as monitor:
            send(monitor.socket, asked(1, 1000))
            until(lambda: told(monitor)["rows"]["waiting"] == 0, lambda: monitor.log)
            document = told(monitor)["rows"]
            assert document["stored"] + document["left_out"] == 1000
    one, two = (rows(store) for store in stores)
    assert [row["request_id"] for row in one] == [row["request_id"] for row in two]
    assert 150 < len(one) < 350  # of binomial(1000, 0.25); either end is 1e-12 away
    assert {row["fraction"] for row in one} == {0.25}


def test_a_key_that_is_missing_is_told_and_what_is_counted_goes_on(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    store, key = tmp_path / "store", tmp_path / "key"
    more = settings(store, PREDICTION_LOG_COLUMNS='{"hash": ["key"]}', PREDICTION_LOG_HASH_KEY_FILE=str(key))
    with MonitorProcess(tmp_path, **more) as monitor:
        send(monitor.socket, asked(1, 7))
        until(lambda: told(monitor)["failure"] is not None, lambda: monitor.log)
        assert told(monitor)["failure"]["kind"] == "Invalid"
        assert monitor.get("/v1/counts")[1]["intake"]["counted"] == 7
        assert not paths(store)
        key.write_text("0123456789abcdef")
        until(lambda: told(monitor)["rows"]["stored"] == 7, lambda: monitor.log)
    assert all(len(row["key"]) == 32 for row in rows(store))
