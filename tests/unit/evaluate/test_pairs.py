"""Arms held against the stable one, hour by hour; and that operator and evaluator understand one another."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as peer

from modelward.quality.comparison import Comparisons, read_comparisons
from modelward_evaluate.job import VARIABLE, main
from modelward_evaluate.report import LIMIT
from modelward_quality.calibration import calibration
from modelward_quality.confusion import confusion
from modelward_quality.estimate import Estimate
from modelward_quality.moments import moments
from modelward_quality.regression import errors
from modelward_quality.reweighted import reweighted, weight_of
from modelward_quality.scores import scores
from modelward_quality.statistics import Statistics, values

from .lakes import NOW, START, Lake, outcome, prediction

HOUR = timedelta(hours=1)
A, B = "fraud-a", "fraud-b"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def pair(name: str = "candidate", **changes: Any) -> dict[str, Any]:
    of = {
        "name": name,
        "revision": B,
        "arm": "candidate",
        "against": A,
        "begin": START.isoformat(),
        "levels": [0.999, 0.9],
    }
    return of | changes


def compared(lake: Lake, tmp_path: Path, *pairs: dict[str, Any], **changes: Any) -> Comparisons:
    evaluation = {
        "predictions": {"path": str(lake.log / "v1/namespace=ml/model=fraud")},
        "outcomes": {"path": str(lake.outcomes)},
        "task": {"task": "classes", "label": "output.label", "positive": "1"}, "now": NOW.isoformat(),
        "begin": START.isoformat(), "end": (START + timedelta(days=5)).isoformat(), **changes.pop("evaluation", {}),
    }  # fmt: skip
    asked = {"evaluation": evaluation, "revision": A, "pairs": pairs or [pair()], "metrics": ["accuracy"], **changes}
    assert main({VARIABLE: json.dumps(asked)}, tmp_path / "message") == 0, (tmp_path / "message").read_text()
    message = (tmp_path / "message").read_text()
    assert len(message) <= LIMIT
    return read_comparisons(message)


class Traffic:
    """Rows of hours, numbered through; `rights`: how many of them were foretold rightly."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._outcomes, self._number = lake, list[dict[str, Any]](), 0

    def hour(self, number: int, revision: str, arm: str, rows: int, rights: int, **columns: Any) -> None:
        made = [
            prediction(
                self._number + each, 1, arm=arm, time=START + number * HOUR + timedelta(seconds=each), **columns
            )
            for each in range(rows)
        ]  # fmt: skip
        self._lake.predict(
            [{key: value for key, value in each.items() if key != "revision"} for each in made], revision
        )
        at = START + number * HOUR + timedelta(minutes=70)
        self._outcomes += [
            outcome(self._number + each, int(each < rights), time=at, arrived=at) for each in range(rows)
        ]
        self._number += rows

    def tell(self) -> None:
        self._lake.tell(self._outcomes)


def test_a_share_that_grows_while_requests_get_harder_makes_no_candidate_worse(lake: Lake, tmp_path: Path) -> None:
    """Both are right of nine in ten, then of six in ten; the candidate has most of its rows of the hard hour."""
    traffic = Traffic(lake)
    for hour, (share, right) in enumerate([(5, 0.9), (50, 0.6)]):
        traffic.hour(hour, A, "stable", 20 * (100 - share), round(20 * (100 - share) * right))
        traffic.hour(hour, B, "candidate", 20 * share, round(20 * share * right))
    traffic.tell()
    found = compared(lake, tmp_path).found["candidate"]["accuracy"]
    assert found.arm == pytest.approx(found.stable)
    assert found.difference == pytest.approx(0.0, abs=1e-9)
    assert (found.rows, found.stable_rows) == (1100, 2900)
    assert found.stable < (1900 * 0.9 + 1000 * 0.6) / 2900 - 0.1, "taken together it would be a tenth"
    assert found.sure.low is not None
    assert found.likely.low is not None
    assert found.sure.low < found.likely.low < 0


def test_hours_that_one_side_has_nothing_of_do_not_count(lake: Lake, tmp_path: Path) -> None:
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 100, 0)
    traffic.hour(1, A, "stable", 100, 80)
    traffic.hour(1, B, "candidate", 50, 30)
    traffic.hour(2, B, "candidate", 50, 0)
    traffic.tell()
    found = compared(lake, tmp_path).found["candidate"]["accuracy"]
    assert (found.arm, found.rows, found.stable, found.stable_rows) == (0.6, 50, 0.8, 100)
    assert compared(lake, tmp_path, pair(begin=(START + 2 * HOUR).isoformat())).found == {}


