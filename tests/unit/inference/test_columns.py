"""Models that were trained on data frames: columns by name, their categories, and what is missing in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import modelward_inference
from modelward_inference import errors, runtimes
from modelward_inference.artifact import formats, modelfile
from modelward_inference.artifact.arrays import datatype_of
from modelward_inference.artifact.bundle import Manifest, Tensor
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.protocol.messages import InferRequest, InferResponse, Input, RequestError
from modelward_inference.runtimes.estimators import estimator

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(11)
COUNT = 400


def frame() -> Any:
    return pd.DataFrame({
        "price": RNG.normal(5, 1, COUNT),
        "store": pd.Categorical(RNG.choice([10, 20, 30, 40], COUNT)),
        "city": pd.Categorical(RNG.choice(["Oslo", "Rome", "Bonn"], COUNT)),
    })  # fmt: skip


SHOP = frame()
SALES = (SHOP.store.astype(int) == 20) * 3.0 + SHOP.price + (SHOP.city == "Rome") * 1.5


class Served:
    """An artifact as a pod serves it."""

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = folder / "bundle"
        bundle.mkdir()
        monkeypatch.setenv("PVC_MOUNT", str(folder))
        self.manifest: Manifest = fetch(Request(f"pvc://claim/{name}", "auto", None, "m", bundle, "Auto"))
        model = runtimes.load(self.manifest.format, bundle / self.manifest.file, signature=self.manifest.signature)
        golden.verify(model, bundle, self.manifest)
        self.plane = DataPlane(model, self.manifest, "1", workers=1, max_waiting=8)

    async def ask(self, **tensors: Any) -> InferResponse:
        given = tuple(Input(name, datatype_of(np.asarray(each)), np.asarray(each)) for name, each in tensors.items())
        return await self.plane.infer(InferRequest(given))

    async def of(self, table: Any, output: str = "predict") -> Any:
        """A data frame, a tensor a column, in another order than at training."""
        return (await self.ask(**{name: as_column(table[name]) for name in reversed(list(table))})).outputs[output]


def as_column(series: Any) -> Any:
    values = [None if each is None or each != each else each for each in series.tolist()]
    texts = any(isinstance(each, str) for each in values)
    return np.array(values, object if texts else np.float64).reshape(-1, 1)


Serve = Callable[..., Served]


@pytest.fixture(params=["bare", "saved"])
def serve(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    def start(model: Any, data: Any) -> Served:
        if request.param == "saved":
            modelward_inference.save_bundle(tmp_path / "m.tar", model, data)
            return Served("m.tar", tmp_path, monkeypatch)
        kind = modelfile.write(model, tmp_path)
        return Served(formats.FILES[kind], tmp_path, monkeypatch)

    return start


def lgbm() -> Any:
    return lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1, min_child_samples=5).fit(SHOP, SALES)


def xgb() -> Any:
    return xgboost.XGBRegressor(n_estimators=20, enable_categorical=True, n_jobs=1).fit(SHOP, SALES)


OWN_CATEGORIES: dict[str, Callable[[], tuple[Any, Callable[[Any], Any]]]] = {
    "LightGBM": lambda: (model := lgbm(), model.predict),
    "LightGBM's booster": lambda: (model := lgbm().booster_, model.predict),
    "XGBoost": lambda: (model := xgb(), model.predict),
    "XGBoost's booster": lambda: (
        model := xgb().get_booster(),
        lambda table: model.predict(xgboost.DMatrix(table, enable_categorical=True)),
    ),
    "histogram boosting": lambda: (
        model := HistGradientBoostingRegressor(max_iter=20, categorical_features="from_dtype").fit(SHOP, SALES),
        model.predict,
    ),
}


@pytest.mark.parametrize("name", OWN_CATEGORIES)
async def test_categories_of_a_frame_are_asked_for_by_their_values(serve: Serve, name: str) -> None:
    model, predict = OWN_CATEGORIES[name]()
    served = serve(model, SHOP)
    number = served.manifest.signature.inputs[0].datatype
    assert number in ("FP32", "FP64")
    assert [(each.name, each.datatype) for each in served.manifest.signature.inputs] == [
        ("price", number), ("store", "FP64"), ("city", "BYTES"),
    ]  # fmt: skip
    np.testing.assert_allclose(await served.of(SHOP), predict(SHOP), rtol=1e-6)
    gaps = SHOP.head(4).copy()
    gaps.loc[0, "store"] = None
    gaps.loc[1, "city"] = None
    gaps.loc[2, "price"] = np.nan
    np.testing.assert_allclose(await served.of(gaps), predict(gaps), rtol=1e-6)


@pytest.mark.parametrize("name", ["LightGBM", "XGBoost", "histogram boosting"])
async def test_an_unknown_category_is_the_librarys_affair(serve: Serve, name: str) -> None:
    model, predict = OWN_CATEGORIES[name]()
    served = serve(model, SHOP)
    row = SHOP.head(1).copy()
    row["city"] = pd.Categorical(["Paris"], categories=["Paris"])
    if name == "XGBoost":
        with pytest.raises(RequestError, match=r"'Paris' .*it knows Bonn, Oslo, Rome"):
            await served.of(row)
        return
    np.testing.assert_allclose(await served.of(row), predict(row), rtol=1e-6)


PEOPLE = pd.DataFrame({"age": RNG.normal(40, 9, COUNT), "income": RNG.normal(3e4, 9e3, COUNT)})
OLD = (PEOPLE.age + PEOPLE.income / 1e4 > 43).astype(int)


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(max_iter=999), GradientBoostingClassifier(n_estimators=5),
     xgboost.XGBClassifier(n_estimators=5), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["linear", "boosting", "XGBoost", "scaled"],
)  # fmt: skip
async def test_a_model_of_a_frame_is_asked_by_columns_in_any_order(serve: Serve, model: Any) -> None:
    served = serve(model.fit(PEOPLE, OLD), PEOPLE)
    wanted = model.predict_proba(PEOPLE)
    assert served.manifest.columns == ("age", "income")
    np.testing.assert_allclose(await served.of(PEOPLE, "predict_proba"), wanted, atol=1e-5)
    whole = (await served.ask(input=PEOPLE.to_numpy())).outputs["predict_proba"]
    np.testing.assert_allclose(whole, wanted, atol=1e-5)


async def test_columns_that_are_not_needed_are_ignored_and_said_so(serve: Serve) -> None:
    served = serve(LogisticRegression(max_iter=999).fit(PEOPLE, OLD), PEOPLE)
    answer = await served.ask(Id=np.array(["x"], object), age=np.array([40.0]), Name=np.array(["y"], object),
                              income=np.array([3e4]))  # fmt: skip
    assert answer.parameters == {"ignored_inputs": "Id, Name"}
    with pytest.raises(RequestError, match=r"inputs lacks income; .* a tensor for each column: age, income"):
        await served.ask(age=np.array([40.0]), Income=np.array([3e4]))
    with pytest.raises(RequestError, match="number of rows"):
        await served.ask(age=np.array([40.0]), income=np.array([3e4, 1.0]))


def test_a_frame_in_another_order_is_put_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LogisticRegression(max_iter=999).fit(PEOPLE, OLD)
    modelward_inference.save_bundle(tmp_path / "m.tar", model, PEOPLE[["income", "age"]].assign(label=OLD))
    served = Served("m.tar", tmp_path, monkeypatch)
    rows = golden.GoldenRows.read(tmp_path / "bundle")
    assert rows.inputs["input"][0].tolist() == PEOPLE.iloc[0].tolist()
    assert served.manifest.columns == ("age", "income")


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=999), xgboost.XGBClassifier(n_estimators=2)])
def test_a_frame_of_other_columns_is_refused_in_words(tmp_path: Path, model: Any) -> None:
    other = PEOPLE.rename(columns={"age": "Age"})
    with pytest.raises(
        errors.InvalidConfiguration, match="data has no column 'age', by which the model was trained; it"
    ):
        modelward_inference.save_bundle(tmp_path / "m.tar", model.fit(PEOPLE, OLD), other)


PASSENGERS = pd.DataFrame({
    "Name": [f"Braund, Mr. {number}" for number in range(COUNT)],
    "Sex": RNG.choice(["male", "female"], COUNT).astype(object),
    "Age": RNG.normal(30, 9, COUNT),
})  # fmt: skip
SURVIVED = ((PASSENGERS.Sex == "female") ^ (PASSENGERS.Age > 45)).astype(int)


@pytest.mark.parametrize("frames", [True, False], ids=["pandas", "no pandas"])
async def test_dropped_columns_are_not_asked_for(serve: Serve, frames: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not frames:
        monkeypatch.setattr(estimator, "_pandas", lambda: None)
    steps = ColumnTransformer([("n", StandardScaler(), ["Age"]), ("c", OneHotEncoder(), ["Sex"])])
    model = make_pipeline(steps, LogisticRegression()).fit(PASSENGERS, SURVIVED)
    wanted = model.predict_proba(PASSENGERS)
    served = serve(model, PASSENGERS)
    assert [each.name for each in served.manifest.signature.inputs] == ["Sex", "Age"]
    assert served.manifest.format == "onnx"
    np.testing.assert_allclose(await served.of(PASSENGERS[["Sex", "Age"]], "predict_proba"), wanted, atol=1e-6)
    answer = await served.ask(**{name: as_column(PASSENGERS[name]) for name in PASSENGERS})
    np.testing.assert_allclose(answer.outputs["predict_proba"], wanted, atol=1e-6)
    assert answer.parameters == {"ignored_inputs": "Name"}


GAPS = pd.DataFrame({
    "city": np.array(["Oslo", "Rome", np.nan], object)[RNG.choice(3, COUNT, p=[0.3, 0.5, 0.2])],
    "age": RNG.normal(40, 9, COUNT),
})  # fmt: skip
MOVES = ((GAPS.city == "Rome") ^ (GAPS.age > 45)).astype(int)


@pytest.mark.parametrize("frames", [True, False], ids=["pandas", "no pandas"])
@pytest.mark.parametrize(
    "step",
    [make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), OneHotEncoder(),
     OneHotEncoder(handle_unknown="ignore"), make_pipeline(SimpleImputer(strategy="constant", fill_value="?"),
                                                            OneHotEncoder(handle_unknown="ignore"))],
    ids=["imputed", "a category", "ignored", "constant"],
)  # fmt: skip
async def test_a_missing_text_is_the_librarys_missing_value(
    serve: Serve, step: Any, frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ColumnTransformer([("c", step, ["city"])], remainder="passthrough")
    model = make_pipeline(steps, LogisticRegression()).fit(GAPS, MOVES)
    wanted = model.predict_proba(GAPS)
    if not frames:
        monkeypatch.setattr(estimator, "_pandas", lambda: None)
    served = serve(model, GAPS)
    np.testing.assert_allclose(await served.of(GAPS, "predict_proba"), wanted, atol=1e-6)


async def test_a_missing_text_is_refused_where_the_original_refuses_it(serve: Serve) -> None:
    whole = GAPS.fillna({"city": "Oslo"})
    steps = ColumnTransformer([("c", OneHotEncoder(), ["city"])], remainder="passthrough")
    served = serve(make_pipeline(steps, LogisticRegression()).fit(whole, MOVES), whole)
    with pytest.raises(RequestError, match=r"inputs \(city\).data: a text is missing in row 1"):
        await served.ask(city=np.array([["Oslo"], [None]], object), age=np.array([[1.0], [2.0]]))


@pytest.mark.parametrize("name", ["input", "city"])
async def test_a_single_column_of_texts_is_called_anything(serve: Serve, name: str) -> None:
    table = pd.DataFrame({name: RNG.choice(["a", "b"], 60).astype(object)})
    model = make_pipeline(ColumnTransformer([("c", OneHotEncoder(), [name])]), LogisticRegression())
    model.fit(table, (table[name] == "a").astype(int))
    wanted = model.predict(table)
    served = serve(model, table)
    np.testing.assert_array_equal(await served.of(table), wanted)


class Clip(TransformerMixin, BaseEstimator):
    """A first step of one's own, which does not say how many columns it takes."""

    def fit(self, rows: Any, _: Any = None) -> "Clip":
        self.rows_ = len(rows)
        return self

    def transform(self, rows: Any) -> Any:
        return np.clip(rows, 0, 5)


