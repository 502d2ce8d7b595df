"""A prediction log and outcomes in a folder, and what the evaluator says of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from modelward_evaluate.evaluate import document, evaluate
from modelward_evaluate.spec import load
from modelward_monitor.predictionlog.names import File, Folder

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)
EPOCH = "0123456789abcdef"


class Lake:
    """A prediction log and outcomes in a folder."""

    def __init__(self, folder: Path) -> None:
        self.log, self.outcomes = folder / "log", folder / "outcomes"
        self.log.mkdir()
        self.outcomes.mkdir()
        self._segments = 0

    def predict(self, rows: list[dict[str, Any]], revision: str = "r1", file: File | None = None) -> None:
        """One file of the log, in the folder of the first row's hour."""
        self._segments += 1
        at = Folder.at("ml", "fraud", revision, int(rows[0]["time"].timestamp()) // 3600)
        where = self.log / at.path
        where.mkdir(parents=True, exist_ok=True)
        name = (file or File("pod", EPOCH, self._segments, self._segments)).name
        parquet.write_table(pa.Table.from_pylist(rows), where / name)

    def tell(self, rows: list[dict[str, Any]], name: str = "a.parquet") -> None:
        if name.endswith(".csv"):
            csv.write_csv(pa.Table.from_pylist(rows), self.outcomes / name)
        else:
            parquet.write_table(pa.Table.from_pylist(rows), self.outcomes / name)

    def said(self, **options: Any) -> dict[str, Any]:
        asked = {
            "predictions": {"path": str(self.log)},
            "outcomes": {"path": str(self.outcomes), **options.pop("outcomes", {})},
            "task": {"task": "classes", "label": "output.label"},
            "now": NOW.isoformat(),
        }
        spec = load(json.dumps(asked | options))
        return json.loads(json.dumps(document(evaluate(spec), spec), allow_nan=False))


def prediction(number: int, label: Any = 1, **values: Any) -> dict[str, Any]:
    return {
        "request_id": f"q{number}", "row": 0, "key": None, "time": START + timedelta(seconds=number), "arm": "stable",
        "fraction": 1.0, "output.label": label,
    } | values  # fmt: skip


def outcome(number: int, value: Any = 1, after: float = 60.0, **values: Any) -> dict[str, Any]:
    time = START + timedelta(seconds=number + after)
    return {"request_id": f"q{number}", "row": 0, "value": value, "time": time, "arrived": time} | values


def metric(found: dict[str, Any], name: str, **where: Any) -> float:
    asked = {"segment": "", "value": ""} | where
    rows = [each for each in found["values"] if all(each[key] == value for key, value in asked.items())]
    assert len(rows) == 1, rows
    return float(rows[0]["metrics"][name]["value"])


def counts(found: dict[str, Any], *names: str) -> list[int]:
    return [found["counts"][name] for name in names]
