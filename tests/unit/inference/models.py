"""Real models of every kind, small, trained on data sets that scikit-learn ships, or on a table of customers."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR

TEXTS = ["good film", "bad film", "great plot and good acting", "awful plot", "bad acting", "a great film"] * 10
OPINIONS = [1, 0, 1, 0, 0, 1] * 10


@dataclass(frozen=True)
class Case:
    """A fitted model, and rows as the protocol carries them, with their form for the estimator itself."""

    model: Any
    tensors: dict[str, Any]
    rows: Any


@functools.cache
def customers() -> Any:
    """400 rows: age and income (some missing), city and plan; a label."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 400),
            "income": rng.normal(3e4, 9e3, 400),
            "city": rng.choice(["Rome", "Oslo", "Bonn"], 400).astype(object),
            "plan": rng.choice(["a", "b"], 400).astype(object),
        }
    )
    label = (frame.age + frame.income / 1e3 + (frame.city == "Oslo") * 9 > 72).astype(int)
    frame.loc[::17, "income"] = np.nan
    return frame, label


def by_name() -> Any:
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            (
                "texts",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
                ["city", "plan"],
            ),
        ]
    )


def by_position() -> Any:
    return ColumnTransformer([("n", StandardScaler(), [0]), ("t", OrdinalEncoder(), [2, 3])], remainder="drop")


def _numbers(load: Callable[..., Any], names: bool = False, targets: int = 1) -> Callable[[Any], Case]:
    def fit(model: Any) -> Case:
        rows, labels = load(return_X_y=True)
        wanted = np.array(["setosa", "versicolor", "virginica"])[labels] if names else labels
        model.fit(rows, wanted if targets == 1 else np.column_stack([labels * (1 + each) for each in range(targets)]))
        return Case(model, {"input": rows}, rows)

    return fit


def _table(model: Any) -> Case:
    frame, label = customers()
    model.fit(frame, label)
    return Case(model, {name: frame[name].to_numpy().reshape(-1, 1) for name in frame}, frame)


def _array(model: Any) -> Case:
    frame, label = customers()
    rows = frame.to_numpy(dtype=object)
    model.fit(rows, label)
    kinds = (float, float, object, object)
    return Case(model, {f"x{i}": rows[:, [i]].astype(kind) for i, kind in enumerate(kinds)}, rows)


def _texts(model: Any) -> Case:
    model.fit(TEXTS, OPINIONS)
    return Case(model, {"input": np.array(TEXTS, dtype=object)}, TEXTS)


cancer, iris, diabetes = _numbers(load_breast_cancer), _numbers(load_iris, names=True), _numbers(load_diabetes)
two = _numbers(load_diabetes, targets=2)
plain_iris = _numbers(load_iris)

CASES: dict[str, Callable[[], Case]] = {
    "logistic regression": lambda: cancer(make_pipeline(StandardScaler(), LogisticRegression())),
    "logistic regression with names": lambda: iris(make_pipeline(StandardScaler(), LogisticRegression())),
    "linear regression": lambda: diabetes(LinearRegression()),
    "ridge for two targets": lambda: two(Ridge()),
    "gradient boosting": lambda: cancer(make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=20))),
    "gradient boosting of three": lambda: iris(GradientBoostingClassifier(n_estimators=10)),
    "gradient boosting regressor": lambda: diabetes(GradientBoostingRegressor(n_estimators=20)),
    "histogram boosting": lambda: cancer(HistGradientBoostingClassifier(max_iter=20)),
    "histogram boosting regressor": lambda: diabetes(HistGradientBoostingRegressor(max_iter=20)),
    "forest": lambda: cancer(RandomForestClassifier(10, random_state=0)),
    "forest regressor": lambda: diabetes(RandomForestRegressor(10, random_state=0)),
    "forest for two targets": lambda: two(RandomForestRegressor(5, random_state=0)),
    "SVC": lambda: iris(make_pipeline(StandardScaler(), SVC())),
    "SVR": lambda: diabetes(make_pipeline(StandardScaler(), SVR())),
    "neural network": lambda: plain_iris(make_pipeline(StandardScaler(), MLPClassifier((8,), tol=0.1, random_state=0))),
    "Bayesian ridge": lambda: diabetes(BayesianRidge()),
    "projection": lambda: cancer(make_pipeline(StandardScaler(), PCA(5), LogisticRegression())),
    "vote": lambda: iris(
        VotingClassifier(
            [("a", make_pipeline(StandardScaler(), LogisticRegression())), ("b", RandomForestClassifier(5))],
            voting="soft",
        )
    ),
    "columns by name": lambda: _table(make_pipeline(by_name(), LogisticRegression())),
    "columns by name, boosted": lambda: _table(make_pipeline(by_name(), GradientBoostingClassifier(n_estimators=10))),
    "columns by name, LightGBM": lambda: _table(make_pipeline(by_name(), lgbm())),
    "columns by name, XGBoost": lambda: _table(make_pipeline(by_name(), xgboost.XGBClassifier(n_estimators=10))),
    "columns by position": lambda: _array(make_pipeline(by_position(), LogisticRegression())),
    "texts": lambda: _texts(make_pipeline(TfidfVectorizer(), LogisticRegression())),
    "XGBoost": lambda: cancer(xgboost.XGBClassifier(n_estimators=10)),
    "XGBoost, scaled": lambda: plain_iris(make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=10))),
    "XGBoost regressor": lambda: diabetes(xgboost.XGBRegressor(n_estimators=10)),
    "LightGBM": lambda: iris(lgbm()),
    "LightGBM regressor": lambda: diabetes(
        make_pipeline(StandardScaler(), lightgbm.LGBMRegressor(n_estimators=10, verbose=-1))
    ),
}


def lgbm() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)


@functools.cache
def case(name: str) -> Case:
    return CASES[name]()


class Doubled(TransformerMixin, BaseEstimator):
    """A transformer of one's own, which no converter knows."""

    def fit(self, rows: Any, _: Any = None) -> "Doubled":
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2
