"""An evaluation by real Spark says what DuckDB says of the same log and outcomes: counts equal, sums to 1e-9."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from modelward_evaluate import spark as by_spark
from modelward_evaluate.engines import REMOTE
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.evaluate import document
from modelward_evaluate.job import VARIABLE, main
from modelward_evaluate.spec import load
from unit.evaluate.lakes import NOW, START, Lake, outcome, prediction
from unit.evaluate.test_batches import Scored, became, scored
from unit.evaluate.test_evaluate import random_log
from unit.evaluate.test_job import unpacked

Both = Callable[..., dict[str, Any]]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def both(spark: Any, lake: Lake) -> Both:
    """What both say of the lake."""

    def said(**options: Any) -> dict[str, Any]:
        found = by_one(spark, lake, **options)
        same(ordered(found), ordered(lake.said(**options)))
        return found

    return said


def by_one(spark: Any, lake: Lake, **options: Any) -> dict[str, Any]:
    asked = {
        "predictions": {"path": str(lake.log)},
        "outcomes": {"path": str(lake.outcomes)},
        "task": {"task": "classes", "label": "output.label"},
        "now": NOW.isoformat(),
    }
    spec = load(json.dumps(asked | options))
    found: dict[str, Any] = json.loads(json.dumps(document(by_spark.evaluate(spark, spec), spec), allow_nan=False))
    return found


def ordered(found: dict[str, Any]) -> dict[str, Any]:
    """Groups come by the codes of their names, which each engine has of its own."""
    names = ("day", "revision", "arm", "segment", "value")
    return found | {"groups": sorted(found["groups"], key=lambda each: [each[name] for name in names])}


def same(one: Any, other: Any, at: str = "") -> None:
    if isinstance(one, float) or isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9), at
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), at
        for key in one:
            same(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), at
        for place, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{at}[{place}]")
    else:
        assert one == other, at


def test_two_classes_with_scores_segments_groups_and_worth(lake: Lake, both: Both) -> None:
    random_log(lake, 1500)
    found = both(
        task={"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"},
        segments=[
            {"name": "age", "column": "input.age", "values": 10},
            {"name": "old", "sql": "input.age > 60 and input.sex = 'f'"},
        ],
        fairness={"name": "fair", "column": "input.sex"},
        business="case when outcome = '1' and foretold = '1' then amount else -1 end",
        label_window_seconds=timedelta(days=19.6).total_seconds(),
    )
    assert 0 < found["counts"]["matured"] < 1500
    assert {each["segment"] for each in found["values"]} == {"", "age", "old", "fair"}
    assert "(others)" in {each["value"] for each in found["values"]}
    assert found["fairness"]
    assert found["estimates"]
    assert found["differences"]


def test_scores_on_the_edge_of_a_cell_are_in_the_same_one(lake: Lake, both: Both) -> None:
    scores = [2.0**-each for each in range(1, 33)]
    scores += [1 - each for each in scores[:20]] + [0.0, 1.0]
    lake.predict([prediction(each, **{"output.score": score}) for each, score in enumerate(scores)])
    lake.tell([outcome(each, each % 2) for each in range(len(scores))])
    both(task={"task": "classes", "score": "output.score", "positive": "1"})


def test_many_classes_of_two_revisions_with_other_columns_and_concept_drift(lake: Lake, both: Both) -> None:
    rng = np.random.default_rng(3)
    for day in range(8):
        said = rng.choice(["cat", "dog", " Cat", "é", "1.50"], 60).tolist()
        truth = rng.choice(["cat", "dog", "1.5"], 60).tolist()
        seconds = [day * 86400 + each for each in range(60)]
        lake.predict([prediction(at, said[at % 60], **{"input.a": at % 3}) for at in seconds], "r1")
        lake.tell([outcome(at, truth[at % 60]) for at in seconds], f"{day}.parquet")
    later = range(300, 330)
    lake.predict([prediction(90_000 + each, f"{each % 4}", key=f"k{each}", **{"input.b": "x"}) for each in later], "r2")
    lake.tell([{"key": f"k{each}", "value": f"{each % 3}.0", "time": START} for each in later], "keys.parquet")
    found = both(
        concept={"reference_days": 4},
        segments=[{"name": "a", "column": "input.a"}, {"name": "b", "sql": "coalesce(input.b, upper('none'))"}],
    )
    assert found["concept"]
    assert {each["value"] for each in found["values"] if each["segment"] == "b"} == {"x", "NONE"}


def test_numbers_and_what_is_still_to_come(lake: Lake, both: Both) -> None:
    rng = np.random.default_rng(5)
    lake.predict([
        prediction(each * 160, **{"output.price": float(rng.normal(200, 30)), "input.city": f"c{each % 4}"})
        for each in range(3000)
    ])  # fmt: skip
    truth, weight = rng.normal(200, 40, 3000).tolist(), rng.uniform(0.8, 1.2, 3000).tolist()
    lake.tell([outcome(each * 160, truth[each], weight=weight[each]) for each in range(3000) if each % 9])
    found = both(
        task={"task": "numbers", "value": "output.price"},
        segments=[{"name": "city", "column": "input.city"}],
        label_window_seconds=timedelta(days=16).total_seconds(),
        business="outcome - foretold",
        outcomes={"path": str(lake.outcomes), "absent": 200.0},
    )
    assert found["estimates"][0]["metrics"]
    assert found["counts"]["assumed"]


def test_rankings(lake: Lake, both: Both) -> None:
    rng = np.random.default_rng(11)
    rows, told = [], []
    for each in range(60):
        for row in range(5):
            score, gain = float(rng.integers(0, 4)), int(rng.integers(0, 3))
            rows.append(prediction(each, row=row, **{"output.score": score, "input.kind": f"k{row}"}))
            told.append(outcome(each, gain, row=row))
    lake.predict(rows)
    lake.tell(told)
    found = both(
        task={"task": "ranking", "score": "output.score", "k": 3}, segments=[{"name": "kind", "column": "input.kind"}]
    )
    # That of the first row.
    assert {each["value"] for each in found["values"]} == {"", "k0"}


def test_what_goes_wrong_with_outcomes_is_counted_alike(lake: Lake, both: Both) -> None:
    lake.predict([prediction(each, key=f"k{each // 2}", fraction=0.5) for each in range(12)])
    lake.predict([prediction(20 + each // 2, row=each % 2, key="none") for each in range(4)])
    late, soon = START + timedelta(days=9), NOW + timedelta(hours=1)
    lake.tell([
        outcome(0), outcome(0), outcome(1, 0), outcome(1, 1, 120.0), outcome(2, 0), outcome(2, 1),
        outcome(3, arrived=late), outcome(4, arrived=soon), outcome(999), outcome(5, None), outcome(6, weight=-1.0),
        outcome(7, weight=2.5), outcome(20, row=None), outcome(8, row=None),
        outcome(9, request_id=None, key="k5", row=None),
    ])  # fmt: skip
    counts = both(label_window_seconds=timedelta(days=2).total_seconds())["counts"]
    wrong = ("duplicate", "contradicting", "undecided", "late", "future", "unmatched", "unreadable")
    assert all(counts[name] for name in wrong), counts


def test_texts_are_read_alike(lake: Lake, both: Both) -> None:
    lake.predict([prediction(each, f"{each}.50") for each in range(4)])
    texts = [
        ("q0", "0", "2026-03-01T00:05:00Z", " 1e0 ", "0.5"), ("q1", "0.0", "2026-03-01 00:05:00", ".5", " 1.500\n"),
        ("q2", "0", "2026-03-01T02:05:00+02:00", "", "TRUE"), ("q3", "1d", "2026-03-01", "1", "3.5"),
        ("q3", "0", "10:30", "1", "3.5"), ("q3", "0", "2026", "1", "3.5"), ("q3", "0", "nonsense", "1", "3.5"),
        ("q3", "0", "2026-03-01", "1_0", "3.5"), ("q3", "0", "2026-03-01", "1f", "3.5"),
        ("q3", "0.5", "2026-03-01", "1", "3.5"), ("q3", "0", "2026-03-01", "1", " "),
        ("q3", "0", "2026-03", "1", "3.5"), ("q3", "0", "infinity", "1", "3.5"),
        ("q3", "0", "2026/03/01 00:05", "1", "3.5"),
    ]  # fmt: skip
    names = ("request_id", "row", "time", "weight", "value")
    lake.tell([dict(zip(names, each, strict=True)) for each in texts])
    assert both()["counts"]["unreadable"] == 10


def test_what_batches_wrote(tmp_path: Path, lake: Lake, both: Both) -> None:
    """Of two models with other columns, in a folder that says nothing of them, and with keys that are there twice."""
    (tmp_path / "revision=x" / "arm=y").mkdir(parents=True)
    batches = Scored(tmp_path / "revision=x" / "arm=y")
    rng = np.random.default_rng(7)
    for night in range(3):
        at, more = START + timedelta(days=night), {"shop": "a"} if night else {}
        score = rng.random(40).tolist()
        rows = [scored(each % 30, round(score[each]), at, **{"output.p": score[each]}, **more) for each in range(40)]
        batches.ran(f"churn-{night}", rows[:25], rows[25:])
    lake.tell([became(each, each % 2, START + timedelta(days=2)) for each in range(30)])
    found = both(
        predictions={"path": str(batches.output), "batch": {"key": "id", "of": "churn"}},
        task={"task": "classes", "label": "output.label", "score": "output.p", "positive": "1"},
        segments=[{"name": "shop", "column": "shop"}],
    )
    assert (found["counts"]["predictions"], found["counts"]["withOutcome"]) == (30, 30)
    assert {each["revision"] for each in found["values"]} == {"r1"}


def test_folders_that_are_columns_are_such(lake: Lake, both: Both) -> None:
    lake.predict([prediction(each) for each in range(6)])
    for day in ("2026-03-01", "2026-03-09"):
        (lake.outcomes / f"day={day}").mkdir()
        lake.tell([{"request_id": f"q{each}", "row": 0, "value": 1} for each in range(4)], f"day={day}/a.parquet")
    options = {"outcomes": {"path": str(lake.outcomes), "time": "day"}, "label_window_seconds": 86400.0}
    assert both(**options)["counts"]["late"] == 4


def test_times_of_pandas_and_files_of_csv(lake: Lake, both: Both) -> None:
    lake.predict([prediction(each, each % 2) for each in range(6)])
    told = pandas.DataFrame([outcome(each, 1) for each in range(3)])
    told["time"] = told["arrived"] = told["time"].astype("datetime64[ns, UTC]")
    told.to_parquet(lake.outcomes / "a.parquet")
    assert pq.read_schema(lake.outcomes / "a.parquet").field("time").type.unit == "ns"
    window = {"label_window_seconds": 61.0}
    assert both(**window)["counts"]["withOutcome"] == 3
    (lake.outcomes / "a.parquet").unlink()
    lake.tell([outcome(each, 1) for each in range(4)], "b.csv")
    assert both(**window)["counts"]["withOutcome"] == 4


def test_outcomes_of_a_table_that_spark_knows(spark: Any, lake: Lake) -> None:
    lake.predict([prediction(each) for each in range(6)])
    lake.tell([outcome(each, each % 2) for each in range(6)])
    wanted = lake.said()
    spark.read.parquet(str(lake.outcomes)).write.saveAsTable("outcomes_told")
    where = {"table": {"url": "spark://", "name": "outcomes_told", "schema": "default"}}
    same(by_one(spark, lake, outcomes=where), wanted)
    with pytest.raises(EvaluationError, match="for an evaluation by Spark alone"):
        lake.said(outcomes={"path": None, **where})


def test_an_expression_calls_no_code_of_sparks(spark: Any, lake: Lake) -> None:
    lake.predict([prediction(1)])
    lake.tell([outcome(1)])
    calls = "reflect('java.lang.System', 'getProperty', 'user.name')"
    for text in (calls, f"case when {calls} = 'x' then 1 end", "java_method('java.util.UUID', 'randomUUID')"):
        with pytest.raises(EvaluationError, match="is a function of DuckDB alone"):
            by_one(spark, lake, segments=[{"name": "s", "sql": text}])


def test_an_expression_reads_nothing_of_sparks_settings(spark: Any, lake: Lake) -> None:
    lake.predict([prediction(1)])
    lake.tell([outcome(1)])
    texts = {"a": "${env:PATH}", "b": "${spark.driver.host}", "c": "${system:user.name}"}
    found = by_one(spark, lake, segments=[{"name": each, "sql": f"'{text}'"} for each, text in texts.items()])
    assert {each["segment"]: each["value"] for each in found["values"] if each["segment"]} == texts


def test_the_session_that_is_given_stays_as_it_is(spark: Any, lake: Lake) -> None:
    lake.predict([prediction(1)])
    lake.tell([outcome(1)])
    before = spark.conf.get("spark.sql.session.timeZone"), [each.name for each in spark.catalog.listTables()]
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        same(by_one(spark, lake), lake.said())
        assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Kolkata"
    finally:
        spark.conf.set("spark.sql.session.timeZone", before[0])
    assert [each.name for each in spark.catalog.listTables()] == before[1]


def test_what_spark_would_leave_out_is_told(spark: Any, lake: Lake) -> None:
    lake.predict([prediction(1)])
    lake.tell([outcome(1)])
    lake.tell([outcome(2)], "_b.parquet")
    with pytest.raises(EvaluationError, match="reads 1 of 2 files"):
        by_one(spark, lake)


def test_a_job_asks_a_server_of_spark_connect_and_says_the_same(lake: Lake, tmp_path: Path) -> None:
    random_log(lake, 600)
    evaluation = {
        "predictions": {"path": str(lake.log / "v1/namespace=ml/model=fraud/revision=r1")},
        "outcomes": {"path": str(lake.outcomes)}, "now": NOW.isoformat(),
        "task": {"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"},
        "segments": [{"name": "sex", "column": "input.sex"}],
    }  # fmt: skip
    asked = {VARIABLE: json.dumps({"evaluation": evaluation, "revision": "r1", "metrics": ["rocAuc", "accuracy"]})}
    assert main(asked, tmp_path / "here") == 0
    # A server in the process, which Connect has for tests.
    remote = {REMOTE: "local[2]", "SPARK_LOCAL_IP": "127.0.0.1"}
    script = "import os, sys, pathlib; from modelward_evaluate.job import main; main(message=pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "spark")], env=os.environ | remote | asked, check=True)
    here, spark = (unpacked((tmp_path / name).read_text()) for name in ("here", "spark"))
    assert here["rows"] > 100
    same(spark, here)