def test_each_pair_has_its_own_arm_revision_and_level(lake: Lake, tmp_path: Path) -> None:
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 100, 80)
    traffic.hour(0, B, "candidate", 50, 40)
    traffic.hour(0, B, "shadow", 50, 10)
    traffic.hour(0, "fraud-c", "variant", 20, 20)
    traffic.tell()
    pairs = (pair(), pair("dark", arm="shadow", levels=[0.95]), pair("b", revision="fraud-c", arm="variant"))
    found = compared(lake, tmp_path, *pairs).found
    assert {name: each["accuracy"].arm for name, each in found.items()} == {"candidate": 0.8, "dark": 0.2, "b": 1.0}
    assert found["dark"]["accuracy"].likely.low is None
    assert found["dark"]["accuracy"].sure.high is not None


def test_what_is_not_defined_is_not_told(lake: Lake, tmp_path: Path) -> None:
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 10, 0)
    traffic.hour(0, B, "candidate", 10, 0)
    traffic.tell()
    found = compared(lake, tmp_path, metrics=["recall", "accuracy", "nonsense"]).found["candidate"]
    assert set(found) == {"accuracy"}


def test_silence_and_missing_files_are_told_apart(lake: Lake, tmp_path: Path) -> None:
    assert compared(lake, tmp_path).nothing == "outcomes"
    lake.tell([outcome(10_000)])
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 10, 0)
    silent = compared(lake, tmp_path, evaluation={"outcomes": {"path": str(lake.outcomes), "absent": "0"}})
    assert (silent.is_silent, silent.matured, silent.with_outcome) == (True, 10, 0)


def test_what_has_no_room_in_a_message_is_left_out_from_the_end(lake: Lake, tmp_path: Path) -> None:
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 50, 31)
    for number in range(20):
        traffic.hour(0, f"fraud-{number}", "variant", 40 + number, 20 + number)
    traffic.tell()
    names = ["accuracy", "balancedAccuracy", "macroF1", "precision", "recall", "f1", "selectionRate"]
    pairs = [pair(f"{'v' * 50}{number}", revision=f"fraud-{number}", arm="variant") for number in range(20)]
    found = compared(lake, tmp_path, *pairs, metrics=names).found
    assert 1 <= len(found) < 20
    assert f"{'v' * 50}0" in found


def test_rankings_and_numbers_and_what_rows_are_worth(lake: Lake, tmp_path: Path) -> None:
    traffic = Traffic(lake)
    traffic.hour(0, A, "stable", 100, 60, **{"output.score": 0.5})
    traffic.hour(0, B, "candidate", 100, 80, **{"output.score": 0.9})
    traffic.tell()
    task = {"task": "numbers", "value": "output.score"}
    worth = {"task": task, "business": "case when outcome = 1 then 2.0 else 0.0 end"}
    found = compared(lake, tmp_path, evaluation=worth, metrics=["rmse", "worth"]).found["candidate"]
    assert found["worth"].difference == pytest.approx(0.4)
    assert found["rmse"].arm == pytest.approx(np.sqrt(0.8 * 0.1**2 + 0.2 * 0.9**2), rel=1e-6)
    ranked = {"task": {"task": "ranking", "score": "output.score"}}
    assert compared(lake, tmp_path, evaluation=ranked, metrics=["ndcg"]).found["candidate"]["ndcg"].rows == 80


def parts() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Statistics]]:
    rng = np.random.default_rng(5)
    for rows in (300, 80):
        truth, score = rng.integers(0, 2, rows), rng.uniform(size=rows)
        label = (score > 0.4).astype(int)
        with np.errstate(divide="ignore"):
            loss = -np.log(np.where(truth == 1, score, 1 - score))
        statistics = Statistics(
            confusion(truth, label), scores(score, truth == 1), calibration(score, truth == 1), moments(loss),
            moments((score - truth) ** 2), errors(truth.astype(float), score),
        )  # fmt: skip
        yield truth, score, label, statistics


