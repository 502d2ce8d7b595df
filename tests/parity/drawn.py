"""Models as users train them: every estimator and transformer of scikit-learn, XGBoost and LightGBM, on drawn data."""

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.utils import all_estimators

ROWS = 120

SMALL = {"n_estimators": 5, "max_iter": 40, "n_jobs": 1, "random_state": 0, "n_init": 1, "verbose": 0}
"""Parameters that make a model small and the same each time, where it has them."""

WORDS = ["good", "bad", "film", "plot", "a", "great", "café", "x1", "not"]


@dataclass(frozen=True)
class Drawn:
    """A fitted model, the rows it was trained on, and rows that it was not. `name`: in a few words; `pandas`: whether
    the server has it, which images have not by themselves."""

    name: str
    model: Any
    trained: Any
    asked: Any
    pandas: bool = True


def _small(kind: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some are deprecated
            made = kind()
    except TypeError:
        return None
    return made.set_params(**{name: value for name, value in SMALL.items() if name in made.get_params(deep=False)})


def _all(kind: str) -> list[Any]:
    made = [_small(each) for _, each in all_estimators(type_filter=kind)]
    return [each for each in made if each is not None]


def finals() -> list[Any]:
    """Everything that predicts."""
    found = [each for kind in ("classifier", "regressor", "cluster") for each in _all(kind) if hasattr(each, "predict")]
    boosted = [
        xgboost.XGBClassifier(), xgboost.XGBRegressor(), xgboost.XGBRFClassifier(), xgboost.XGBRFRegressor(),
        xgboost.XGBClassifier(booster="dart"), xgboost.XGBRegressor(objective="count:poisson"),
        lightgbm.LGBMClassifier(), lightgbm.LGBMRegressor(), lightgbm.LGBMRegressor(objective="poisson"),
        lightgbm.LGBMClassifier(boosting_type="dart"), lightgbm.LGBMRegressor(zero_as_missing=True),
    ]  # fmt: skip
    for each in boosted:
        small = {"n_estimators": 5, "n_jobs": 1, "random_state": 0}
        each.set_params(**small, **({"verbose": -1, "min_child_samples": 5} if "lightgbm" in str(type(each)) else {}))
    return found + boosted


FINALS = finals()
TRANSFORMERS = _all("transformer")
ENCODERS: list[Any] = [
    OneHotEncoder(), OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(drop="first"), OrdinalEncoder(),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20), OneHotEncoder(drop="if_binary"),
    OneHotEncoder(handle_unknown="warn", max_categories=2, sparse_output=False),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2),
    OrdinalEncoder(min_frequency=15), TargetEncoder(random_state=0),
]  # fmt: skip
IMPUTERS: list[Any] = [
    SimpleImputer(), SimpleImputer(strategy="median", add_indicator=True), KNNImputer(n_neighbors=3),
    SimpleImputer(strategy="constant", fill_value=-1.0), KNNImputer(weights="distance"), MissingIndicator(),
    SimpleImputer(strategy="most_frequent"),
]  # fmt: skip
EDGE = 40.1
"""A number of no few binary places: single precision rounds it."""