@pytest.mark.parametrize(
    ("model", "width"),
    [(make_pipeline(Clip(), LogisticRegression()), 3), (IsotonicRegression(), 1)],
    ids=["own", "isotonic"],
)
async def test_a_model_that_does_not_tell_its_width_is_asked(serve: Serve, model: Any, width: int) -> None:
    rows = RNG.normal(size=(60, width))
    labels = (rows[:, 0] > 0).astype(float)
    served = serve(model.fit(rows, labels), rows)
    assert served.manifest.signature.inputs == (Tensor("input", "FP64", (-1, width)),)
    np.testing.assert_allclose((await served.ask(input=rows)).outputs["predict"], model.predict(rows))


async def test_lightgbm_keeps_no_blanks_in_names(serve: Serve) -> None:
    table = pd.DataFrame({"a b": PEOPLE.age, "c": PEOPLE.income})
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(table, OLD)
    wanted = model.predict_proba(table)
    np.testing.assert_allclose(await serve(model, table).of(table, "predict_proba"), wanted, atol=1e-5)


MIXED = ColumnTransformer([("n", StandardScaler(), ["age"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])])
TABLE = GAPS.fillna({"city": "Oslo"}).assign(unused="x")


def members(final: Any) -> list[tuple[str, Any]]:
    ages = ColumnTransformer([("n", StandardScaler(), ["age"])])
    return [("a", make_pipeline(MIXED, final)), ("b", make_pipeline(ages, final))]


