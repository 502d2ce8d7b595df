"""The rows of a batch's table as files: of a DuckDB file; tests/api/test_batch_tables.py has a PostgreSQL server."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_evaluate import extract
from modelward_evaluate.extract import TOLD, main

NAMED = {"columns": ["age", "months used"], "signature": {"inputs": [{"shape": [-1, 2]}]}}
UNNAMED: dict[str, Any] = {"columns": [], "signature": {"inputs": [{"shape": [-1, 2]}]}}


class Place:
    """A database with the table `customers`, a model's bundle, and a folder for files."""

    def __init__(self, root: Path) -> None:
        self.database, self.bundle, self.folder = root / "lake.duckdb", root / "bundle", root / "table"
        self.bundle.mkdir()
        self.folder.mkdir()
        self.model(NAMED)

    def model(self, document: dict[str, Any]) -> None:
        (self.bundle / "model.json").write_text(json.dumps(document))

    def sql(self, text: str) -> None:
        with duckdb.connect(str(self.database)) as con:
            con.execute(text)

    def read(self, index: int = 0, **asked: Any) -> dict[str, Any] | None:
        """What the step tells; None: nothing."""
        table = {"url": f"duckdb://{self.database}", "name": "customers", **asked.pop("table", {})}
        environment = {
            "MODELWARD_BATCH": json.dumps({"input": {"table": table}, "keys": ["id"], "run": "r", **asked}),
            "JOB_COMPLETION_INDEX": str(index), "BUNDLE_DIR": str(self.bundle),
        }  # fmt: skip
        assert main(environment, self.folder) == 0
        told = self.folder / TOLD
        return dict(json.loads(told.read_bytes())) if told.exists() else None

    def rows(self) -> pa.Table:
        told = self.read()
        assert told is not None
        return pa.concat_tables([pq.read_table(self.folder / name) for name in told["files"]])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.sql("""
        CREATE TABLE customers AS SELECT 'c' || range AS id, range::DOUBLE AS age, range::INTEGER AS "months used",
        'nobody asks' AS secret FROM range(1000)
    """)
    return made


def test_keys_and_what_the_model_takes_are_read_and_nothing_else(place: Place) -> None:
    found = place.rows()
    assert found.schema.names == ["id", "age", "months used"]
    assert found.schema.types == [pa.string(), pa.float64(), pa.int32()]
    assert sorted(found["id"].to_pylist()) == sorted(f"c{number}" for number in range(1000))


def test_of_a_model_without_names_all_columns_may_be_its(place: Place) -> None:
    place.model(UNNAMED)
    assert place.rows().schema.names == ["id", "age", "months used", "secret"]


def test_columns_are_called_otherwise(place: Place) -> None:
    place.sql('ALTER TABLE customers RENAME "age" TO alter_in_jahren')
    told = place.read(columns={"age": "alter_in_jahren"})
    assert told is not None
    assert pq.read_schema(place.folder / told["files"][0]).names == ["id", "alter_in_jahren", "months used"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"keys": ["nope"]}, "has no column 'nope', which keys, columns or the model name; it has 'id', 'ag"),
        ({"columns": {"age": "years"}}, "has no column 'years'"),
        ({"table": {"name": "nope"}}, "there is no table 'nope'"),
        ({"table": {"url": "postgres://u:p@h/d"}}, "it has a password"),
        ({"table": {"url": "file:///etc/passwd"}}, "an address that begins with one of"),
        ({"input": {"uri": "s3://lake/"}}, "input.table: Field required"),
    ],
)
def test_what_only_people_can_mend_is_told(place: Place, asked: dict[str, Any], words: str) -> None:
    told = place.read(**asked)
    assert told is not None
    assert words in told["problem"]
    assert told["passes"] is False


def test_a_model_that_takes_another_column_is_told(place: Place) -> None:
    place.sql("ALTER TABLE customers DROP age")
    told = place.read()
    assert told is not None
    assert "has no column 'age'" in told["problem"]


def test_what_may_pass_is_tried_again(place: Place) -> None:
    told = place.read(table={"url": "postgres://127.0.0.1:1/lake"})
    assert told is not None
    assert "can't be reached" in told["problem"]
    assert told["passes"] is True


def test_the_first_pod_alone_reads(place: Place) -> None:
    assert place.read(index=1, table={"url": "postgres://127.0.0.1:1/lake"}) is None
    assert list(place.folder.iterdir()) == []


def test_a_table_without_rows_has_its_columns(place: Place) -> None:
    place.sql("DELETE FROM customers")
    found = place.rows()
    assert (len(found), found.schema.names) == (0, ["id", "age", "months used"])


def test_exact_numbers_are_features_and_texts_of_keys(place: Place) -> None:
    place.sql("""
        CREATE OR REPLACE TABLE customers AS
        SELECT 12345678901234567.89::DECIMAL(20, 2) AS id, 1.5::DECIMAL(4, 2) AS age, DATE '2026-03-01' AS "months used"
    """)
    assert place.rows().to_pylist() == [{"id": "12345678901234567.89", "age": 1.5, "months used": "2026-03-01"}]


def test_a_large_table_is_several_files_of_several_row_groups(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "GROUP_ROWS", 100)
    monkeypatch.setattr(extract, "CELLS", 300)
    monkeypatch.setattr(extract, "FILE", 4000)
    found = place.rows()
    files = sorted(place.folder.glob("rows-*.parquet"))
    assert len(files) > 1
    assert max(pq.ParquetFile(each).num_row_groups for each in files) > 1
    assert sorted(found["age"].to_pylist()) == list(range(1000))


def test_more_than_the_pod_has_room_for_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MOST", 1000)
    told = place.read()
    assert told is not None
    assert "export it to files" in told["problem"]
    assert told["passes"] is False
