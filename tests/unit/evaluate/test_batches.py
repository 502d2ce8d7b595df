"""What batches foretold, held against outcomes: the rows of runs that are complete, each key once, and nothing else."""

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_evaluate.batches import complete
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.job import VARIABLE, main
from modelward_evaluate.spec import BatchOutput, Predictions
from modelward_quality.estimate import wilson
from unit.evaluate.lakes import NOW, START, Lake, counts, metric
from unit.evaluate.test_job import unpacked

DAY = timedelta(days=1)
NIGHT = "churn-0a1b2c3d4e"


class Scored(Lake):
    """What batches have written, as docs/batch-output.md has it, beside outcomes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.output = folder / "output"

    def ran(self, name: str, *files: list[dict[str, Any]], finished: datetime | None = None, **manifest: Any) -> Path:
        """A run that is complete."""
        run = self.output / name
        run.mkdir(parents=True)
        named = []
        for number, rows in enumerate(files):
            table = pa.Table.from_pylist(rows) if rows else pa.table({"id": pa.array([], pa.string())})
            pq.write_table(table, run / f"part-{number:05d}.parquet")
            named.append({"name": f"part-{number:05d}.parquet", "rows": len(rows)})
        ended = finished or max(row["predicted_at"] for rows in files for row in rows)
        document = {"schema": 1, "run": name, "finished_at": ended.isoformat(), "files": named, **manifest}
        (run / "_manifest.json").write_text(json.dumps(document))
        return run

    def said(self, key: str = "id", of: str | None = None, **options: Any) -> dict[str, Any]:
        batch = {"key": key, **({"of": of} if of else {})}
        return super().said(predictions={"path": str(self.output), "batch": batch}, **options)


def scored(key: Any, label: int = 1, at: datetime = START, **values: Any) -> dict[str, Any]:
    return {
        "id": key, "output.label": label, "model_version": "7", "revision": "r1", "predicted_at": at, **values
    }  # fmt: skip


def became(key: Any, value: Any = 1, at: datetime | None = START + DAY, **values: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "time": at, **values}


@pytest.fixture
def lake(tmp_path: Path) -> Scored:
    return Scored(tmp_path)


def test_only_matured_rows_count_and_what_nobody_told_by_then_is_as_spec_says(lake: Scored) -> None:
    lake.ran(NIGHT, [scored(each) for each in range(4)])
    lake.ran("churn-1", [scored(each, at=NOW - DAY) for each in range(10, 13)])
    lake.tell([became(0), became(1, 0), became(2, at=START + 9 * DAY), became(10, at=NOW - timedelta(hours=1))])
    week: dict[str, Any] = {"label_window_seconds": 7 * DAY.total_seconds()}
    found = lake.said(**week)
    assert counts(found, "predictions", "matured", "withOutcome", "late", "assumed") == [7, 4, 2, 1, 0]
    assert metric(found, "accuracy") == 0.5
    found = lake.said(**week, outcomes={"absent": "0"})
    assert counts(found, "withOutcome", "assumed") == [2, 2]
    assert metric(found, "accuracy") == 0.25


def test_a_run_that_goes_on_or_is_anothers_and_files_that_no_manifest_names_are_none(lake: Scored) -> None:
    run = lake.ran(NIGHT, [scored(1), scored(2)], [])
    pq.write_table(pa.Table.from_pylist([scored(3)]), run / "part-00007.parquet")
    (run / "_rejects").mkdir()
    pq.write_table(pa.Table.from_pylist([{"id": 4, "reason": "no"}]), run / "_rejects/part-00000.parquet")
    (lake.ran("churn-2", [scored(5)]) / "_manifest.json").unlink()
    lake.ran("churn-vip-0a1b2c3d4e", [scored(6)])
    (lake.output / "README.parquet").write_bytes(b"no")
    lake.tell([became(each) for each in range(10)])
    assert counts(lake.said(of="churn"), "predictions", "unmatched") == [2, 8]
    assert counts(lake.said(), "predictions") == [3]


def test_each_key_counts_once_as_the_last_night_of_its_revision_said(lake: Scored) -> None:
    """Its outcome is one, however often it was foretold: else intervals would be too narrow."""
    for night in range(5):
        at = START + night * DAY
        lake.ran(f"churn-{night}", [scored(each, int(night == 4), at) for each in range(20)])
    lake.ran("churn-9", [scored(each, 0, START, revision="r2") for each in range(10)], [scored(None), scored(None)])
    lake.tell([became(each, at=START + 10 * DAY) for each in range(20)])
    found = lake.said(of="churn", end=(START + 8 * DAY).isoformat())
    assert counts(found, "predictions", "withOutcome", "unmatched") == [30, 30, 0]
    assert metric(found, "accuracy", revision="r1") == 1.0
    assert metric(found, "accuracy", revision="r2") == 0.0
    (low,) = [each["metrics"]["accuracy"]["low"] for each in found["values"] if each["revision"] == "r1"]
    assert low == pytest.approx(wilson(1.0, 20, 0.95)[0])
    earlier = lake.said(of="churn", end=(START + 2 * DAY).isoformat())
    assert metric(earlier, "accuracy", revision="r1") == 0.0


def test_a_key_that_waits_does_not_hide_what_has_matured_of_it(lake: Scored) -> None:
    lake.ran("churn-1", [scored(1)])
    lake.ran("churn-2", [scored(1, at=NOW - timedelta(hours=1))])
    lake.tell([became(1)])
    found = lake.said(label_window_seconds=DAY.total_seconds())
    assert counts(found, "predictions", "matured", "withOutcome") == [2, 1, 1]


def test_what_came_to_pass_before_the_day_of_a_prediction_is_of_an_earlier_one(lake: Scored) -> None:
    noon = START + 5 * DAY + timedelta(hours=12)
    lake.ran(NIGHT, [scored(each, at=noon) for each in range(4)])
    lake.tell([
        became(0, at=noon - DAY), became(1, at=noon - timedelta(hours=12)), became(2, at=None),
        became(3, 0, at=noon - 9 * DAY), became(3, 1, at=noon + DAY),
    ])  # fmt: skip
    found = lake.said()
    assert counts(found, "predictions", "withOutcome", "unmatched", "contradicting") == [4, 3, 2, 0]
    assert metric(found, "accuracy") == 1.0


def test_keys_are_compared_as_texts_and_outcomes_need_no_more_than_one(lake: Scored) -> None:
    lake.ran(NIGHT, [scored(each, shop="a") for each in (7, 71)], [scored(8, shop="b")])
    lake.tell([became(each, request_id="q", row=3) for each in (7.0, 71.0, 8.0)])
    found = lake.said(segments=[{"name": "shop", "column": "shop"}])
    assert counts(found, "withOutcome") == [3]
    assert metric(found, "accuracy", segment="shop", value="b") == 1.0


def test_of_rows_of_one_key_and_moment_it_is_not_always_the_lowest_that_counts(lake: Scored) -> None:
    """As where a customer has several rows in a run: the lowest of each would be another model's answers."""
    lake.ran(NIGHT, [scored(each, label) for each in range(200) for label in (1, 0)])
    lake.tell([became(each) for each in range(200)])
    found = lake.said()
    assert counts(found, "predictions", "withOutcome") == [200, 200]
    assert metric(found, "accuracy") == pytest.approx(0.5, abs=0.15)