BINS: list[Any] = [
    KBinsDiscretizer(4, encode="onehot-dense"), KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    Binarizer(threshold=EDGE),
]  # fmt: skip
VECTORIZERS: list[Any] = [
    TfidfVectorizer(), TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), CountVectorizer(stop_words="english"),
    TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), CountVectorizer(binary=True, lowercase=False),
    TfidfVectorizer(strip_accents="unicode"), CountVectorizer(token_pattern=r"\S+"), TfidfVectorizer(norm="l1"),
    TfidfVectorizer(sublinear_tf=True, norm=None), CountVectorizer(ngram_range=(1, 2)),
    TfidfVectorizer(use_idf=False, binary=True), TfidfVectorizer(stop_words=["a", "not"], ngram_range=(1, 2)),
]  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> Drawn | None:
    """A fitted model; None where what was drawn can't be fitted."""
    final = draw(st.sampled_from(FINALS))
    shape = draw(
        st.sampled_from(["numbers", "numbers", "step", "table", "table", "gaps", "texts", "categories", "transform"])
    )
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    build = {"numbers": _numbers, "step": _step, "table": _table, "gaps": _gaps, "texts": _texts, "categories": _own,
             "transform": _transform}  # fmt: skip
    made = build[shape](draw, rng, final)
    if made is None:
        return None
    name, model, table = made
    trained, asked = table[:ROWS], table[ROWS:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(trained, _labels(draw, rng, trained, final))
            (model.predict if hasattr(model, "predict") else model.transform)(trained)
    except Exception:  # noqa: BLE001  many combinations mean nothing
        return None
    return Drawn(f"{shape}: {name}{'' if shape == 'transform' else _short(final)}", model, trained, asked,
                 draw(st.booleans()))  # fmt: skip


def _short(step: Any) -> str:
    return " ".join(repr(step).split())[:120]


def _labels(draw: st.DrawFn, rng: Any, table: Any, final: Any) -> Any:
    numbers = rng.normal(size=len(table))
    if isinstance(table, np.ndarray) and table.dtype.kind in "fib":
        numbers = np.nan_to_num(table[:, 0]) + 0.3 * numbers
    if getattr(final, "_estimator_type", "") == "classifier" or "Classifier" in type(final).__name__:
        classes = draw(st.sampled_from([[0, 1], [0, 1, 2], ["no", "yes"], [False, True], ["ä", "b", "c"],
                                        [2**53, 2**53 + 1], [1.0, 2.5]]))  # fmt: skip
        place = np.searchsorted(np.quantile(numbers, np.linspace(0, 1, len(classes) + 1)[1:-1]), numbers)
        if "xgboost" in type(final).__module__:
            return place
        return np.array(classes, dtype=object if isinstance(classes[0], str) else None)[place]
    return np.abs(numbers) * 3 + 0.1


def _matrix(draw: st.DrawFn, rng: Any) -> Any:
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e4]))
    table = rng.normal(size=(2 * ROWS, draw(st.integers(1, 5)))) * scale
    return np.round(table, 1) if draw(st.booleans()) else table


def _typed(draw: st.DrawFn, rng: Any) -> Any:
    """A matrix of any type of numbers, or of truths."""
    table = _matrix(draw, rng)
    kind = draw(st.sampled_from([np.float64, np.float64, np.float32, np.int64, np.int32, np.bool_]))
    if kind == np.bool_:
        return table > 0
    if np.issubdtype(kind, np.integer):
        return rng.integers(-5, draw(st.sampled_from([6, 10_000])), table.shape).astype(kind)
    return table.astype(kind)


