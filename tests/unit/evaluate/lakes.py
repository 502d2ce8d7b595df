"""A prediction log and outcomes in a folder, and what the evaluator says of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import csv, parquet

from modelward_evaluate.evaluate import document, evaluate
from modelward_evaluate.spec import load
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.outcomes import read
from modelward_monitor.predictionlog.convert import convert_outcomes, decoded
from modelward_monitor.predictionlog.names import File, Folder
from modelward_monitor.predictionlog.outcomes import record
from modelward_monitor.predictionlog.segments import Segment, Segments
from modelward_monitor.predictionlog.settings import LogSettings
from modelward_monitor.predictionlog.stores import Claim
from postgres import Postgres

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

    def where(self) -> dict[str, Any]:
        """The outcomes, as a specification names them."""
        return {"path": str(self.outcomes)}

    def said(self, **options: Any) -> dict[str, Any]:
        asked = {
            "predictions": {"path": str(self.log)},
            "outcomes": {**self.where(), **options.pop("outcomes", {})},
            "task": {"task": "classes", "label": "output.label"},
            "now": NOW.isoformat(),
        }
        spec = load(json.dumps(asked | options))
        return json.loads(json.dumps(document(evaluate(spec), spec), allow_nan=False))


class Told(Lake):
    """Outcomes that a model's server was told, and its log has brought to the store. `refused`: that it did not
    take."""

    refused = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder
        self._number = 0

    def where(self) -> dict[str, Any]:
        return {"path": str(self.log / "outcomes/v1/namespace=ml/model=fraud")}

    def tell(self, rows: list[dict[str, Any]], name: str = "a.parquet") -> None:
        """Each is a request of its own, at the time at which it arrives."""
        self._number += 1
        segments, segment = Segments(self._folder / "segments"), Segment(EPOCH, self._number)
        segments.open()
        size = 0
        for number, row in enumerate(rows):
            arrived = row.get("arrived", START + timedelta(hours=1)).timestamp()
            entry = {key: value for key, value in row.items() if key != "arrived"}
            try:
                entries = read(json.dumps(entry, default=datetime.isoformat).encode(), arrived)
            except RequestError:
                self.refused += 1
                continue
            size = segments.append(segment, size, [record(f"{name}-{number}", entries, arrived)])
        settings = LogSettings(str(self.log), "ml", "fraud", "r1", "pod", self._folder, self._folder / "segments")
        convert_outcomes(segments, segment, settings, 0)
        for file in segments.files(segment):
            Claim(self.log).put(decoded(file.name), file)


class Table(Lake):
    """Outcomes in a table, of a DuckDB file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "lake.duckdb"
        self._rows: list[dict[str, Any]] = []

    def where(self) -> dict[str, Any]:
        return {"table": {"url": f"duckdb://{self.file}", "name": "chargebacks"}}

    def tell(self, rows: list[dict[str, Any]], name: str = "a.parquet") -> None:  # noqa: ARG002  there is one table
        self._rows += rows
        self.write(pa.Table.from_pylist(self._rows, _schema(self._rows)))

    def write(self, told: pa.Table) -> None:
        with duckdb.connect(str(self.file)) as con:
            con.register("told", told)
            con.execute("CREATE OR REPLACE TABLE chargebacks AS SELECT * FROM told")


class PostgresTable(Table):
    """The same, of a PostgreSQL server."""

    TYPES = (
        (pa.types.is_boolean, "boolean"), (pa.types.is_integer, "bigint"), (pa.types.is_floating, "double precision"),
        (pa.types.is_timestamp, "timestamptz"), (pa.types.is_decimal, "numeric"),
    )  # fmt: skip

    def __init__(self, folder: Path, server: Postgres) -> None:
        super().__init__(folder)
        self._server = server

    def where(self) -> dict[str, Any]:
        return {"table": {"url": self._server.url, "name": "chargebacks"}}

    def write(self, told: pa.Table) -> None:
        def kind(of: pa.DataType) -> str:
            return next((name for fits, name in self.TYPES if fits(of)), "text")

        columns = ", ".join(f'"{field.name}" {kind(field.type)}' for field in told.schema)
        with self._server.connected() as con, con.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS chargebacks; CREATE TABLE chargebacks ({columns})")
            places = ", ".join(["%s"] * told.num_columns)
            cursor.executemany(
                f"INSERT INTO chargebacks VALUES ({places})",
                [tuple(row.values()) for row in told.to_pylist()],
            )


def _schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """Of all columns that some row has."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, pa.array([row.get(name) for row in rows]).type) for name in names])


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