ENSEMBLES: dict[str, Any] = {
    "a vote": VotingClassifier(members(LogisticRegression()), voting="soft"),
    "a stack": StackingClassifier(members(LogisticRegression()), cv=3),
    "a calibration": CalibratedClassifierCV(make_pipeline(MIXED, LogisticRegression()), cv=3),
    "a transformed target": TransformedTargetRegressor(make_pipeline(MIXED, Ridge()), func=np.log1p,
                                                       inverse_func=np.expm1),
    "one for each class": OneVsRestClassifier(make_pipeline(MIXED, LogisticRegression())),
    "a union": make_pipeline(FeatureUnion([("a", MIXED), ("b", ColumnTransformer([("n", StandardScaler(), ["age"])]))]),
                             LogisticRegression()),
    "columns of columns": make_pipeline(ColumnTransformer([("all", make_pipeline(MIXED), ["city", "age"])]), Ridge()),
}  # fmt: skip


@pytest.mark.parametrize("frames", [True, False], ids=["pandas", "no pandas"])
@pytest.mark.parametrize("name", ENSEMBLES)
async def test_members_of_an_ensemble_select_their_columns_by_name(
    serve: Serve, name: str, frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = clone(ENSEMBLES[name]).fit(TABLE, MOVES)
    output = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    wanted = getattr(model, output)(TABLE)
    if not frames:
        monkeypatch.setattr(estimator, "_pandas", lambda: None)
    served = serve(model, TABLE)
    assert [each.name for each in served.manifest.signature.inputs] == ["city", "age"]
    np.testing.assert_allclose(await served.of(TABLE, output), wanted, atol=1e-6)


STORES = SHOP[["price", "store"]]
CODED: dict[str, Any] = {
    "a calibration": CalibratedClassifierCV(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1), cv=3),
    "a transformed target": TransformedTargetRegressor(
        xgboost.XGBRegressor(n_estimators=5, enable_categorical=True), func=np.log1p, inverse_func=np.expm1
    ),
    "a model for each target": MultiOutputRegressor(lightgbm.LGBMRegressor(n_estimators=5, verbose=-1)),
}


@pytest.mark.parametrize("name", CODED)
async def test_numbers_that_are_categories_of_a_member_are_no_codes(serve: Serve, name: str) -> None:
    labels = {"a calibration": SALES > 6, "a model for each target": np.column_stack([SALES, -SALES])}
    model = clone(CODED[name]).fit(STORES, labels.get(name, SALES))
    wanted = model.predict(STORES)
    np.testing.assert_allclose(await serve(model, STORES).of(STORES), wanted, rtol=1e-5)


def test_categories_behind_another_step_are_refused_and_not_taken_for_codes(serve: Serve) -> None:
    model = make_pipeline(FunctionTransformer(), lightgbm.LGBMRegressor(n_estimators=5, verbose=-1)).fit(STORES, SALES)
    with pytest.raises(errors.ModelUnsupported, match="learned categories from a frame's dtype, but other steps"):
        serve(model, STORES)