def _numbers(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    table = _typed(draw, rng)
    if draw(st.booleans()):
        return "frame ", final, pd.DataFrame(table, columns=[f"c {index}.x" for index in range(table.shape[1])])
    return "", final, table


def _step(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    step = draw(st.sampled_from(TRANSFORMERS))
    if "y" in inspect.signature(step.fit).parameters and draw(st.booleans()):
        return None
    return f"{_short(step)} | ", Pipeline([("step", step), ("final", final)]), _matrix(draw, rng)


def _gaps(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    table = _matrix(draw, rng)
    table[rng.random(table.shape) < draw(st.sampled_from([0.05, 0.3]))] = np.nan
    if draw(st.booleans()):
        return "", final, table
    step = draw(st.sampled_from(IMPUTERS))
    return f"{_short(step)} | ", Pipeline([("step", step), ("final", final)]), table


def _table(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    frame = _frame(rng, missing=draw(st.booleans()))
    encoder = draw(st.sampled_from(ENCODERS))
    if draw(st.booleans()):
        encoder = Pipeline([("fill", SimpleImputer(strategy="most_frequent")), ("encode", encoder)])
    numbers = draw(st.sampled_from([*IMPUTERS, *BINS, "passthrough", "drop"]))
    texts = draw(st.sampled_from([["city"], ["city", "plan"], ["plan", "zone"], ["zone"], ["vip"], ["city", "vip"],
                                  ["grade"], ["grade", "city"], ["sure"]]))  # fmt: skip
    remainder = draw(st.sampled_from(["drop", "drop", "passthrough"]))
    if remainder == "passthrough":  # nothing in the file tells that what passes through are texts
        frame = frame.drop(columns={"city", "plan"} - set(texts))
    steps = ColumnTransformer([("n", numbers, ["age"]), ("c", encoder, texts)], remainder=remainder)
    table = frame if draw(st.booleans()) else frame[["age", *texts]]
    return f"{_short(numbers)}, {_short(encoder)} of {texts} | ", Pipeline([("c", steps), ("f", final)]), table


def _frame(rng: Any, missing: bool) -> Any:
    frame = pd.DataFrame({
        "city": rng.choice(["Rome", "Oslo", "Bonn", "Lima"], 2 * ROWS, p=[0.5, 0.3, 0.15, 0.05]).astype(object),
        "age": np.round(rng.normal(40, 9, 2 * ROWS), 1),
        "plan": rng.choice(["a", "b"], 2 * ROWS).astype(object),
        "zone": rng.integers(1, 5, 2 * ROWS),
        "vip": rng.random(2 * ROWS) < 0.3,
        "grade": rng.choice([1.0, 2.0, 3.0, 0.1], 2 * ROWS),
        "sure": (rng.random(2 * ROWS) < 0.5).astype(object),
    })  # fmt: skip
    if missing:
        frame.loc[rng.random(len(frame)) < 0.1, "city"] = np.nan
        for name in ("age", "grade"):
            frame.loc[rng.random(len(frame)) < 0.1, name] = np.nan
        frame.loc[rng.random(len(frame)) < 0.1, "sure"] = None
    return frame


def _texts(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    step = draw(st.sampled_from(VECTORIZERS))
    made = [" ".join(rng.choice(WORDS, size=rng.integers(1, 7))) for _ in range(2 * ROWS)]
    return f"{_short(step)} | ", Pipeline([("step", step), ("final", final)]), np.array(made, object)


def _transform(draw: st.DrawFn, rng: Any, _: Any) -> Any:
    """What predicts nothing."""
    kind = draw(st.sampled_from(["numbers", "numbers", "pipeline", "gaps", "table", "texts"]))
    if kind == "texts":
        step = draw(st.sampled_from(VECTORIZERS))
        made = [" ".join(rng.choice(WORDS, size=rng.integers(1, 7))) for _ in range(2 * ROWS)]
        return _short(step), step, np.array(made, object)
    if kind == "table":
        numbers, encoder = draw(st.sampled_from(IMPUTERS)), draw(st.sampled_from(ENCODERS))
        step = ColumnTransformer([("n", numbers, ["age"]), ("c", encoder, ["city", "zone"])])
        return f"{_short(numbers)}, {_short(encoder)}", step, _frame(rng, missing=draw(st.booleans()))
    table = _matrix(draw, rng)
    if kind == "gaps":
        table[rng.random(table.shape) < 0.1] = np.nan
        step = draw(st.sampled_from(IMPUTERS))
        return _short(step), step, table
    first, second = draw(st.sampled_from(TRANSFORMERS)), draw(st.sampled_from(TRANSFORMERS))
    step = Pipeline([("a", first), ("b", second)]) if kind == "pipeline" else first
    return _short(step), step, table


def _own(draw: st.DrawFn, rng: Any, final: Any) -> Any:
    """Categories that the library codes by itself."""
    if not any(word in type(final).__name__ for word in ("LGBM", "XGB", "HistGradient")):
        return None
    frame = _frame(rng, missing=draw(st.booleans())).drop(columns="sure")
    frame["zone"] += draw(st.sampled_from([0, 2**24]))  # as ids are: single precision makes one of two
    for name in ("city", "plan", *(["zone"] if draw(st.booleans()) else [])):
        frame[name] = pd.Categorical(frame[name])
    if "XGB" in type(final).__name__:
        final.set_params(enable_categorical=True)
    return "", final, frame