def test_an_empty_text_is_no_key(lake: Scored) -> None:
    lake.ran(NIGHT, [scored("a"), scored(""), scored("", 0)])
    lake.tell([became("a"), became("")])
    assert counts(lake.said(outcomes={"absent": "0"}), "predictions", "withOutcome", "assumed") == [1, 1, 0]


def test_columns_that_are_called_as_the_evaluations_own_are_not_taken_for_them(lake: Scored) -> None:
    values = {"Time": "2020-01-01T00:00:00Z", "Row": "x", "arm": "A", "key": 7}
    lake.ran(NIGHT, [scored(each) | values for each in range(3)])
    lake.tell([became(each) for each in range(3)])
    found = lake.said(begin=START.isoformat())
    assert counts(found, "predictions", "withOutcome") == [3, 3]
    for asked in ({"column": "arm"}, {"sql": "upper(arm)"}, {"column": "Time"}):
        with pytest.raises(EvaluationError, match=r"the batch's column (arm|Time) can't be asked for"):
            lake.said(segments=[{"name": "s", **asked}])
    found = lake.said("key", outcomes={"absent": "0"}, segments=[{"name": "s", "column": "key"}])
    assert {each["value"] for each in found["values"]} == {"", "7"}


def test_a_file_that_a_manifest_names_twice_is_one(lake: Scored) -> None:
    part = {"name": "part-00000.parquet", "rows": 1}
    lake.ran(NIGHT, [scored(1)], files=[part, part])
    assert len(complete(Predictions(path=str(lake.output), batch=BatchOutput(key="id")), None).paths) == 1


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"files": [{"name": "../other/part-00000.parquet", "rows": 1}]}, r"_manifest.json is no manifest of a run: "),
        ({"files": [{"name": "_rejects/part-00000.parquet", "rows": 1}]}, r"files.0.name: String should match"),
        ({"files": [{"name": "part-00004.parquet", "rows": 1}]}, r"predictions can't be read: .*part-00004"),
        ({"schema": 2}, r"is no manifest of a run: schema: Input should be 1"),
        ({"finished_at": "yesterday"}, r"is no manifest of a run: finished_at"),
    ],
)
def test_a_run_that_can_not_be_read_is_told_and_not_left_out(lake: Scored, broken: Any, why: str) -> None:
    lake.ran(NIGHT, [scored(1)])
    lake.ran("churn-1", [scored(1)], **broken)
    lake.tell([became(1)])
    with pytest.raises(EvaluationError, match=why):
        lake.said()


