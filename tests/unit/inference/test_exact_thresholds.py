"""LightGBM and histogram boosting compare in double precision, and so does what is compiled of them.

Times in seconds are what single precision can't tell apart: it knows one in 128.
"""

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference.compile import exact
from modelward_inference.runtimes.estimators import thresholds
from parity import judged
from parity.drawn import Drawn

NOON = 1_700_000_000
ROWS = 1500


def times(seed: int = 0) -> Any:
    """Two columns of times within a week, and one of small numbers."""
    random = np.random.default_rng(seed)
    seconds = NOON + random.integers(0, 7 * 86400, size=(ROWS, 2))
    return np.column_stack([seconds, random.normal(size=ROWS)]).astype(float)


def value(rows: Any) -> Any:
    return np.sin(rows[:, 0] / 5000) + np.cos(rows[:, 1] / 7000) + 0.1 * rows[:, 2]


def frame(rows: Any) -> Any:
    return pd.DataFrame(rows, columns=["opened", "closed", "amount"])


def beside(model: Any, rows: Any) -> Any:
    """Rows of training with a value on a threshold, or one step of double precision beside it."""
    random = np.random.default_rng(1)
    cuts = [(feature, cut) for feature, found in thresholds.of(model).items() for cut in found]
    chosen = [cuts[index] for index in random.permutation(len(cuts))[:15]]
    made = []
    for feature, cut in chosen:
        for at in (cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf), np.float32(cut)):
            row = rows[random.integers(len(rows))].copy()
            row[feature] = at
            made.append(row)
    return np.array(made)


@pytest.fixture(autouse=True)
def all_rows_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "MANY", 200)


QUICK: dict[str, Any] = {"max_iter": 15, "early_stopping": False}
LIGHT: dict[str, Any] = {"n_estimators": 15, "verbose": -1, "num_threads": 1}
MODELS: dict[str, Callable[[], Any]] = {
    "a histogram's regression": lambda: HistGradientBoostingRegressor(**QUICK),
    "a histogram's two classes": lambda: HistGradientBoostingClassifier(**QUICK),
    "a histogram's three classes": lambda: HistGradientBoostingClassifier(**QUICK),
    "a histogram's counts": lambda: HistGradientBoostingRegressor(loss="poisson", **QUICK),
    "LightGBM's regression": lambda: lightgbm.LGBMRegressor(**LIGHT),
    "LightGBM's two classes": lambda: lightgbm.LGBMClassifier(**LIGHT),
    "LightGBM's three classes": lambda: lightgbm.LGBMClassifier(**LIGHT),
}


def fitted(name: str, given: Any, rows: Any) -> Any:
    wanted = value(rows)
    if "classes" in name:
        wanted = np.digitize(wanted, [0.0] if "two" in name else [-0.5, 0.5])
    if "counts" in name:
        wanted = np.exp(wanted).round()
    return MODELS[name]().fit(given, wanted)


@pytest.mark.parametrize("name", MODELS)
def test_values_on_and_beside_thresholds_take_the_librarys_branch(name: str) -> None:
    rows = times()
    model = fitted(name, rows, rows)
    found = judged.judge(Drawn(name, model, rows, beside(model, rows)))
    assert (found.wrong, found.refused) == ("", "")
    assert found.compiled or "counts" in name, "the converter does not know their exponential"


@pytest.mark.parametrize("name", ["a histogram's regression", "a histogram's two classes", "LightGBM's two classes"])
def test_so_they_do_for_columns_by_name(name: str) -> None:
    rows = times()
    model = fitted(name, frame(rows), rows)
    found = judged.judge(Drawn(name, model, frame(rows), frame(beside(model, rows))))
    assert (found.wrong, found.refused) == ("", "")
    assert found.compiled


@pytest.mark.parametrize("name", ["a histogram's regression", "LightGBM's regression"])
def test_so_they_do_behind_a_step_that_computes(name: str) -> None:
    rows = times()
    scaler = StandardScaler()
    scaled = scaler.fit_transform(rows)
    model = fitted(name, scaled, rows)
    asked = np.concatenate([times(3)[:150], scaler.inverse_transform(beside(model, scaled))[:40]])
    found = judged.judge(Drawn(name, make_pipeline(scaler, model), rows, asked))
    assert (found.wrong, found.refused) == ("", "")


def test_inside_of_another_model_they_are_left_as_they_are() -> None:
    rows = times()
    members = [("trees", HistGradientBoostingRegressor(**QUICK)), ("line", LinearRegression())]
    vote = VotingRegressor(members).fit(rows, value(rows))
    assert exact.hidden(vote)
    assert exact.hidden(make_pipeline(StandardScaler(), vote).fit(rows, value(rows)))
    assert not exact.hidden(VotingRegressor(members[1:]).fit(rows, value(rows)))
    assert not exact.hidden(vote.estimators_[0])
    found = judged.judge(Drawn("vote", vote, rows, beside(vote.estimators_[0], rows)))
    assert (found.compiled, found.wrong) == (False, "")


def test_trees_of_another_model_are_refused() -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    rows = times()
    one, other = (HistGradientBoostingRegressor(**QUICK).fit(rows, value(rows) * sign) for sign in (1, rows[:, 2]))
    converted = convert_sklearn(one, initial_types=[("x", FloatTensorType([None, 3]))])
    with pytest.raises(ValueError, match="others than the model's"):
        exact.restore(converted, other)
    exact.restore(converted, one)
