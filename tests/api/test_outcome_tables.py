"""Outcomes in a table of a real PostgreSQL server: the rules of files, types that only a database has, and what is said
where a table can't be read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelward_evaluate import tables
from modelward_evaluate.errors import EvaluationError
from postgres import PASSWORD, Postgres
from unit.evaluate.lakes import NOW, START, PostgresTable, counts, metric, outcome, prediction
from unit.evaluate.test_evaluate import (  # noqa: F401  the rules of files hold here as well
    test_a_cohort_that_matured_never_changes,
    test_a_shadow_and_its_original_share_an_outcome,
    test_an_outcome_without_a_row_is_of_a_request_with_one,
    test_an_own_key_is_of_each_request_that_had_it,
    test_each_way_in_which_outcomes_go_wrong_is_counted,
    test_no_outcome_may_be_one,
    test_what_only_looks_alike_is_not_the_same,
    test_what_two_systems_call_the_same_is_the_same,
)

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    made = Postgres()
    yield made
    made.stop()


@pytest.fixture
def way(tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> PostgresTable:
    monkeypatch.setenv(tables.USER, "owner")
    monkeypatch.setenv(tables.PASSWORD, PASSWORD)
    return PostgresTable(tmp_path, server)


def test_types_that_only_a_database_has(way: PostgresTable, server: Postgres) -> None:
    ids = [f"71ff0000-0000-0000-0000-00000000000{number}" for number in range(6)]
    way.predict([
        prediction(number, label="bad", request_id=name, key="order-7" if number == 4 else None)
        for number, name in enumerate(ids)
    ])  # fmt: skip
    with server.connected() as con:
        con.execute("""
            DROP SCHEMA IF EXISTS "Team X" CASCADE; CREATE SCHEMA "Team X";
            CREATE TYPE "Team X".said AS ENUM ('good', 'bad');
            CREATE TABLE "Team X"."Charge Backs" (
                id uuid, "order" char(20), said "Team X".said, place numeric(6, 2), at timestamp, known timestamptz,
                heavy numeric, more jsonb
            );
        """)
        con.cursor().executemany(
            'INSERT INTO "Team X"."Charge Backs" VALUES (%s, %s, %s, %s, %s, %s, %s, \'{"a": [1]}\')',
            [
                (ids[0], None, "bad", "0.00", "2026-03-01 01:00", "2026-03-01 01:00+00", "1.50"),
                (ids[1], None, "good", None, "2026-03-01 23:59", "2026-03-01 18:29-05:30", None),
                (ids[2], None, "bad", 0, "infinity", "infinity", 1),
                (ids[3], None, "bad", 0, "0044-03-15 BC", "0044-03-15 BC", 1),
                (None, "order-7", "bad", None, None, None, None),
                (ids[5], None, "bad", 0, "2026-03-01", "2026-03-01+00", "Infinity"),
            ],
        )
    where = {**way.where()["table"], "name": "Charge Backs", "schema": "Team X"}
    columns = {"value": "said", "request_id": "id", "key": "order", "row": "place", "time": "at", "arrived": "known"}
    found = way.said(outcomes={"table": where, **columns, "weight": "heavy"}, label_window_seconds=86400)
    assert counts(found, "withOutcome", "future", "unreadable", "late") == [3, 0, 3, 0]
    assert metric(found, "accuracy") == pytest.approx(2.5 / 3.5)


def test_only_the_columns_and_times_that_are_asked_for_are_read(
    way: PostgresTable, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86400.0
    way.predict([prediction(number, time=START) for number in range(8)])
    way.tell([
        outcome(0) | {"secret": "x"}, outcome(1, after=-2 * day), outcome(2, after=4 * day),
        outcome(3, after=1.5 * day), outcome(4) | {"time": None, "arrived": None},
    ])  # fmt: skip
    with server.connected() as con:
        con.execute("""
            DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'secret-of-owner';
            GRANT SELECT (request_id, "row", value, time, arrived) ON chargebacks TO reader;
        """)
    monkeypatch.setenv(tables.USER, "reader")
    asked = {"begin": START.isoformat(), "end": (START.replace(day=2)).isoformat(), "label_window_seconds": day}
    # It may not read the column `secret`, nor need it.
    found = way.said(**asked)
    assert counts(found, "outcomes", "withOutcome", "late") == [3, 2, 1]
    assert counts(way.said(label_window_seconds=day), "outcomes", "withOutcome", "late") == [5, 3, 2]
    with server.connected() as con:
        con.execute("REVOKE ALL ON chargebacks FROM reader")
    with pytest.raises(EvaluationError, match=r"'chargebacks' can't be read: permission denied .*; grant SELECT on it"):
        way.said()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "nope"}, "there is no table 'nope'"),
        ({"schema": "nope"}, "there is no table 'nope.chargebacks'"),
        ({"name": 'x"; drop table chargebacks; --'}, "there is no table"),
    ],
)
def test_a_table_that_is_not_there_is_named(way: PostgresTable, changed: dict[str, str], words: str) -> None:
    way.predict([prediction(0)])
    way.tell([outcome(0)])
    with pytest.raises(EvaluationError, match=words):
        way.said(outcomes={"table": {**way.where()["table"], **changed}})
    assert counts(way.said(), "withOutcome") == [1]


def test_a_column_that_is_not_there_is_named_with_those_that_are(way: PostgresTable) -> None:
    way.predict([prediction(0)])
    way.tell([outcome(0)])
    with pytest.raises(
        EvaluationError, match=r"no column 'nope' for the value, but arrived, request_id, row, time, val"
    ):
        way.said(outcomes={"value": "nope"})
    with pytest.raises(EvaluationError, match="your own key"):
        way.said(outcomes={"request_id": "x"})


def test_a_server_that_is_away_or_refuses_is_told_without_the_password(
    way: PostgresTable, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    way.predict([prediction(0)])
    monkeypatch.setenv(tables.PASSWORD, "wrong-secret")
    with pytest.raises(EvaluationError, match=r"can't be reached: .*password authentication failed") as refused:
        way.said()
    assert "wrong-secret" not in str(refused.value)
    with pytest.raises(EvaluationError, match=r"can't be reached: .*OUTCOMES_TABLE_PASSWORD"):
        way.said(outcomes={"table": {"url": "postgres://127.0.0.1:1/lake", "name": "x"}})
    with pytest.raises(EvaluationError, match="url: it has a password"):
        way.said(outcomes={"table": {"url": server.url.replace("//", "//owner:x@"), "name": "x"}})


def test_the_command_takes_the_credentials_of_postgresql_itself(way: PostgresTable, server: Postgres) -> None:
    way.predict([prediction(0)])
    way.tell([outcome(0)])
    spec = {
        "predictions": {"path": str(way.log)}, "outcomes": way.where(), "now": NOW.isoformat(),
        "task": {"task": "classes", "label": "output.label"},
    }  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if name not in (tables.USER, tables.PASSWORD)}
    ended = subprocess.run(
        [sys.executable, "-m", "modelward_evaluate", "-"], input=json.dumps(spec), text=True, capture_output=True,
        check=False, env={**bare, "PGUSER": "owner", "PGPASSWORD": PASSWORD},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["counts"]["withOutcome"] == 1


def test_nothing_is_written(way: PostgresTable, server: Postgres) -> None:
    """A view may call what it likes: the connection reads alone."""
    way.predict([prediction(0)])
    way.tell([outcome(0)])
    with server.connected() as con:
        con.execute("""
            CREATE OR REPLACE FUNCTION spend() RETURNS text AS $$ BEGIN DELETE FROM chargebacks; RETURN '1'; END $$
            LANGUAGE plpgsql; CREATE OR REPLACE VIEW greedy AS SELECT 'q0' AS request_id, spend() AS value;
        """)
    with pytest.raises(EvaluationError, match="can't be read: cannot execute DELETE in a read-only transaction"):
        way.said(outcomes={"table": {**way.where()["table"], "name": "greedy"}})
    with server.connected() as con:
        con.execute("DROP VIEW greedy")