def test_reweighted_sums_are_those_of_rows_with_that_weight() -> None:
    """Held against scikit-learn, which takes the weight of each row."""
    (truth, score, label, one), (truth2, score2, label2, two) = parts()
    both = values(reweighted(one, 0.25) + reweighted(two, 3.0), "1")
    weights = np.concatenate([np.full(truth.size, 0.25), np.full(truth2.size, 3.0)])
    true, said, scored = (np.concatenate(each) for each in ((truth, truth2), (label, label2), (score, score2)))
    options: dict[str, Any] = {"sample_weight": weights}
    expected = {
        "accuracy": peer.accuracy_score(true, said, **options), "f1": peer.f1_score(true, said, **options),
        "recall": peer.recall_score(true, said, **options), "logLoss": peer.log_loss(true, scored, **options),
        "brier": peer.brier_score_loss(true, scored, **options),
        "rmse": peer.root_mean_squared_error(true, scored, **options),
        "rocAuc": peer.roc_auc_score(true, scored, **options),
    }  # fmt: skip
    for name, value in expected.items():
        found = both[name]
        assert isinstance(found, Estimate)
        assert found.value == pytest.approx(value, abs=1e-9 + found.within), name
    assert weight_of(reweighted(one, 0.25)) == pytest.approx(75)
    assert both["accuracy"].rows == 380


def test_one_factor_for_all_changes_no_value_and_no_interval() -> None:
    (_, _, _, one), _ = parts()
    for name, before in values(one, "1").items():
        after = values(reweighted(one, 7.0), "1")[name]
        assert (after.value, after.low, after.high) == pytest.approx((before.value, before.low, before.high)), name


def by_users(lake: Lake, users: int, each: int) -> None:
    """Two arms that users stick to, a fifth of whom get wrong answers alone; minutes of the same ten hours."""
    for revision, arm, first in ((A, "stable", 0), (B, "candidate", users)):
        rows = [
            prediction(row, key=f"u{row // each}", arm=arm, time=START + timedelta(minutes=row % 600))
            for row in range(first * each, (first + users) * each)
        ]
        lake.predict(rows, revision)
    lake.tell([outcome(at, int(at // each % 5 > 0), after=36_000) for at in range(2 * users * each)])


@pytest.mark.parametrize("task", [{"task": "classes"}, {"task": "numbers", "value": "output.label"}])
def test_rows_of_a_user_are_one_piece_of_evidence(lake: Lake, tmp_path: Path, task: dict[str, Any]) -> None:
    by_users(lake, 400, 9)
    asked = {"label": "output.label", "positive": "1"} if task["task"] == "classes" else {}
    options = {"metrics": ["accuracy", "mae"]}
    of_rows, of_users = (
        compared(lake, tmp_path, evaluation={"task": task | asked, **unit}, **options).found["candidate"]
        for unit in ({}, {"unit": "key"})
    )
    for name, rows in of_rows.items():
        wide, narrow = of_users[name].sure, rows.sure
        assert (of_users[name].arm, of_users[name].difference) == (rows.arm, rows.difference)
        assert wide.low is not None
        assert wide.high is not None
        assert narrow.low is not None
        assert narrow.high is not None
        # Nine rows that agree are one: three times as wide, and what a t distribution adds.
        assert 2 < (wide.high - wide.low) / (narrow.high - narrow.low) < 4.5


def test_of_a_few_users_nothing_is_said(lake: Lake, tmp_path: Path) -> None:
    by_users(lake, 3, 400)
    few = compared(lake, tmp_path, evaluation={"unit": "key"}).found["candidate"]["accuracy"]
    assert (few.sure.low, few.sure.high) == (None, None)


def test_a_row_of_nobody_is_a_unit_of_its_own(lake: Lake, tmp_path: Path) -> None:
    for revision, arm, first in ((A, "stable", 0), (B, "candidate", 600)):
        lake.predict([prediction(at, arm=arm, time=START) for at in range(first, first + 600)], revision)
    lake.tell([outcome(at, at % 5 > 0) for at in range(1200)])
    found = compared(lake, tmp_path, evaluation={"unit": "key"}).found["candidate"]["accuracy"]
    assert found.sure.low is not None
    assert found.sure.low > -0.2


def test_a_unit_that_the_log_has_not_is_named(lake: Lake, tmp_path: Path) -> None:
    by_users(lake, 3, 2)
    with pytest.raises(AssertionError, match="unit: the log has no column 'user'"):
        compared(lake, tmp_path, evaluation={"unit": "user"})
