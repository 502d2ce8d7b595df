"""What a prediction log has, read as its documentation says, and batches that say whose they are."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_monitor.predictionlog.names import counted, is_outcomes
from unit.monitor.worlds import DEADLINE, POLL, MonitorProcess, batch

MOMENT = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC."""


def asked(number: int, rows: int, epoch: str = "run", at: float = MOMENT, **more: Any) -> Batch:
    """A batch of one request a row, named by number and row."""
    ids = [f"{epoch}-{number}-{row}" for row in range(rows)]
    requests = Requests(
        ids, [f"k{each}" for each in ids], ["stable"] * rows, [1] * rows, [0] * rows, [at] * rows, [0.002] * rows
    )
    return replace(batch(number, rows, epoch, **more), requests=requests)


def ids(*batches: Batch) -> list[str]:
    return sorted(name for each in batches if each.requests is not None for name in each.requests.ids)


def settings(store: Path, **more: str) -> dict[str, str]:
    """Environment variables of a monitor that keeps a log in the folder `store`."""
    store.mkdir(exist_ok=True)
    return {
        "PREDICTION_LOG_URI": str(store), "MODEL_NAMESPACE": "ml", "MODEL_REVISION": "m-a",
        "PREDICTION_LOG_SECONDS": "1", **more,
    }  # fmt: skip


def paths(store: Path) -> list[str]:
    """All that is there."""
    return sorted(each.relative_to(store).as_posix() for each in store.rglob("*") if each.is_file())


def read(store: Path) -> pa.Table:
    """All rows that count."""
    found = [pq.read_table(store / path, partitioning=None) for path in _rows_of(store)]
    return pa.concat_tables(found, promote_options="default")


def told_rows(store: Path) -> list[dict[str, Any]]:
    """All outcomes that count."""
    found = [
        row
        for path in counted(path for path in paths(store) if is_outcomes(path))
        for row in pq.read_table(store / path, partitioning=None).to_pylist()
    ]
    return sorted(found, key=lambda row: (str(row["request_id"]), str(row["key"])))


def _rows_of(store: Path) -> list[str]:
    return counted(path for path in paths(store) if not is_outcomes(path))


def rows(store: Path) -> list[dict[str, Any]]:
    """The same, as dictionaries in the order of their ids."""
    found: list[dict[str, Any]] = read(store).to_pylist() if _rows_of(store) else []
    return sorted(found, key=lambda row: str(row["request_id"]))


def told(monitor: MonitorProcess) -> dict[str, Any]:
    status, document = monitor.get("/v1/log")
    assert status == 200, document
    found: dict[str, Any] = document
    return found


def until(condition: Callable[[], bool], what: Callable[[], Any] = str) -> None:
    """Ask again and again; fails after the deadline, with what `what` says."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(POLL)
