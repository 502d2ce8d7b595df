"""Feature parity: what was logged against what the pipeline says, at the time of the request and not later."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from modelward_evaluate import parity
from modelward_evaluate.errors import EvaluationError
from unit.evaluate.lakes import START, Lake, prediction

DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def features(lake: Lake, rows: list[dict[str, Any]], name: str = "f.parquet") -> Path:
    folder = lake.log.parent / "features"
    folder.mkdir(exist_ok=True)
    write = csv.write_csv if name.endswith(".csv") else parquet.write_table
    write(pa.Table.from_pylist(rows), folder / name)
    return folder


def checked(lake: Lake, folder: Path, **options: Any) -> dict[str, Any]:
    options = {"features": {"path": str(folder), "key": "user", "time": "since"}} | options
    asked = {"predictions": {"path": str(lake.log)}, **options}
    return json.loads(json.dumps(parity.check(parity.load(json.dumps(asked))), allow_nan=False))


def shares(found: dict[str, Any]) -> dict[str, float]:
    return {each["column"]: each["share"]["value"] for each in found["columns"]}


def asked_of(number: int, user: str | None, at: timedelta, **inputs: Any) -> dict[str, Any]:
    named = {f"input.{name}": value for name, value in inputs.items()}
    return prediction(number, time=START + at, key=user, **named)


def test_the_features_of_then_count_and_not_those_of_today(lake: Lake) -> None:
    """As training joins them: the newest row that is no later than the request."""
    lake.predict([asked_of(1, "a", DAY / 2, age=30), asked_of(2, "a", 2.5 * DAY, age=31), asked_of(3, "b", DAY, age=5)])
    folder = features(lake, [
        {"user": "a", "since": START, "age": 30}, {"user": "a", "since": START + 2 * DAY, "age": 31},
        {"user": "a", "since": START + 3 * DAY, "age": 99}, {"user": "b", "since": START + 2 * DAY, "age": 5},
    ])  # fmt: skip
    found = checked(lake, folder)
    assert shares(found) == {"input.age": 0.0}
    assert found["counts"] == {
        "predictions": 3, "withoutKey": 0, "compared": 2, "contradictingFeatures": 0, "withoutFeatures": 1,
        "unreadableFeatures": 0,
    }  # fmt: skip
    assert found["unequal"] == []


def test_a_column_that_went_wrong_is_named_with_its_beginning_and_examples(lake: Lake) -> None:
    rows, offline, number = [], [], 0
    for day in range(6):
        for user in range(50):
            number += 1
            rows.append(asked_of(number, f"u{user}", day * DAY, amount=user * (100 if day >= 4 else 1), city="Rome"))
            offline.append({"user": f"u{user}", "since": START + day * DAY, "amount": float(user), "city": "Rome"})
    lake.predict(rows)
    found = checked(lake, features(lake, offline), examples=2)
    assert found["unequal"] == ["input.amount"]
    worst, well = found["columns"]
    assert (worst["column"], worst["feature"], worst["since"]) == ("input.amount", "amount", "2026-03-05")
    assert worst["share"]["value"] == pytest.approx(98 / 300), "a hundred times nothing is nothing"
    assert worst["share"]["low"] < 98 / 300 < worst["share"]["high"]
    assert [each["unequal"] for each in worst["days"]] == [0, 0, 0, 0, 49, 49]
    assert len(worst["examples"]) == 2
    assert float(worst["examples"][0]["logged"]) == 100 * float(worst["examples"][0]["feature"])
    assert (well["share"]["value"], well["since"], well["examples"]) == (0.0, None, [])


@pytest.mark.parametrize(
    ("logged", "offline", "same"),
    [
        (1, 1.0, True), (0.1 + 0.2, 0.3, True), (1.0, 1.001, False), (0.0, -0.0, True), (True, 1, True),
        ("a", "b", False), ("Rome", "Rome ", True), (None, None, True), (None, 0.0, False), (0.0, None, False),
        ("1", 1.0, True),
        (1e-9, 2e-9, False), (float("nan"), None, True), (float("nan"), 1.0, False), ("", None, False),
    ],
)  # fmt: skip
def test_what_is_the_same(lake: Lake, logged: Any, offline: Any, same: bool) -> None:
    """A row beside it gives a column its type where the value has none."""
    beside = 2.5 if logged is None else logged
    other = 2.5 if offline is None else offline
    lake.predict([asked_of(1, "a", DAY, x=logged), asked_of(2, None, DAY, x=beside)])
    folder = features(lake, [
        {"user": "a", "since": START, "x": offline}, {"user": "z", "since": START, "x": other},
    ])  # fmt: skip
    assert shares(checked(lake, folder)) == {"input.x": 0.0 if same else 1.0}


def test_missing_values_are_told_apart_by_side(lake: Lake) -> None:
    lake.predict([asked_of(each, f"u{each}", DAY, x=None if each < 2 else 1.0) for each in range(6)])
    offline = [{"user": f"u{each}", "since": START, "x": None if each == 5 else 1.0} for each in range(6)]
    (column,) = checked(lake, features(lake, offline))["columns"]
    assert (column["loggedMissing"], column["featureMissing"]) == (2, 1)
    assert column["share"]["value"] == 0.5


def test_two_rows_of_one_moment_that_say_otherwise_are_none(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1), asked_of(2, "b", DAY, x=1)])
    offline = [{"user": user, "since": START, "x": x} for user, x in (("a", 1), ("a", 2), ("b", 1), ("b", 1))]
    found = checked(lake, features(lake, offline))
    assert (found["counts"]["contradictingFeatures"], found["counts"]["compared"]) == (2, 1)
    assert shares(found) == {"input.x": 0.0}, "the same row twice is one"


def test_what_is_not_clear_hides_what_came_before(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", 3 * DAY, x=1), asked_of(2, "b", 3 * DAY, x=1)])
    rows = [("a", 0, 7), ("a", 1, 1), ("a", 1, 2), ("b", 0, 7), ("b", 1, 7), ("b", 2, 1)]
    offline = [{"user": user, "since": START + day * DAY, "x": x} for user, day, x in rows]
    found = checked(lake, features(lake, offline))
    assert (found["counts"]["compared"], found["counts"]["withoutFeatures"]) == (1, 1)
    assert shares(found) == {"input.x": 0.0}


@pytest.mark.parametrize("kind", [int, float])
def test_times_of_features_may_be_seconds_since_the_epoch(lake: Lake, kind: type) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1), asked_of(2, "a", 3 * DAY, x=2)])
    times = [(START.timestamp(), 1), ((START + 2 * DAY).timestamp(), 2), (1e18, 3)]
    found = checked(lake, features(lake, [{"user": "a", "since": kind(time), "x": x} for time, x in times]))
    assert (found["counts"]["compared"], found["counts"]["unreadableFeatures"]) == (2, 1)
    assert shares(found) == {"input.x": 0.0}


@pytest.mark.parametrize(
    ("entities", "rows", "wrong", "sure"),
    [
        (10, 1, [1, 1], False),  # two of ten by chance: Wilson's interval would be beyond one in a hundred
        (3, 100, [4, 5, 6], False),  # three entities don't tell how others differ
        (100, 10, [1, 2] * 30, True),
        (1, 100, [100], False),
    ],
)
def test_few_entities_make_nobody_sure(lake: Lake, entities: int, rows: int, wrong: list[int], sure: bool) -> None:
    """`wrong`: rows of the first entities that are unequal."""
    counts = [*wrong, *[0] * (entities - len(wrong))]
    asked = [(entity, row, row < wrong) for entity, wrong in enumerate(counts) for row in range(rows)]
    lake.predict([
        asked_of(number, f"u{entity}", DAY, x=9 if is_wrong else 1)
        for number, (entity, _, is_wrong) in enumerate(asked)
    ])  # fmt: skip
    folder = features(lake, [{"user": f"u{entity}", "since": START, "x": 1} for entity in range(entities)])
    assert bool(checked(lake, folder, chance=1e-4)["unequal"]) is sure


def test_features_that_are_too_old_are_none(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", 3 * DAY, x=1), asked_of(2, "b", 3 * DAY, x=1)])
    offline = [{"user": "a", "since": START, "x": 1}, {"user": "b", "since": START + 2.5 * DAY, "x": 1}]
    found = checked(lake, features(lake, offline), max_age_seconds=86400)
    assert (found["counts"]["compared"], found["counts"]["withoutFeatures"]) == (1, 1)


def test_names_that_differ_and_features_without_a_time_as_csv(lake: Lake) -> None:
    """A key of digits keeps its zeros."""
    lake.predict([asked_of(1, "0071", DAY, age=7)])
    folder = features(lake, [{"user": "0071", "years": 7}, {"user": "71", "years": 8}], "f.csv")
    found = checked(lake, folder, features={"path": str(folder), "key": "user"}, columns={"input.age": "years"})
    assert shares(found) == {"input.age": 0.0}
    assert found["counts"]["compared"] == 1


def test_features_in_a_table_are_as_those_in_files(lake: Lake) -> None:
    lake.predict([asked_of(each, f"u{each}", DAY, x=float(each), name="a") for each in range(20)])
    rows = [
        {"user": f"u{each}", "since": START + days * DAY, "x": float(each + (each < 5)), "name": "b" if days else "a",
         "unused": "y"}
        for each in range(20) for days in (0, 1, 2)
    ]  # fmt: skip
    in_files = checked(lake, features(lake, rows))
    file = lake.log.parent / "offline.duckdb"
    with duckdb.connect(str(file)) as con:
        con.register("given", pa.Table.from_pylist(rows))
        con.execute("CREATE TABLE customers AS SELECT * FROM given")
    table = {"url": f"duckdb://{file}", "name": "customers"}
    options = {"begin": START.isoformat(), "end": (START + 2 * DAY).isoformat(), "max_age_seconds": 86400}
    in_table = checked(lake, file, features={"table": table, "key": "user", "time": "since"}, **options)
    assert shares(in_table) == shares(in_files) == {"input.x": 0.25, "input.name": 1.0}
    assert in_table["counts"] == in_files["counts"]


def test_a_table_that_is_not_there_says_so(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1.0)])
    file = lake.log.parent / "offline.duckdb"
    duckdb.connect(str(file)).close()
    table = {"url": f"duckdb://{file}", "name": "customers"}
    with pytest.raises(EvaluationError, match=r"features\.table: there is no table 'customers'"):
        checked(lake, file, features={"table": table, "key": "user"})


def test_times_of_features_that_nobody_can_read_are_counted(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1.0)])
    rows = [{"user": "a", "since": START.isoformat(), "x": 1.0}, {"user": "a", "since": "soon", "x": 2.0}]
    found = checked(lake, features(lake, rows))
    assert (found["counts"]["unreadableFeatures"], shares(found)) == (1, {"input.x": 0.0})


def test_only_the_time_that_is_asked_for(lake: Lake) -> None:
    for day in range(3):
        lake.predict([asked_of(day, "a", day * DAY, x=day)])
    folder = features(lake, [{"user": "a", "since": START, "x": 1}])
    found = checked(lake, folder, begin=(START + DAY).isoformat(), end=(START + 2 * DAY).isoformat())
    assert shares(found) == {"input.x": 0.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"input.y": "x"}}, "the log: there is no column 'input.y'"),
        ({"columns": {"input.x": "y"}}, "features: there is no column 'y'"),
        ({"key": "order"}, "the log: there is no column 'order'"),
        ({"tolerance": 2}, "tolerance"),
        ({"typo": 1}, "typo"),
        ({"predictions": {"path": "/nowhere/at/all"}}, "there is none"),
    ],
)
def test_what_can_not_be_compared_says_why(lake: Lake, options: dict[str, Any], said: str) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1)])
    folder = features(lake, [{"user": "a", "since": START, "x": 1}])
    with pytest.raises(EvaluationError, match=said):
        checked(lake, folder, **options)


def test_no_column_in_common_asks_for_names(lake: Lake) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1)])
    with pytest.raises(EvaluationError, match="name them in `columns`"):
        checked(lake, features(lake, [{"user": "a", "since": START, "other": 1}]))


def test_old_features_need_a_time() -> None:
    asked = {"predictions": {"path": "p"}, "features": {"path": "f"}, "max_age_seconds": 1}
    with pytest.raises(EvaluationError, match=r"features\.time is needed"):
        parity.load(json.dumps(asked))


def test_the_command_tells_by_its_exit_code(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake.predict([asked_of(each, f"u{each}", DAY, x=each) for each in range(100)])
    folder = features(lake, [{"user": f"u{each}", "since": START, "x": each + each % 2} for each in range(100)])
    spec, out = tmp_path / "spec.json", tmp_path / "out.json"
    asked = {"predictions": {"path": str(lake.log)}, "features": {"path": str(folder), "key": "user", "time": "since"}}
    spec.write_text(json.dumps(asked))
    assert parity.main([str(spec), "--out", str(out)]) == parity.UNEQUAL
    told = capsys.readouterr()
    assert told.out == ""
    assert "input.x: 50.0% unequal to x since 2026-03-02" in told.err
    assert json.loads(out.read_text())["unequal"] == ["input.x"]
    spec.write_text(json.dumps({**asked, "threshold": 0.9}))
    assert parity.main([str(spec)]) == 0
    assert "no column is surely unequal in more than 90.0%" in capsys.readouterr().err
    spec.write_text("{}")
    assert parity.main([str(spec)]) == 1
    assert "predictions" in capsys.readouterr().err


def test_it_is_a_verb_of_the_command_line(lake: Lake, tmp_path: Path) -> None:
    lake.predict([asked_of(1, "a", DAY, x=1)])
    folder = features(lake, [{"user": "a", "since": START, "x": 1}])
    spec = tmp_path / "spec.json"
    asked = {"predictions": {"path": str(lake.log)}, "features": {"path": str(folder), "key": "user", "time": "since"}}
    spec.write_text(json.dumps(asked))
    command = [sys.executable, "-m", "modelward_inference", "parity-check", str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["counts"]["compared"] == 1
