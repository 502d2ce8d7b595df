"""What a Job of the evaluator says in the message of its pod, and that it says no more than a message holds."""

import base64
import json
import random
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelward_evaluate import report
from modelward_evaluate.job import VARIABLE, main
from modelward_quality.estimate import wilson

from .lakes import NOW, START, Lake, outcome, prediction

MODEL = "v1/namespace=ml/model=fraud/revision=r1"
COHORT = {"begin": START.isoformat(), "end": (START + timedelta(days=1)).isoformat()}


def asked(lake: Lake, **options: Any) -> str:
    evaluation = {
        "predictions": {"path": str(lake.log / MODEL)}, "outcomes": {"path": str(lake.outcomes)},
        "task": {"task": "classes", "label": "output.label", "positive": "1"}, "now": NOW.isoformat(), **COHORT,
        **options.pop("evaluation", {}),
    }  # fmt: skip
    return json.dumps({"evaluation": evaluation, "revision": "r1", **options})


def unpacked(message: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b85decode(message.removeprefix(report.PREFIX))))
    return found


def said(lake: Lake, tmp_path: Path, **options: Any) -> dict[str, Any]:
    assert main({VARIABLE: asked(lake, **options)}, tmp_path / "message") == 0
    return unpacked((tmp_path / "message").read_text())


def value(told: dict[str, Any], name: str, segment: str = "", of: str = "") -> list[Any]:
    (found,) = [each[3:] for each in told["values"] if each[:3] == [segment, of, name]]
    return list(found)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_values_are_of_the_revision_as_it_answered_with_intervals_of_the_level_asked_for(
    lake: Lake, tmp_path: Path
) -> None:
    lake.predict([prediction(each) for each in range(10)])
    lake.predict([prediction(each, 0, arm="candidate") for each in range(10, 20)])
    lake.predict([prediction(each, 0, arm="shadow") for each in range(20, 30)])
    lake.predict([prediction(each, 0) for each in range(30, 40)], "r2")
    lake.tell([outcome(each) for each in range(40)])
    told = said(lake, tmp_path, level=0.999)
    assert (told["revision"], told["rows"]) == ("r1", 20)
    accuracy, low, high, rows = value(told, "accuracy")
    assert (accuracy, rows) == (0.5, 20)
    assert (low, high) == pytest.approx(wilson(0.5, 20, 0.999), rel=1e-6)


def test_the_days_before_are_told_beside_the_cohort(lake: Lake, tmp_path: Path) -> None:
    day = timedelta(days=1)
    lake.predict([prediction(each) for each in range(10)])
    lake.predict([prediction(each, each % 2, time=START - day) for each in range(10, 20)])
    lake.predict([prediction(each, 0, time=START - 5 * day) for each in range(20, 30)])
    lake.tell([outcome(each) for each in range(30)])
    before = {"begin": (START - 2 * day).isoformat(), "end": START.isoformat()}
    told = said(lake, tmp_path, metrics=["accuracy"], before=before)
    assert value(told, "accuracy")[0] == 1.0
    assert [each[:2] for each in told["before"]] == [["accuracy", 0.5]]


def test_no_file_is_no_failure_and_says_of_what(lake: Lake, tmp_path: Path) -> None:
    lake.predict([prediction(0)])
    assert said(lake, tmp_path)["nothing"] == "outcomes"
    lake.tell([outcome(0)])
    later = {"begin": (START + timedelta(days=3)).isoformat(), "end": (START + timedelta(days=4)).isoformat()}
    assert said(lake, tmp_path, evaluation=later)["nothing"] == "predictions"


def test_groups_that_are_too_small_are_counted_and_not_judged(lake: Lake, tmp_path: Path) -> None:
    rows = [prediction(each, each % 2, **{"input.sex": "f" if each < 30 else "m"}) for each in range(60)]
    rows += [prediction(60 + each, 1, **{"input.sex": "x"}) for each in range(12)]
    lake.predict(rows)
    lake.tell([outcome(each) for each in range(72)])
    fairness = {"fairness": {"name": "sex", "column": "input.sex"}}
    told = said(lake, tmp_path, smallest=30, evaluation=fairness)
    (parity,) = [each for each in told["fairness"] if each[:2] == ["statisticalParity", "difference"]]
    assert parity[2] == 0.0
    assert parity[-1] == 1, "one group is left out"
    assert said(lake, tmp_path, smallest=31, evaluation=fairness)["fairness"] == []


def test_a_message_holds_what_matters_first_and_counts_what_has_no_room(lake: Lake, tmp_path: Path) -> None:
    chance = random.Random(7)
    names = [f"{chance.random()}-{'x' * 100}" for _ in range(200)]
    rows = [prediction(each, chance.randint(0, 1), **{"input.shop": chance.choice(names)}) for each in range(4000)]
    lake.predict(rows)
    lake.tell([outcome(each, chance.randint(0, 1)) for each in range(4000)])
    segments = [{"name": "shop", "column": "input.shop", "values": 200}]
    metrics = ["f1", "recall", "precision", "accuracy"]
    assert main({VARIABLE: asked(lake, metrics=metrics, evaluation={"segments": segments})}, tmp_path / "message") == 0
    message = (tmp_path / "message").read_bytes()
    assert len(message) <= report.LIMIT
    told = unpacked(message.decode())
    assert [each[2] for each in told["values"][:4]] == metrics
    assert told["dropped"] > 100
    assert max(len(each[1]) for each in told["values"]) == report.LONGEST


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"evaluation": {"task": {"task": "classes", "label": "output.nothing"}}}, "output.nothing"),
        ({"level": 2}, "level: Input should be less than 1"),
        ({"evaluation": {"outcomes": {"path": "s3://b/o", "credentials": "/nowhere"}}}, "has no AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_wrong_is_one_line_of_the_message(
    lake: Lake, tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    assert main({VARIABLE: asked(lake, **options)}, tmp_path / "message") == 1
    told = (tmp_path / "message").read_text()
    assert why in told
    assert "\n" not in told


def test_days_of_which_there_are_no_files_are_no_error_of_the_program(lake: Lake) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    assert lake.said(begin="2027-01-01T00:00:00Z")["counts"]["predictions"] == 0


def test_a_long_error_is_cut_between_letters(lake: Lake, tmp_path: Path) -> None:
    lake.predict([prediction(0)])
    lake.tell([outcome(0)])
    path = f"s3://{'ä' * 1990}"
    assert main({VARIABLE: asked(lake, evaluation={"outcomes": {"path": path}})}, tmp_path / "message") == 1
    message = (tmp_path / "message").read_bytes()
    assert 3000 < len(message) <= report.LIMIT
    assert message.decode()