def _pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize(
    ("what", "made"),
    [
        (".", Path.symlink_to), ("_manifest.json", Path.symlink_to), ("part-00000.parquet", Path.symlink_to),
        ("_manifest.json", _pipe), ("part-00000.parquet", _pipe),
    ],
)  # fmt: skip
def test_who_writes_to_the_output_leads_to_no_other_file_of_the_pod(
    lake: Scored, what: str, made: Callable[[Path, Path], None]
) -> None:
    """Such as to the outcomes of somebody else, whose values would be told in status."""
    lake.ran(NIGHT, [scored(1)])
    lake.tell([became(1)])
    place = lake.ran("churn-1", [scored(2)]) / what
    elsewhere = place.rename(lake.output.parent / "elsewhere")
    made(place, elsewhere)
    with pytest.raises(EvaluationError, match=r"churn-1.* is a link, or nothing that a batch writes; remove it"):
        lake.said()


def test_a_manifest_that_is_none_is_told(lake: Scored) -> None:
    (lake.ran(NIGHT, [scored(1)]) / "_manifest.json").write_bytes(b"\xff{")
    lake.tell([became(1)])
    with pytest.raises(EvaluationError, match=r"no manifest of a run: .*Invalid JSON"):
        lake.said()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": "customer"}, r"the batch wrote no column 'customer', but id, model_version, output.label"),
        ({"outcomes": {"key": "customer"}}, r"there is no column 'customer' with the batch's key, but key, request_id"),
        ({"of": "other"}, r"has no rows of a run that is complete: each run is a folder of its own, with _manifest"),
        ({"task": {"task": "ranking", "score": "output.label"}}, r"task.group|rows of a batch are of no request"),
        ({"concept": {}}, r"concept: a batch scores the same keys day after day"),
        ({"of": "../x"}, r"predictions.batch.of: String should match"),
    ],
)
def test_what_can_not_be_is_told_with_its_cure(lake: Scored, options: dict[str, Any], why: str) -> None:
    lake.ran(NIGHT, [scored(1)])
    lake.tell([became(1, request_id="q1")])
    with pytest.raises(EvaluationError, match=why):
        lake.said(**options)


def test_a_job_tells_of_its_revision_and_without_rows_of_those_days_that_there_are_none(
    lake: Scored, tmp_path: Path
) -> None:
    lake.ran(NIGHT, [scored(each, int(each < 6), revision="r1" if each < 8 else "r2") for each in range(10)])
    lake.tell([became(each) for each in range(10)])

    def told(begin: datetime) -> dict[str, Any]:
        evaluation = {
            "predictions": {"path": str(lake.output), "batch": {"key": "id", "of": "churn"}},
            "outcomes": {"path": str(lake.outcomes)}, "task": {"task": "classes", "label": "output.label"},
            "now": NOW.isoformat(), "begin": begin.isoformat(), "end": (begin + DAY).isoformat(),
        }  # fmt: skip
        before = {"begin": (begin - 3 * DAY).isoformat(), "end": begin.isoformat()}
        asked = {"evaluation": evaluation, "revision": "r1", "metrics": ["accuracy"], "before": before}
        assert main({VARIABLE: json.dumps(asked)}, tmp_path / "message") == 0, (tmp_path / "message").read_text()
        return unpacked((tmp_path / "message").read_text())

    found = told(START)
    assert (found["rows"], found["values"][0][2:4], found["before"]) == (8, ["accuracy", 0.75], [])
    assert told(START + 2 * DAY)["nothing"] == "predictions"
