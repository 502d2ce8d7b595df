"""Which engine evaluates. What real Spark says is integrations/spark/tests/test_evaluation.py."""

import importlib.util
import json
from pathlib import Path

import pytest

from modelward_evaluate import __main__ as program
from modelward_evaluate.engines import REMOTE, engine_of
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.inputs import in_process
from modelward_evaluate.job import VARIABLE, main
from modelward_evaluate.spec import load
from unit.evaluate.lakes import NOW, START, Lake, counts, outcome, prediction

without_spark = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is not None, reason="says what is told where Spark is not installed"
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def asked(**outcomes: object) -> str:
    return json.dumps({
        "predictions": {"path": "/nowhere"}, "outcomes": outcomes or {"path": "/nowhere"}, "now": NOW.isoformat(),
        "task": {"task": "classes", "label": "output.label"},
    })  # fmt: skip


def test_a_job_asks_spark_where_its_image_says_so() -> None:
    assert engine_of({}) is in_process
    assert engine_of({REMOTE: ""}) is in_process


@without_spark
def test_what_spark_needs_is_told_by_a_job_and_by_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lake: Lake
) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    evaluation = json.loads(asked()) | {
        "predictions": {"path": str(lake.log)}, "outcomes": {"path": str(lake.outcomes)},
    }  # fmt: skip
    environment = {VARIABLE: json.dumps({"evaluation": evaluation, "revision": "r1"}), REMOTE: "sc://spark:15002"}
    assert main(environment, tmp_path / "message") == 1
    assert "pip install 'pyspark[connect]" in (tmp_path / "message").read_text()
    (tmp_path / "spec.json").write_text(asked())
    assert program.main([str(tmp_path / "spec.json"), "--spark"]) == 1
    assert "pip install 'pyspark[connect]" in capsys.readouterr().err


def test_a_table_of_spark_is_there_for_spark_alone(lake: Lake) -> None:
    lake.predict([prediction(0)])
    with pytest.raises(EvaluationError, match=r"outcomes\.table: .* for an evaluation by Spark alone .*--spark"):
        lake.said(outcomes={"path": None, "table": {"url": "spark://", "name": "t"}})
    with pytest.raises(EvaluationError, match="url: spark:// alone"):
        load(asked(table={"url": "spark://elsewhere:7077", "name": "t"}))


def test_texts_are_numbers_and_times_to_all_engines_or_to_none(lake: Lake) -> None:
    """DuckDB takes 1_0 for a number, and Spark 1f; Spark takes 10:30 for a time of today, and 2026 for one of its
    first moments."""
    lake.predict([prediction(each) for each in range(3)])
    texts = [
        ("q0", "0", "2026-03-01T00:05:00Z", " 1e0 "), ("q1", "0.0", "2026-03-01 00:05:00", ".5"),
        ("q2", "0", "2026-03-01", "1_0"), ("q2", "0", "2026-03-01", "1f"), ("q2", "1d", "2026-03-01", "1"),
        ("q2", "0", "10:30", "1"), ("q2", "0", "2026", "1"), ("q2", "0.5", "2026-03-01", "1"),
    ]  # fmt: skip
    names = ("request_id", "row", "time", "weight")
    lake.tell([{"value": "1"} | dict(zip(names, each, strict=True)) for each in texts])
    assert counts(lake.said(), "withOutcome", "unreadable") == [2, 6]


def test_times_that_are_numbers_are_refused(lake: Lake) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0, time=START.timestamp())])
    with pytest.raises(EvaluationError, match="'time' has numbers; write times"):
        lake.said()
