"""What a report draws: points of the real curves, values of the real days, and nothing of twelve people."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as peer

from modelward_evaluate.pictures import BRIEF, WHOLE, pictures, roc
from modelward_evaluate.report import LIMIT, pack
from modelward_quality.scores import scores
from modelward_quality.statistics import Statistics

from .lakes import NOW, START, Lake, outcome, prediction
from .test_job import said, unpacked

CLASSES = {"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three days, two groups of people, and a third of twelve."""
    made, chance = Lake(tmp_path_factory.mktemp("lake")), random.Random(1)
    for day in range(3):
        rows, told = [], []
        for each in range(day * 200, day * 200 + 200):
            score = chance.random()
            time = START + timedelta(days=day, seconds=each)
            who = "x" if each < 12 else chance.choice("fm")
            columns = {"output.score": score, "input.sex": who, "time": time}
            rows.append(prediction(each, int(score > 0.5), **columns))
            arrived = time + timedelta(minutes=1)
            told.append(outcome(each, int(chance.random() < score), time=arrived, arrived=arrived))
        made.predict(rows)
        made.tell(told, f"{day}.parquet")
    return made


def asked(**options: Any) -> dict[str, Any]:
    return {"task": CLASSES, "end": NOW.isoformat(), **options}


def test_points_are_those_of_the_whole_curve_and_as_few_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.2
    score = np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0, 1).round(2)
    false, true, _ = peer.roc_curve(truth, score, drop_intermediate=False)
    curve = np.stack([false, true], 1)
    for extent in (BRIEF, WHOLE):
        drawn = roc(scores(score, truth), extent)
        assert len(drawn) <= extent.points + 2
        assert (drawn[0], drawn[-1]) == ([0, 0], [1, 1])
        rounded = 10.0**-extent.digits
        for point in drawn:
            assert np.abs(curve - point).max(1).min() <= rounded, point
        area = float(np.trapezoid([each[1] for each in drawn], [each[0] for each in drawn]))
        assert area == pytest.approx(peer.roc_auc_score(truth, score), abs=0.01)


def test_of_one_label_there_is_no_curve() -> None:
    assert roc(scores([0.2, 0.7], [True, True]), WHOLE) == []
    assert pictures({}, Statistics(), ["rocAuc"], "1", WHOLE) == {}


def test_a_result_has_the_days_of_each_metric_and_how_scores_are_calibrated(lake: Lake) -> None:
    (drawn,) = lake.said(task=CLASSES)["pictures"]
    days = [each for each in drawn["days"] if each[1] == "accuracy"]
    assert [each[0] for each in days] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    second = lake.said(task=CLASSES, begin="2026-03-02T00:00:00Z", end="2026-03-03T00:00:00Z")
    alone = next(each for each in second["values"] if not each["segment"])["metrics"]["accuracy"]
    assert days[1][2:] == pytest.approx([alone[name] for name in ("value", "low", "high", "rows")], rel=1e-6)
    bins = drawn["calibration"]
    assert sum(each[-1] for each in bins) == 600
    assert all(low <= share <= high and number / 10 <= score <= (number + 1) / 10
               for number, (score, share, low, high, _) in enumerate(bins))  # fmt: skip


def test_a_message_draws_what_matters_and_nothing_of_twelve_people(lake: Lake, tmp_path: Path) -> None:
    fairness = {"name": "sex", "column": "input.sex"}
    told = said(lake, tmp_path, smallest=50, metrics=["recall", "f1", "accuracy"], evaluation=asked(fairness=fairness))
    drawn = told["pictures"]
    assert {each[1] for each in drawn["days"]} == {"recall", "f1"}
    assert drawn["fairness"] == "sex"
    assert {each[0] for each in drawn["groups"]} == {"f", "m"}
    assert {each[1] for each in drawn["groups"]} == {"selectionRate", "recall", "falsePositiveRate"}


def test_values_of_segments_go_before_pictures_and_pictures_before_values_of_all_rows() -> None:
    chance = random.Random(2)

    def noise() -> float:
        return chance.random()

    own = [["", "", "accuracy", noise(), noise(), noise(), 9]]
    parts = [["shop", str(noise()), "accuracy", noise(), noise(), noise(), 9] for _ in range(200)]
    drawn = {"roc": [[noise(), noise()] for _ in range(24)]}
    told = unpacked(pack({"v": 1, "pictures": drawn, "values": own + parts}))
    assert told["pictures"] == json.loads(json.dumps(drawn))
    assert len(told["values"]) + told["dropped"] == 201
    too_much = {"roc": [[noise(), noise()] for _ in range(400)]}
    message = pack({"v": 1, "pictures": too_much, "values": own + parts})
    assert len(message) <= LIMIT
    assert message == pack({"v": 1, "values": own + parts}), "pictures that have no room cost no values"
    assert unpacked(message)["values"][:2] == (own + parts)[:2]
