"""A log of predictions and their outcomes, made up: the same for everyone who is measured."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from modelward_monitor.predictionlog.names import File, Folder

START = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = 30
SEGMENTS = 20
PER_FILE = 250_000
DAYS = 7


def write(folder: Path, rows: int, seed: int = 1) -> tuple[Path, Path]:
    """Folders of the log and of the outcomes. `rows` of each; outcomes in an order of their own."""
    rng = np.random.default_rng(seed)
    log, outcomes = folder / "log", folder / "outcomes"
    outcomes.mkdir(parents=True)
    order = rng.permutation(rows)
    first = int(START.timestamp())
    for number, begin in enumerate(range(0, rows, PER_FILE)):
        count = min(PER_FILE, rows - begin)
        place = np.arange(begin, begin + count)
        seconds = first + place * (DAYS * 86400) // rows
        score = _score(place, seed)
        table = pa.table(
            {
                "request_id": _ids(place),
                "row": pa.array(np.zeros(count, np.int32)),
                "time": pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC")),
                "arm": pa.array(["stable"]).take(pa.array(np.zeros(count, np.int64))),
                "fraction": pa.array(np.ones(count)),
                **{
                    f"input.x{each}": pa.array(rng.normal(size=count).astype(np.float32))
                    for each in range(FEATURES - SEGMENTS)
                },
                **{f"input.s{each}": pa.array(rng.integers(0, 2 + each % 7, count)) for each in range(SEGMENTS)},
                "output.label": pa.array((score >= 0.5).astype(np.int64)),
                "output.score": pa.array(score),
            }
        )
        where = log / Folder.at("ml", "fraud", "r1", int(seconds[0]) // 3600).path
        where.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, where / File("pod", "0" * 16, number + 1, number + 1).name)
        mine = order[begin : begin + count]
        told = pa.table(
            {
                "request_id": _ids(mine),
                "row": pa.array(np.zeros(count, np.int32)),
                "value": pa.array(_truth(mine, seed).astype(np.int64)),
                "time": pa.array((first + mine * (DAYS * 86400) // rows + 3600) * 1_000_000, pa.timestamp("us", "UTC")),
            }
        )
        parquet.write_table(told, outcomes / f"{number:04}.parquet")
    return log, outcomes


def _ids(place: "np.ndarray") -> pa.Array:
    """As routers make them: 36 characters."""
    return pa.array([f"{each * 2654435761 % 2**32:08x}-0000-4000-8000-{each:012x}" for each in place.tolist()])


def _uniform(place: "np.ndarray", seed: int) -> "np.ndarray":
    """Of each row, whatever the order."""
    mixed = (place.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _truth(place: "np.ndarray", seed: int) -> "np.ndarray":
    return _uniform(place, seed) < 0.2


def _score(place: "np.ndarray", seed: int) -> "np.ndarray":
    shown = np.where(_truth(place, seed), 0.35, 0.0) + 0.6 * _uniform(place, seed + 17)
    return np.clip(shown, 0.001, 0.999)
