"""Data, names and expressions that nobody would have thought of: the right number, or an error that says why."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import metrics as peer

from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.expressions import parse
from modelward_monitor.predictionlog.names import File
from unit.evaluate.lakes import EPOCH, NOW, START, Lake, counts, metric, outcome, prediction


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_what_csv_has_as_text_stays_as_it_is_written(lake: Lake) -> None:
    """Order 0071 is not order 71, and a file of numbers fits to one of texts."""
    lake.predict([prediction(0, key="0071", label="01"), prediction(1, key="71", label="spam")])
    (lake.outcomes / "a.csv").write_text("key,value\n0071,01\n")
    (lake.outcomes / "b.csv").write_text('key,value\n"71",spam\n')
    found = lake.said()
    assert counts(found, "withOutcome", "unmatched") == [2, 0]
    assert metric(found, "accuracy") == 1.0


def test_a_log_in_csv_keeps_its_texts(lake: Lake) -> None:
    (lake.log / "log.csv").write_text("request_id,row,time,output.label\n007,0,2026-03-01T00:00:00Z,01\n")
    lake.tell([{"request_id": "007", "row": 0, "value": "01"}])
    assert metric(lake.said(), "accuracy") == 1.0


@pytest.mark.parametrize("empty", ["", "NULL", "NaN", '""', " "])
def test_an_outcome_without_a_value_is_no_label(lake: Lake, empty: str) -> None:
    lake.predict([prediction(0, label="spam"), prediction(1, label="spam")])
    (lake.outcomes / "a.csv").write_text(f"request_id,row,value\nq0,0,spam\nq1,0,{empty}\n")
    found = lake.said()
    assert counts(found, "withOutcome", "unreadable") == [1, 1]
    assert metric(found, "accuracy") == 1.0


def test_truths_of_csv_are_relevance(lake: Lake) -> None:
    lake.predict([prediction(0, row=row, **{"output.score": -row}) for row in range(2)])
    (lake.outcomes / "a.csv").write_text("request_id,row,value\nq0,0,false\nq0,1,true\n")
    assert metric(lake.said(task={"task": "ranking", "score": "output.score"}), "mrr") == 0.5


def test_a_column_of_numbers_with_gaps_is_one_of_floats(lake: Lake) -> None:
    lake.predict([prediction(0, key="71"), prediction(1, key="72"), prediction(2, key="73")])
    nan = float("nan")
    lake.tell([
        {"key": 71.0, "row": nan, "value": 1, "weight": nan}, {"key": 72.0, "row": 0.0, "value": 1, "weight": 2.0},
        {"key": 73.0, "row": 0.4, "value": 1, "weight": 1.0},
    ])  # fmt: skip
    assert counts(lake.said(), "withOutcome", "unreadable") == [2, 1]


@pytest.mark.parametrize("weight", [1e-300, 1e300, float("inf"), -1.0])
def test_a_weight_that_can_not_be_summed_is_unreadable(lake: Lake, weight: float) -> None:
    lake.predict([prediction(0), prediction(1)])
    lake.tell([outcome(0, weight=weight), outcome(1, weight=1.0)])
    assert counts(lake.said(), "withOutcome", "unreadable") == [1, 1]


def test_rows_without_weight_have_no_value(lake: Lake) -> None:
    lake.predict([prediction(0, **{"output.score": 0.3})])
    lake.tell([outcome(0, weight=0.0)])
    task = {"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"}
    assert lake.said(task=task, business="1")["values"][0]["metrics"] == {}


def test_numbers_that_can_not_be_squared_are_none(lake: Lake) -> None:
    lake.predict([prediction(0, label=1.0), prediction(1, label=1.0), prediction(2, label=-1e300)])
    lake.tell([outcome(0, 1e200), outcome(1, 2.0), outcome(2, 2.0)])
    found = lake.said(task={"task": "numbers", "value": "output.label"})
    assert counts(found, "withOutcome", "unreadable", "notForetold") == [1, 1, 1]
    assert metric(found, "mae") == 1.0


def test_scores_that_are_no_probabilities_are_not_foretold(lake: Lake) -> None:
    scores = [0.2, 1.5, -0.1, float("nan"), float("inf"), None]
    lake.predict([prediction(each, **{"output.s": score}) for each, score in enumerate(scores)])
    lake.tell([outcome(each) for each in range(len(scores))])
    found = lake.said(task={"task": "classes", "score": "output.s", "positive": "1"})
    assert counts(found, "withOutcome", "notForetold") == [1, 5]


def test_rows_without_an_arm_are_of_their_revision(lake: Lake) -> None:
    lake.predict([prediction(0, arm=None), prediction(1)])
    lake.predict([prediction(2, arm=None)], "r2")
    lake.tell([outcome(each) for each in range(3)])
    sides = [(each["revision"], each["arm"]) for each in lake.said()["values"]]
    assert sides == [("r1", ""), ("r1", "stable"), ("r2", "")]


def test_labels_with_ends_of_lines_are_kept_apart(lake: Lake) -> None:
    lake.predict([prediction(0, label="c"), prediction(1, label="b\nc")])
    lake.tell([outcome(0, "a\nb"), outcome(1, "a")])
    pairs = lake.said()["groups"][0]["statistics"]["confusion"]["pairs"]
    assert {(each["label"], each["foretold"]) for each in pairs} == {("a\nb", "c"), ("a", "b\nc")}


def test_a_request_repeated_under_its_id_has_one_row(lake: Lake) -> None:
    lake.predict([prediction(0)], file=File("pod", EPOCH, 1, 1))
    lake.predict([prediction(0)], file=File("other", EPOCH, 1, 1))
    lake.tell([{"request_id": "q0", "value": 1}])
    assert counts(lake.said(), "withOutcome", "unmatched") == [2, 0]


def test_an_outcome_just_late_changes_no_row_that_was_counted(lake: Lake) -> None:
    lake.predict([prediction(0, label=0)])
    lake.tell([outcome(0, 1, after=86400.0 + 120)])
    options: dict[str, Any] = {"label_window_seconds": 86400}
    first = lake.said(**options, outcomes={"absent": "0"}, now=(START + timedelta(days=1)).isoformat())
    later = lake.said(**options, outcomes={"absent": "0"})
    assert first["groups"] == later["groups"]
    assert metric(later, "accuracy") == 1.0
    assert counts(later, "late", "assumed") == [1, 1]


def test_of_weights_of_one_moment_the_highest_counts(lake: Lake) -> None:
    lake.predict([prediction(0), prediction(1, label=0)])
    lake.tell([outcome(0, weight=each) for each in (1.0, 3.0, 2.0)] + [outcome(1, weight=1.0)])
    found = lake.said()
    assert metric(found, "accuracy") == 0.75
    assert counts(found, "duplicate", "contradicting", "undecided") == [2, 0, 0]


def test_times_without_a_zone_are_utc(lake: Lake) -> None:
    lake.predict([prediction(0), prediction(1)])
    lake.tell([
        {"request_id": "q0", "row": 0, "value": 1, "time": datetime(2026, 3, 1, 0, 59)},
        {"request_id": "q1", "row": 0, "value": 1, "time": datetime(2026, 3, 1, 1, 1)},
    ])  # fmt: skip
    assert counts(lake.said(label_window_seconds=3600), "withOutcome", "late") == [1, 1]


@pytest.mark.parametrize("positive", ["1.0", "true", " 1", "TRUE"])
def test_labels_of_the_question_are_written_as_those_of_the_data(lake: Lake, positive: str) -> None:
    lake.predict([prediction(0), prediction(1, label=0)])
    lake.tell([outcome(0)])
    found = lake.said(
        task={"task": "classes", "label": "output.label", "positive": positive}, label_window_seconds=3600,
        outcomes={"absent": "0.0"},
    )  # fmt: skip
    assert metric(found, "recall") == metric(found, "accuracy") == 1.0


def test_a_ranking_over_midnight_is_one(lake: Lake) -> None:
    lake.predict([
        prediction(each, time=START + timedelta(hours=12 * each), **{"output.s": -each, "input.g": each // 4})
        for each in range(8)
    ])  # fmt: skip
    lake.tell([outcome(each, int(each in (3, 5))) for each in range(8)])
    found = lake.said(task={"task": "ranking", "score": "output.s", "group": "input.g"})
    assert metric(found, "mrr") == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert [each["day"] for each in found["groups"]] == ["2026-03-01", "2026-03-03"]


def test_a_segment_of_small_numbers_beside_one_of_large_ones(lake: Lake) -> None:
    rng = np.random.default_rng(3)
    large = np.arange(400) % 2 == 1
    truth = np.where(large, 1e9 / 3, 0) + rng.normal(size=400)
    said = truth + np.where(large, 1e5 / 7, 1e-6) * rng.normal(size=400)
    lake.predict([prediction(at, **{"output.y": said[at], "input.s": str(large[at])}) for at in range(400)])
    lake.tell([outcome(at, truth[at]) for at in range(400)])
    found = lake.said(
        task={"task": "numbers", "value": "output.y"}, segments=[{"name": "s", "column": "input.s"}],
        business="1e9 * (input.s = 'True')::int + 1e-3",
    )  # fmt: skip
    for value, rows in (("1", large), ("0", ~large)):
        where = {"segment": "s", "value": value}
        assert metric(found, "rmse", **where) == pytest.approx(
            peer.root_mean_squared_error(truth[rows], said[rows]), rel=1e-9
        )
        assert metric(found, "mae", **where) == pytest.approx(
            peer.mean_absolute_error(truth[rows], said[rows]), rel=1e-9
        )
        assert metric(found, "r2", **where) == pytest.approx(peer.r2_score(truth[rows], said[rows]), rel=1e-6)
    assert metric(found, "worth", segment="s", value="0") == pytest.approx(1e-3, rel=1e-9)


def test_an_outlier_without_weight_is_not_seen(lake: Lake) -> None:
    lake.predict([prediction(at, **{"output.y": float(at) if at else 1e5 / 3}) for at in range(300)])
    lake.tell([outcome(at, float(at), weight=0.1 if at else 0.0) for at in range(300)])
    assert metric(lake.said(task={"task": "numbers", "value": "output.y"}), "rmse") == 0.0


def test_rows_of_no_ranking_are_not_ranked(lake: Lake) -> None:
    lake.predict([prediction(each, **{"output.s": 0.5, "input.g": None}) for each in range(3)])
    lake.tell([outcome(each) for each in range(3)])
    task = {"task": "ranking", "score": "output.s", "group": "input.g"}
    assert counts(lake.said(task=task), "withOutcome", "notForetold") == [0, 3]


NAMES = (
    "key", "value", "error", "side", "of", "worth", "assumed", "cell", "pair", "weight", "id", "group", "sampled",
    "loss", "day_", "worth_of", "doubtful", "score",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_the_log_are_taken_for_no_others(lake: Lake, name: str) -> None:
    lake.predict([prediction(0, **{name: 42}), prediction(1, **{name: 44})])
    lake.tell([outcome(0, weight=1.0), outcome(1, weight=3.0)])
    found = lake.said(business=name, segments=[{"name": name, "column": name}], outcomes={"absent": "1"})
    assert metric(found, "worth") == pytest.approx((42 + 3 * 44) / 4)
    assert metric(found, "worth", segment=name, value="42") == 42.0
    assert metric(found, "accuracy") == 1.0


def test_the_score_of_a_ranking_may_be_named(lake: Lake) -> None:
    lake.predict([prediction(0, **{"output.s": 3.0})])
    lake.tell([outcome(0)])
    assert metric(lake.said(task={"task": "ranking", "score": "output.s"}, business="score * 2"), "worth") == 6.0


def test_what_is_infinite_is_a_segment_and_worth_nothing(lake: Lake) -> None:
    lake.predict(
        [prediction(0, **{"input.a": 1.0, "input.b": 0.0}), prediction(1, **{"input.a": None, "input.b": 1.0})]
    )
    lake.tell([outcome(0), outcome(1)])
    found = lake.said(segments=[{"name": "s", "sql": "input.a / input.b"}], business="input.a / input.b")
    assert {each["value"] for each in found["values"] if each["segment"] == "s"} == {"inf", "(missing)"}
    assert metric(found, "worth") == 0.0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("unnest([1, 2])", "no value of a single row"),
        ("COLUMNS('input.*')", "no value of a single row"),
        ("COLUMNS(*)", "no value of a single row"),
        ("(from read_text('/etc/passwd'))", "no value of a single row"),
        ("'/etc/passwd' in (from glob('/etc/*'))", "no value of a single row"),
        ("glob('/etc/*')", "can't be computed"),
        ("entropy(input.a)", "can't be computed"),
        ("error('no')", "the evaluation failed: .*no"),
        ("(" * 900 + "1" + ")" * 900, "nested too deeply"),
        ("not " * 480 + "true", "nested too deeply"),
        ("repeat('x', 100000000000)", "the evaluation failed"),
    ],
)
def test_expressions_that_are_no_value_of_a_row(lake: Lake, sql: str, said: str) -> None:
    lake.predict([prediction(0, **{"input.a": 1})])
    lake.tell([outcome(0)])
    for options in ({"business": sql}, {"segments": [{"name": "s", "sql": sql}]}):
        with pytest.raises(EvaluationError, match=said):
            lake.said(**options)


CALL = "reflect('java.lang.System', 'getProperty', 'user.name')"


@pytest.mark.parametrize(
    "text",
    [
        f'a::"x) || {CALL} || cast(1 as int"',
        f'try_cast(a as "x), {CALL} --")',
        f'a::"x) || cast(1 as ""y) || {CALL} || cast(1 as int"") || cast(1 as int"',
        f'extract("epoch from a), {CALL}, year(" from a)',
        f'date_diff("day, {CALL}", a, a)',
        "date_trunc('day'', ''x', a)",
        f'"f(1) || {CALL} || g"(a)',
    ],
)
def test_no_name_becomes_more_than_a_name_where_an_engine_reads_it(text: str) -> None:
    with pytest.raises(EvaluationError, match="is no name of a type, a function or a part of a time"):
        parse(text, "segment s")


@pytest.mark.parametrize(
    "text",
    [
        "input.a > 60 and \"input.b c\" = 'f'", "extract(hour from a)", "date_diff('day', a, b)",
        "date_trunc('week', a)", "a - interval 1 day", "a::decimal(10, 2)", "try_cast(a as uhugeint)",
        "a::enum('x y', 'z')", "a ->> '$.\"b c\"'", "{'x y': a}['x y']", "strip_accents(a)",
        "cast(a as struct(\"x y\" int))", "list_transform([1, 2], e -> e + 1)[1]", "if(a > 1, '$', '${b}')",
        "a like '%(''--%'", "regexp_extract(a, '(\\\\d+)', 1) /* why */", "time at time zone 'Asia/Kolkata'",
    ],
)  # fmt: skip
def test_what_people_write_is_read_as_it_is_written(text: str) -> None:
    made = parse(text, "segment s")
    assert parse(made.sql("duckdb"), "segment s") == made


def test_the_log_of_several_models_is_none(lake: Lake) -> None:
    lake.predict([prediction(0)])
    other = lake.log / "v1/namespace=ml/model=other/revision=r1/day=2026-03-01/hour=00"
    other.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist([prediction(1)]), other / File("pod", EPOCH, 1, 1).name)
    lake.tell([outcome(0), outcome(1)])
    with pytest.raises(EvaluationError, match="model=fraud, namespace=ml/model=other: name the folder of one model"):
        lake.said()
    one = lake.log / "v1/namespace=ml/model=other"
    assert counts(lake.said(predictions={"path": str(one)}), "predictions") == [1]


@pytest.mark.parametrize("name", ["a#b", "a?b=c", "a%20b"])
def test_a_folder_may_have_any_name(lake: Lake, tmp_path: Path, name: str) -> None:
    lake.predict([prediction(0)])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "other.csv").write_text("key,value\nother,1\n")
    lake.outcomes = tmp_path / name
    lake.outcomes.mkdir()
    lake.tell([outcome(0)])
    assert counts(lake.said(), "withOutcome", "outcomes") == [1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"outcomes": {"absent": "none"}}, "absent: 'none' is no number"),
        ({"outcomes": {"absent": "nan"}}, "absent: 'nan' is no number"),
        ({"outcomes": {"absent": float("nan")}}, "finite number"),
        ({"now": "0001-01-01T00:00:00Z", "label_window_seconds": 1}, "from 1970"),
        ({"now": "9999-12-31T23:59:59Z"}, "from 1970"),
        ({"segments": [{"name": "A", "column": "arm"}, {"name": "a", "column": "day"}]}, "the same name"),
    ],
)
def test_a_question_that_makes_no_sense_says_why(lake: Lake, options: dict[str, Any], said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        lake.said(task={"task": "numbers", "value": "output.label"}, **options)


def test_a_result_that_can_not_be_written_is_told(lake: Lake, tmp_path: Path) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    spec = {
        "predictions": {"path": str(lake.log)}, "outcomes": {"path": str(lake.outcomes)},
        "task": {"task": "classes", "label": "output.label"}, "now": NOW.isoformat(),
    }  # fmt: skip
    command = [sys.executable, "-m", "modelward_evaluate", "-", "--out", str(tmp_path / "no" / "result.json")]
    ended = subprocess.run(command, input=json.dumps(spec), text=True, capture_output=True, check=False)
    assert ended.returncode == 1
    assert "No such file" in ended.stderr
    assert "Traceback" not in ended.stderr
