"""Files of predictions and outcomes in, numbers of scikit-learn out; and each way in which outcomes go wrong."""

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as peer

from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.evaluate import evaluate
from modelward_evaluate.spec import load
from modelward_monitor.predictionlog.names import File
from unit.evaluate.lakes import EPOCH, NOW, START, Lake, Table, Told, counts, metric, outcome, prediction


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture(params=[Lake, Told, Table])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """The ways in which outcomes come."""
    made: Lake = request.param(tmp_path)
    return made


def random_log(lake: Lake, rows: int = 3000) -> pandas.DataFrame:
    """Two revisions over two days, outcomes shuffled over three files, some in CSV of a folder of its own."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(size=rows) < 0.3
    score = 1 / (1 + np.exp(-(rng.normal(size=rows) + 1.5 * truth - 1)))
    frame = pandas.DataFrame({
        "request_id": [f"q{each // 3}" for each in range(rows)], "row": np.arange(rows, dtype=np.int32) % 3,
        "time": [START + timedelta(seconds=each // 3 * 120) for each in range(rows)],
        "arm": np.where(np.arange(rows) // 3 % 5 == 0, "candidate", "stable"), "fraction": 1.0,
        "output.label": (score >= 0.5).astype(np.int64), "output.score": score,
        "input.age": rng.integers(18, 90, rows), "input.sex": rng.choice(["f", "m"], rows),
        "amount": rng.uniform(1, 100, rows), "truth": truth.astype(np.int64),
    })  # fmt: skip
    frame["revision"] = np.where(frame.arm == "candidate", "r2", "r1")
    for (revision, hour), part in frame.groupby(["revision", frame.time.dt.floor("h")]):
        assert hour is not None
        lake.predict(part.drop(columns=["truth", "revision"]).to_dict("records"), revision)
    told = frame[["request_id", "row"]].assign(
        value=frame.truth, time=frame.time + timedelta(hours=3), weight=rng.uniform(0.5, 2.0, rows)
    )
    frame["weight"] = told.weight
    told = told.sample(frac=1.0, random_state=1)
    for number in range(3):
        lake.tell(told.iloc[number::3].to_dict("records"), f"{number}.parquet")
    return frame


def test_numbers_of_scikit_learn_by_revision_arm_day_and_segment(lake: Lake) -> None:
    frame = random_log(lake)
    found = lake.said(
        task={"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"},
        segments=[{"name": "sex", "column": "input.sex"}, {"name": "old", "sql": "input.age > 60"}],
        business="case when outcome = '1' and foretold = '1' then amount else -1 end",
        fairness={"name": "fair", "column": "input.sex"},
    )
    assert found["counts"] == {
        "predictions": 3000, "matured": 3000, "withOutcome": 3000, "assumed": 0, "notForetold": 0, "outcomes": 3000,
        "unreadable": 0, "future": 0, "unmatched": 0, "late": 0, "duplicate": 0, "contradicting": 0, "undecided": 0,
    }  # fmt: skip
    parts = {("", ""): frame} | {("sex", each): frame[frame["input.sex"] == each] for each in "fm"}
    parts |= {("old", str(int(each))): frame[(frame["input.age"] > 60) == each] for each in (True, False)}
    for (segment, value), part in parts.items():
        for revision, arm in (("r1", "stable"), ("r2", "candidate")):
            rows = part[part.revision == revision]
            where = {"segment": segment, "value": value, "revision": revision, "arm": arm}
            truth, label, score, weight = rows.truth, rows["output.label"], rows["output.score"], rows.weight
            expected = {
                "accuracy": peer.accuracy_score(truth, label, sample_weight=weight),
                "precision": peer.precision_score(truth, label, sample_weight=weight),
                "recall": peer.recall_score(truth, label, sample_weight=weight),
                "f1": peer.f1_score(truth, label, sample_weight=weight),
                "macroF1": peer.f1_score(truth, label, sample_weight=weight, average="macro"),
                "logLoss": peer.log_loss(truth, score, sample_weight=weight),
                "brier": peer.brier_score_loss(truth, score, sample_weight=weight),
            }
            for name, number in expected.items():
                assert metric(found, name, **where) == pytest.approx(number, abs=1e-9), (name, where)
            for name, number in {
                "rocAuc": peer.roc_auc_score(truth, score, sample_weight=weight),
                "averagePrecision": peer.average_precision_score(truth, score, sample_weight=weight),
            }.items():
                row = next(each for each in found["values"] if where.items() <= each.items())
                within = row["metrics"][name]["within"]
                assert within < 0.01
                assert abs(metric(found, name, **where) - number) <= within + 1e-9
            worth = np.where((truth == 1) & (label == 1), rows.amount, -1)
            assert metric(found, "worth", **where) == pytest.approx(np.average(worth, weights=weight), abs=1e-9)
    days = {each["day"] for each in found["groups"] if not each["segment"]}
    assert days == {"2026-03-01", "2026-03-02"}
    gap = next(each for each in found["fairness"] if each["arm"] == "stable")["gaps"]["statisticalParity"]
    stable = frame[frame.arm == "stable"]
    rates = {each: np.average(rows["output.label"], weights=rows.weight) for each, rows in stable.groupby("input.sex")}
    assert gap["difference"]["value"] == pytest.approx(abs(rates["f"] - rates["m"]), abs=1e-9)


def test_only_a_score_is_enough(lake: Lake) -> None:
    frame = random_log(lake, 600)
    found = lake.said(task={"task": "classes", "score": "output.score", "positive": "1", "threshold": 0.4})
    stable = frame[frame.arm == "stable"]
    expected = peer.recall_score(stable.truth, stable["output.score"] >= 0.4, sample_weight=stable.weight)
    assert metric(found, "recall", arm="stable") == pytest.approx(expected, abs=1e-9)


def test_numbers_foretold_and_outcomes_as_csv(lake: Lake) -> None:
    rng = np.random.default_rng(8)
    truth = 1e7 + rng.normal(size=500)
    said = truth + rng.normal(size=500)
    lake.predict([prediction(each, **{"output.y": float(said[each])}) for each in range(500)])
    lake.tell([outcome(each, float(truth[each])) for each in range(500)], "told.csv")
    found = lake.said(task={"task": "numbers", "value": "output.y"})
    for name, number in {
        "rmse": peer.root_mean_squared_error(truth, said), "mae": peer.mean_absolute_error(truth, said),
        "mape": peer.mean_absolute_percentage_error(truth, said), "r2": peer.r2_score(truth, said),
        "bias": np.mean(said - truth),
    }.items():  # fmt: skip
        assert metric(found, name) == pytest.approx(number, abs=1e-8), name


def test_rankings_are_those_of_a_request(lake: Lake) -> None:
    rng = np.random.default_rng(9)
    gain, score = rng.integers(0, 4, (40, 6)), rng.normal(size=(40, 6))
    lake.predict([
        prediction(each, row=row, **{"output.score": score[each, row]}) for each in range(40) for row in range(6)
    ])  # fmt: skip
    lake.tell([outcome(each, int(gain[each, row]), row=row) for each in range(40) for row in range(6)])
    found = lake.said(task={"task": "ranking", "score": "output.score", "k": 4})
    useful = gain.sum(1) > 0
    assert metric(found, "ndcg") == pytest.approx(peer.ndcg_score(gain[useful], score[useful], k=4), abs=1e-9)
    firsts = [1 + int(np.argmax(gain[each][np.argsort(-score[each])] > 0)) for each in np.flatnonzero(useful)]
    assert metric(found, "mrr") == pytest.approx(np.mean([1 / each for each in firsts]), abs=1e-9)


def test_each_way_in_which_outcomes_go_wrong_is_counted(way: Lake) -> None:
    way.predict([prediction(each) for each in range(10)])
    day = 86400.0
    way.tell([
        outcome(0), outcome(0),                                      # duplicate
        outcome(1, 0), outcome(1, 1, after=120),                     # contradicting: the later one counts
        outcome(2, 0), outcome(2, 1),                                # undecided: neither counts
        outcome(3, 0, after=8 * day),                                # late
        outcome(77),                                                 # unmatched
        outcome(4, after=30 * day),                                  # future
        outcome(5, None), outcome(6) | {"request_id": None},         # unreadable
        outcome(7, 1), outcome(7, 0, after=9 * day),                 # one in time, one late: the first counts
    ])  # fmt: skip
    # What nobody could read a server does not take in the first place.
    refused = way.refused if isinstance(way, Told) else 0
    assert refused in ((2,) if isinstance(way, Told) else (0,))
    found = way.said(label_window_seconds=7 * day)
    assert found["counts"] == {
        "predictions": 10, "matured": 10, "withOutcome": 3, "assumed": 0, "notForetold": 0,
        "outcomes": 13 - refused, "unreadable": 2 - refused, "future": 1, "unmatched": 1, "late": 2,
        "duplicate": 1, "contradicting": 2, "undecided": 1,
    }  # fmt: skip
    assert metric(found, "accuracy") == 1.0
    assert found["values"][0]["metrics"]["accuracy"]["rows"] == 3


def test_rows_of_text_that_are_nonsense_spoil_no_other(lake: Lake) -> None:
    lake.predict([prediction(each) for each in range(6)])
    (lake.outcomes / "a.csv").write_text(
        "request_id,row,value,time,weight\n"
        "q0,0,1,2026-03-01T00:10:00Z,1\nq1,first,1,2026-03-01T00:10:00Z,1\nq2,0,1,yesterday,1\n"
        "q3,0,1,2026-03-01T00:10:00Z,much\nq4,0,1,2026-03-01T00:10:00Z,-1\nq5,0,1,2026-03-01T00:10:00Z,\n"
    )
    assert counts(lake.said(), "withOutcome", "unreadable") == [2, 4]


def test_no_outcome_may_be_one(way: Lake) -> None:
    """No chargeback came within the window: the transaction was good. Of what is disputed nothing is assumed."""
    way.predict([prediction(each, label=0) for each in range(8)])
    way.tell([outcome(0), outcome(1, 0), outcome(1, 1)])
    found = way.said(label_window_seconds=86400, outcomes={"absent": "0"})
    assert counts(found, "matured", "withOutcome", "assumed", "undecided") == [8, 1, 6, 1]
    assert metric(found, "accuracy") == pytest.approx(6 / 7)


def test_early_outcomes_bias_and_so_only_matured_rows_count(lake: Lake) -> None:
    """Fraud is told after a day, honest customers after ten. Who looked at all labels that are there would see half of
    the newest rows as fraud."""
    rng = np.random.default_rng(10)
    rows = []
    told = []
    for number in range(2000):
        at = START + timedelta(days=20 * number / 2000)
        bad = bool(rng.uniform() < 0.2)
        rows.append(prediction(number, label=0, time=at))
        arrived = at + timedelta(days=1 if bad else 10)
        if arrived <= NOW:
            told.append({"request_id": f"q{number}", "row": 0, "value": int(bad), "time": arrived, "arrived": arrived})
    lake.predict(rows)
    lake.tell(told)
    naive = np.mean([not each["value"] for each in told])
    found = lake.said(label_window_seconds=10 * 86400)
    honest = metric(found, "accuracy")
    low, high = (found["values"][0]["metrics"]["accuracy"][side] for side in ("low", "high"))
    assert low <= 0.8 <= high, honest
    assert naive < low, "the bias that must not happen"
    assert counts(found, "predictions", "matured") == [2000, 1001]


def test_a_cohort_that_matured_never_changes(way: Lake) -> None:
    way.predict([prediction(each) for each in range(50)])
    way.tell([outcome(each, each % 2) for each in range(40)])
    options: dict[str, Any] = {"label_window_seconds": 5 * 86400}
    first = way.said(**options)
    way.tell([outcome(each, 1, after=6 * 86400) for each in range(50)], "later.parquet")
    again = way.said(**options, now=(NOW + timedelta(days=5)).isoformat())
    assert first["groups"] == again["groups"]
    assert again["counts"]["late"] == 50


def test_an_own_key_is_of_each_request_that_had_it(way: Lake) -> None:
    way.predict([prediction(0, key="order-1"), prediction(1, key="order-1"), prediction(2, key="order-2")])
    way.tell([{"key": "order-1", "value": 1}, {"key": "order-9", "value": 1}])
    found = way.said()
    assert counts(found, "withOutcome", "unmatched", "matured") == [2, 1, 3]


def test_an_outcome_without_a_row_is_of_a_request_with_one(way: Lake) -> None:
    way.predict([prediction(0), prediction(1, row=0), prediction(1, row=1)])
    way.tell([{"request_id": "q0", "value": 1}, {"request_id": "q1", "value": 1}])
    assert counts(way.said(), "withOutcome", "unmatched") == [1, 1]


def test_a_shadow_and_its_original_share_an_outcome(way: Lake) -> None:
    way.predict([prediction(0, label=1), prediction(1, label=0)])
    way.predict([prediction(0, label=0, arm="shadow"), prediction(1, label=0, arm="shadow")], "r2")
    way.tell([outcome(0, 1), outcome(1, 0)])
    found = way.said()
    assert metric(found, "accuracy", arm="stable") == 1.0
    assert metric(found, "accuracy", arm="shadow") == 0.5


def test_sampled_rows_stand_for_more(lake: Lake) -> None:
    """The fraction was lowered from all to a tenth in between: each row of then stands for ten."""
    lake.predict([prediction(0, label=1)] + [prediction(each, label=1, fraction=0.1) for each in range(1, 3)])
    lake.tell([outcome(0, 0), outcome(1, 1), outcome(2, 0)])
    assert metric(lake.said(), "accuracy") == pytest.approx(10 / 21)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (True, 1),
        (1.0, 1),
        ("true", True),
        ("spam", "spam"),
        (0, "false"),
        ("TRUE", True),
        ("1.0", 1),
        (1.5, "1.50"),
        ("-0.0", 0),
        (" 1 ", 1),
        ("spam", "spam "),
        (Decimal("1.50"), 1.5),
        (Decimal(2), "2.000"),
        (np.float32(0.1), 0.1),
        (2**60 + 1, str(2**60 + 1)),
        (1e20, 1e20),
        (10, "10.0"),
    ],
)
def test_what_two_systems_call_the_same_is_the_same(way: Lake, label: Any, value: Any) -> None:
    way.predict([prediction(0, label=label)])
    way.tell([outcome(0, value)])
    found = way.said()
    assert metric(found, "accuracy") == 1.0


@pytest.mark.parametrize(("label", "value"), [("01", 1), ("01", "1"), ("1.0.0", 1), (1.5, 1), (float("inf"), "spam")])
def test_what_only_looks_alike_is_not_the_same(way: Lake, label: Any, value: Any) -> None:
    way.predict([prediction(0, label=label)])
    way.tell([outcome(0, value)])
    assert metric(way.said(), "accuracy") == 0.0


def test_files_that_a_compacted_one_covers_are_not_read_again(lake: Lake) -> None:
    lake.predict([prediction(0)], file=File("pod", EPOCH, 1, 1))
    lake.predict([prediction(1)], file=File("pod", EPOCH, 2, 2))
    lake.predict([prediction(0), prediction(1)], file=File("pod", EPOCH, 1, 2))
    lake.tell([outcome(0), outcome(1)])
    assert counts(lake.said(), "predictions", "withOutcome") == [2, 2]


def test_revisions_may_have_other_columns(lake: Lake) -> None:
    lake.predict([prediction(0, **{"input.a": 1})])
    lake.predict([prediction(1, **{"input.b": "x"})], "r2")
    lake.tell([outcome(0), outcome(1)])
    found = lake.said(segments=[{"name": "b", "column": "input.b"}])
    assert {each["value"] for each in found["values"] if each["segment"] == "b"} == {"(missing)", "x"}


def test_rare_values_of_a_segment_are_one(lake: Lake) -> None:
    lake.predict(
        [prediction(each, **{"input.city": f"c{min(each, 5)}" if each > 4 else f"c{each}"}) for each in range(12)]
    )
    lake.tell([outcome(each) for each in range(12)])
    found = lake.said(segments=[{"name": "city", "column": "input.city", "values": 2}])
    rows = {each["value"]: each["metrics"]["accuracy"]["rows"] for each in found["values"] if each["segment"] == "city"}
    assert rows == {"c5": 7, "c0": 1, "(others)": 4}


def test_no_outcome_yet_is_no_value(lake: Lake) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(5)])
    found = lake.said()
    assert found["values"] == []
    assert counts(found, "matured", "withOutcome", "unmatched") == [1, 0, 1]


def test_nan_is_nothing_foretold(lake: Lake) -> None:
    lake.predict([prediction(0, **{"output.y": 1.0}), prediction(1, **{"output.y": float("nan")})])
    lake.tell([outcome(0, 1.0), outcome(1, 1.0)])
    found = lake.said(task={"task": "numbers", "value": "output.y"})
    assert metric(found, "mae") == 0.0
    assert counts(found, "notForetold", "withOutcome") == [1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": {"task": "classes", "label": "output.nope"}}, "no column 'output.nope'"),
        ({"outcomes": {"value": "nope"}}, "no column 'nope' for the value"),
        ({"outcomes": {"request_id": "x", "key": "y"}}, "your own key"),
        ({"segments": [{"name": "s", "sql": "input.nope > 1"}]}, "no column input.nope"),
        ({"segments": [{"name": "s", "sql": "1; drop table x"}]}, "not one expression"),
        ({"segments": [{"name": "s", "sql": "select 1"}]}, "no expression|no value of a single row|not one"),
        ({"segments": [{"name": "s", "sql": "(select count(*) from outcomes)"}]}, "no value of a single row"),
        ({"segments": [{"name": "s", "sql": "1 from outcomes"}]}, "more than an expression"),
        ({"segments": [{"name": "s", "sql": "count(*)"}]}, "no value of a single row"),
        ({"segments": [{"name": "s", "sql": "read_text('/etc/passwd')"}]}, "can't be computed|no value"),
        ({"segments": [{"name": "s", "sql": "getenv('HOME')"}]}, "can't be computed"),
        ({"business": "nope * 2"}, "no column 'nope'"),
        ({"predictions": {"path": "https://example.org/x"}}, "from a folder or from s3://"),
        ({"predictions": {"path": "/nowhere/at/all"}}, "predictions: .* there is none"),
        ({"task": {"task": "classes", "score": "output.label"}}, "needs `positive`"),
        ({"task": {"task": "dreams"}}, "task"),
        ({"extra": 1}, "extra"),
        ({"now": "2026-03-01T00:00:00"}, "now"),
    ],
)
def test_what_can_not_be_evaluated_says_why(lake: Lake, options: dict[str, Any], said: str) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    with pytest.raises(EvaluationError, match=said):
        lake.said(**options)


def test_outcomes_that_a_server_was_told_may_lie_beside_the_predictions(tmp_path: Path) -> None:
    """Of their files the compacted ones count, and they are no predictions."""
    told = Told(tmp_path)
    told.predict([prediction(0), prediction(1)])
    told.tell([outcome(0)])
    told.tell([outcome(1)])
    folder = next((told.log / "outcomes").rglob("*.parquet")).parent
    parts = sorted(folder.iterdir())
    assert len(parts) == 2
    whole = pa.concat_tables([pq.read_table(each, partitioning=None) for each in parts])
    pq.write_table(whole, folder / File("pod", EPOCH, 1, 2).name)
    found = told.said()
    assert counts(found, "predictions", "outcomes", "withOutcome", "duplicate") == [2, 2, 2, 0]
    # A team's own files count beside them.
    pq.write_table(pa.Table.from_pylist([{"request_id": "q9", "value": "1"}]), folder / "own.parquet")
    assert counts(told.said(), "outcomes", "unmatched") == [3, 1]


def test_a_view_of_a_duckdb_file_reads_no_other_file(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.predict([prediction(0)])
    (tmp_path / "secret.csv").write_text("request_id,value\nq0,1\n")
    with duckdb.connect(str(table.file)) as con:
        con.execute(f"CREATE VIEW chargebacks AS SELECT * FROM read_csv('{tmp_path}/secret.csv')")
    with pytest.raises(EvaluationError, match=r"(?i)chargebacks.*(disabled|permission)"):
        table.said()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, "either `path` .* or `table`"),
        ({"path": "/x", "table": {"url": "duckdb:///x", "name": "t"}}, "either `path` .* or `table`"),
        ({"table": {"url": "mysql://db/x", "name": "t"}}, "an address that begins with one of postgres://"),
        ({"table": {"url": "lake.duckdb", "name": "t"}}, "an address that begins with one of postgres://"),
        ({"table": {"url": "postgres://u:p@db/x", "name": "t"}}, "url: it has a password"),
        ({"table": {"url": "postgres://db/x?password=p", "name": "t"}}, "url: it has a password"),
        ({"table": {"url": "postgres://[db/x", "name": "t"}}, "can't be read as an address"),
        ({"table": {"url": "duckdb:///nowhere/x.duckdb", "name": "t"}}, "can't be reached"),
        ({"table": {"url": "duckdb:///x"}}, "name: Field required"),
        (
            {"table": {"url": "trino://db/x", "name": "t"}},
            "needs a driver that is not installed .*ibis-framework.trino",
        ),
    ],
)
def test_where_outcomes_can_not_be_is_told(lake: Lake, where: dict[str, Any], said: str) -> None:
    lake.predict([prediction(0)])
    spec = {
        "predictions": {"path": str(lake.log)}, "outcomes": where, "now": NOW.isoformat(),
        "task": {"task": "classes", "label": "output.label"},
    }  # fmt: skip
    with pytest.raises(EvaluationError, match=said):
        evaluate(load(json.dumps(spec)))


def test_a_corrupt_file_is_named(lake: Lake) -> None:
    lake.predict([prediction(0)])
    (lake.outcomes / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(EvaluationError, match=r"bad\.parquet"):
        lake.said()


def test_the_command_writes_a_whole_file_or_none(lake: Lake, tmp_path: Path) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    spec = {
        "predictions": {"path": str(lake.log)}, "outcomes": {"path": str(lake.outcomes)},
        "task": {"task": "classes", "label": "output.label"}, "now": NOW.isoformat(),
    }  # fmt: skip
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "modelward_evaluate", "-", "--out", str(out)]
    ended = subprocess.run(command, input=json.dumps(spec), text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(out.read_text())["counts"]["withOutcome"] == 1
    ended = subprocess.run(command, input="{}", text=True, capture_output=True, check=False)
    assert ended.returncode == 1
    assert "predictions: Field required" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_concept_drift_is_found_where_it_is_and_nowhere_else(lake: Lake) -> None:
    """From the tenth day on the outcomes of one country are others, for the same inputs."""
    random = np.random.default_rng(3)
    rows, told = [], []
    for number in range(18 * 120):
        day, country = number // 120, "nl" if number % 2 else "be"
        wrong = random.uniform() < (0.4 if day >= 10 and country == "nl" else 0.1)
        time = START + timedelta(days=day, seconds=number % 120)
        rows.append(prediction(number, 1, time=time, country=country))
        told.append({"request_id": f"q{number}", "row": 0, "value": int(not wrong), "time": time, "arrived": time})
    for day in range(18):
        lake.predict(rows[day * 120 : (day + 1) * 120])
    lake.tell(told)
    found = lake.said(
        segments=[{"name": "country", "column": "country"}], concept={"reference_days": 7, "budget": 0.05}
    )["concept"]
    by_part = {(each["segment"], each["value"]): each for each in found}
    assert {part: each["alarm"] for part, each in by_part.items()} == {
        ("", ""): True, ("country", "be"): False, ("country", "nl"): True,
    }  # fmt: skip
    dutch = by_part["country", "nl"]
    assert dutch["since"] in ("2026-03-10", "2026-03-11", "2026-03-12")
    assert dutch["low"] < 0.3 < dutch["high"]
    assert {each["needed"] for each in found} == {3 * 600.0}, "the budget is of all parts together"
    assert lake.said()["concept"] == []


def test_arms_are_held_against_the_stable_one_on_the_days_of_both(lake: Lake) -> None:
    """On the first day, when all was well, there was no candidate."""
    rows, told, number = [], [], 0
    for day, arm, right in ((0, "stable", 300), (1, "stable", 200), (1, "candidate", 240)):
        for each in range(300):
            number += 1
            time = START + timedelta(days=day, seconds=each)
            rows.append(prediction(number, 1, time=time, arm=arm))
            told.append({"request_id": f"q{number}", "row": 0, "value": int(each < right), "time": time})
    for day, revision, part in ((0, "r1", rows[:300]), (1, "r1", rows[300:600]), (1, "r2", rows[600:])):
        assert part[0]["time"].day == day + 1
        lake.predict(part, revision)
    lake.tell(told)
    (found,) = lake.said()["differences"]
    assert {name: found[name] for name in ("revision", "arm", "against", "begin", "end")} == {
        "revision": "r2", "arm": "candidate", "against": "r1", "begin": "2026-03-02", "end": "2026-03-02",
    }  # fmt: skip
    gap = found["metrics"]["accuracy"]
    assert gap["value"] == pytest.approx(40 / 300)
    assert 0 < gap["low"] < 40 / 300 < gap["high"]


def test_rows_whose_outcomes_are_still_to_come_are_estimated(lake: Lake) -> None:
    random = np.random.default_rng(5)
    rows, told = [], []
    for number in range(2000):
        score = float(random.uniform())
        early = number < 1500
        time = NOW - timedelta(days=10 if early else 1, seconds=2000 - number)
        rows.append(prediction(number, int(score >= 0.5), score=score, time=time, fraction=0.5))
        if early:
            value = int(random.uniform() < score)
            told.append({"request_id": f"q{number}", "row": 0, "value": value, "time": time, "arrived": time})
    lake.predict(rows)
    lake.tell(told)
    task = {"task": "classes", "label": "output.label", "score": "score", "positive": "1"}
    found = lake.said(task=task, label_window_seconds=5 * 86400)
    (estimated,) = found["estimates"]
    assert (estimated["revision"], estimated["arm"], estimated["rows"]) == ("r1", "stable", 500)
    accuracy = estimated["metrics"]["accuracy"]
    assert accuracy["low"] < 0.75 < accuracy["high"]
    assert accuracy["value"] == pytest.approx(metric(found, "accuracy"), abs=0.03)
    assert lake.said(task=task)["estimates"] == [], "all have matured"
    assert lake.said(label_window_seconds=5 * 86400)["estimates"] == [], "without a score nobody knows"


def test_errors_of_numbers_to_come_are_estimated(lake: Lake) -> None:
    """More of the large numbers come, for which errors are larger."""
    random = np.random.default_rng(5)
    rows, told = [], []
    for number in range(4000):
        early = number < 3000
        said = float(random.uniform(0, 10) if early else random.uniform(5, 10))
        time = NOW - timedelta(days=10 if early else 1, seconds=4000 - number)
        rows.append(prediction(number, None, value=said, time=time))
        if early:
            truth = said + float(random.normal(0, said / 10))
            told.append({"request_id": f"q{number}", "row": 0, "value": truth, "time": time, "arrived": time})
    lake.predict(rows)
    lake.tell(told)
    found = lake.said(task={"task": "numbers", "value": "value"}, label_window_seconds=5 * 86400)
    (estimated,) = found["estimates"]
    assert (estimated["revision"], estimated["arm"], estimated["rows"]) == ("r1", "stable", 1000)
    mae, rmse = estimated["metrics"]["mae"], estimated["metrics"]["rmse"]
    assert mae["low"] < 0.75 * (2 / np.pi) ** 0.5 < mae["high"], "the mean of what was foretold is 7.5"
    assert rmse["low"] < (np.mean(np.linspace(5, 10, 1000) ** 2) / 100) ** 0.5 < rmse["high"]
    assert metric(found, "mae") < mae["low"]
