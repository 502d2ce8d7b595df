"""Rows of a batch in a table of a real PostgreSQL server: one snapshot, its types, and what its reader may not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_evaluate import extract, tables
from postgres import PASSWORD, Postgres

pytestmark = pytest.mark.api

BUNDLE = {"columns": ["age", "plan", "spent"], "signature": {"inputs": [{"shape": [-1, 3]}]}}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    made = Postgres()
    with made.connected() as con:
        con.execute("""
            CREATE SCHEMA "Team X";
            CREATE TABLE "Team X"."Customers" (
                id char(8), "no" uuid, age smallint, plan text, spent numeric(10, 2), seen timestamptz, secret text
            );
            INSERT INTO "Team X"."Customers"
            SELECT 'c' || n, gen_random_uuid(), n % 90, CASE WHEN n % 7 > 0 THEN 'basic' END, n / 4.0, 'infinity', 'x'
            FROM generate_series(1, 1000) n;
            CREATE ROLE reader LOGIN PASSWORD 'secret-of-reader';
            GRANT USAGE ON SCHEMA "Team X" TO reader;
            GRANT SELECT (id, "no", age, plan, spent, seen) ON "Team X"."Customers" TO reader;
        """)
    yield made
    made.stop()


class Step:
    def __init__(self, root: Path, server: Postgres) -> None:
        self.bundle, self.folder, self._server = root / "bundle", root / "table", server
        self.bundle.mkdir()
        self.folder.mkdir()
        (self.bundle / "model.json").write_text(json.dumps(BUNDLE))

    def read(self, **asked: Any) -> dict[str, Any]:
        table = {"url": self._server.url, "schema": "Team X", "name": "Customers", **asked.pop("table", {})}
        document = {"input": {"table": table}, "keys": ["id", "no", "seen"], **asked}
        environment = {"MODELWARD_BATCH": json.dumps(document), "BUNDLE_DIR": str(self.bundle)}
        assert extract.main(environment, self.folder) == 0
        return dict(json.loads((self.folder / extract.TOLD).read_bytes()))

    def rows(self) -> pa.Table:
        told = self.read()
        assert "problem" not in told, told
        return pa.concat_tables([pq.read_table(self.folder / name) for name in told["files"]])


@pytest.fixture
def step(tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Step:
    monkeypatch.setenv(tables.INPUT.user, "reader")
    monkeypatch.setenv(tables.INPUT.password, "secret-of-reader")
    return Step(tmp_path, server)


def test_each_row_is_read_once_with_types_that_a_model_takes(step: Step) -> None:
    """By who may not read the column `secret`."""
    found = step.rows()
    assert found.schema.names == ["id", "no", "seen", "age", "plan", "spent"]
    assert found.schema.types == [pa.string(), pa.string(), pa.string(), pa.int16(), pa.string(), pa.float64()]
    rows = sorted(found.to_pylist(), key=lambda row: int(row["id"][1:]))
    assert [row["id"] for row in rows] == [f"c{number}" for number in range(1, 1001)], "char(8) pads"
    assert [row["spent"] for row in rows] == [number / 4 for number in range(1, 1001)]
    assert [row["plan"] is None for row in rows] == [number % 7 == 0 for number in range(1, 1001)]
    assert {row["seen"] for row in rows} == {"infinity"}


def test_what_others_write_meanwhile_is_not_among_the_rows(
    step: Step, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They delete half of the rows and move the others to keys beyond, when the first chunk has come."""
    monkeypatch.setattr(extract, "CELLS", 60)
    add, chunks = extract.Files.add, list[int]()

    def adding(files: extract.Files, batch: pa.RecordBatch) -> None:
        chunks.append(len(batch))
        if len(chunks) == 1:
            with server.connected() as con:
                con.execute('UPDATE "Team X"."Customers" SET age = 99')
                con.execute(
                    """DELETE FROM "Team X"."Customers" WHERE right(trim(id), 1) IN ('1', '3', '5', '7', '9')"""
                )
        add(files, batch)

    monkeypatch.setattr(extract.Files, "add", adding)
    found = step.rows()
    assert chunks == [10] * 100
    assert sorted(found["id"].to_pylist()) == sorted(f"c{number}" for number in range(1, 1001))
    assert 99 not in found["age"].to_pylist()
    with server.connected() as con:
        assert con.execute('SELECT count(*), min(age) FROM "Team X"."Customers"').fetchone() == (500, 99)


@pytest.mark.parametrize(
    ("asked", "words", "passes"),
    [
        ({"table": {"name": "nope"}}, "there is no table 'Team X.nope'", False),
        ({"table": {"name": 'x"; drop table "Customers"; --'}}, "there is no table", False),
        ({"keys": ["secret"]}, "can't be read: permission denied", False),
        ({"keys": ["nope"]}, "has no column 'nope', which keys, columns or the model name; it has 'id', 'no'", False),
        ({"table": {"url": "postgres://127.0.0.1:1/lake"}}, "can't be reached", True),
    ],
)
def test_what_goes_wrong_is_told(step: Step, asked: dict[str, Any], words: str, passes: bool) -> None:
    told = step.read(**asked)
    assert words in told["problem"]
    assert told["passes"] is passes


def test_a_wrong_password_is_told_without_it(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tables.INPUT.password, "wrong-secret")
    told = step.read()
    assert "password authentication failed" in told["problem"]
    assert "INPUT_TABLE_PASSWORD" in told["problem"]
    assert "wrong-secret" not in told["problem"]


def test_nothing_is_written(step: Step, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by who might: a view may call what it likes."""
    monkeypatch.setenv(tables.INPUT.user, "owner")
    monkeypatch.setenv(tables.INPUT.password, PASSWORD)
    with server.connected() as con:
        con.execute("""
            CREATE FUNCTION spend() RETURNS text AS $$ BEGIN DELETE FROM "Team X"."Customers"; RETURN '1'; END $$
            LANGUAGE plpgsql;
            CREATE VIEW "Team X".greedy AS SELECT spend() AS id, 1 AS age, 'a' AS plan, 1 AS spent;
        """)
    told = step.read(table={"name": "greedy"}, keys=["id"])
    assert "cannot execute DELETE in a read-only transaction" in told["problem"]
