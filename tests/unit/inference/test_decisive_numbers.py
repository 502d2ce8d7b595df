"""Numbers at which encoders, bins and thresholds decide: what is served decides there as the library does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.compile import timing
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.errors import ModelUnsupported
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import adversarial
from modelward_inference.protocol.messages import InferRequest, Input, RequestError
from modelward_inference.runtimes.estimators import estimator as estimators

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(4)
COUNT = 200
FRAME = pd.DataFrame({"grade": RNG.choice([1.0, 2.0, 3.0], COUNT), "size": RNG.normal(size=COUNT)})
GAPS = FRAME.assign(grade=FRAME.grade.where(RNG.random(COUNT) > 0.1))
SECOND = FRAME.grade == 2
BESIDE = [1.5, np.nextafter(2.0, 3.0), 2.0000001, 2.9999999999, 1e30, -0.0, 2.0, 0.99999, 3.0]

Server = Callable[..., tuple[Manifest, DataPlane]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A model as a pod serves it, which has no pandas; what is faster is no matter."""

    def start(model: Any, name: str = "m.joblib", optimise: str = "Auto") -> tuple[Manifest, DataPlane]:
        path = tmp_path / name
        model.save_model(path) if name != "m.joblib" else joblib.dump(model, path)
        monkeypatch.setenv("PVC_MOUNT", str(tmp_path))
        monkeypatch.setattr(estimators, "_pandas", lambda: None)
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        with mock.patch.object(timing, "BUDGET", 0.0):
            manifest = fetch(Request(f"pvc://claim/{name}", "auto", None, "m", bundle, optimise))
        served = runtimes.load(manifest.format, bundle / manifest.file, signature=manifest.signature)
        return manifest, DataPlane(served, manifest, "1", workers=1, max_waiting=8)

    return start


def column(name: str, value: Any) -> Input:
    array = np.array([value])
    return Input(name, "INT64" if array.dtype.kind == "i" else "FP64", array)


async def answer(plane: DataPlane, *given: Input) -> Any:
    """What the model predicts, None where it refuses the row."""
    try:
        outputs = (await plane.infer(InferRequest(given))).outputs
    except RequestError:
        return None
    return outputs.get("predict_proba", outputs["predict"])


def own(model: Any, row: Any) -> Any:
    try:
        return (model.predict_proba if hasattr(model, "predict_proba") else model.predict)(row)
    except ValueError:
        return None


def assert_same(got: Any, wanted: Any) -> None:
    if wanted is None:
        assert got is None
    else:
        np.testing.assert_allclose(np.asarray(got, float), wanted, rtol=1e-5)


ENCODERS: dict[str, Any] = {
    "one-hot, unknown ignored": OneHotEncoder(handle_unknown="ignore"),
    "one-hot": OneHotEncoder(),
    "one-hot, first dropped": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "target": TargetEncoder(),
}


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize(("name", "table"), [
    ("one-hot, unknown ignored", FRAME), ("one-hot", FRAME), ("one-hot, first dropped", GAPS), ("ordinal", FRAME),
    ("target", GAPS),
])  # fmt: skip
async def test_fractions_are_no_category_of_whole_numbers(serve: Server, name: str, table: Any) -> None:
    steps = ColumnTransformer([("c", ENCODERS[name], ["grade"]), ("n", "passthrough", ["size"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table, SECOND)
    manifest, plane = serve(model)
    assert manifest.compilation is not None
    if name == "one-hot, unknown ignored":
        assert manifest.compilation.form == "compiled"
    for value in [*BESIDE, np.nan]:
        row = pd.DataFrame({"grade": [value], "size": [0.0]})
        assert_same(await answer(plane, column("grade", value), column("size", 0.0)), own(model, row))


@pytest.mark.parametrize("step", [
    KBinsDiscretizer(4, encode="ordinal"), Binarizer(threshold=0.1), OneHotEncoder(handle_unknown="ignore"),
])  # fmt: skip
async def test_a_matrix_beside_edges(serve: Server, step: Any) -> None:
    table = np.round(FRAME[["size"]].to_numpy(), 1)
    model = make_pipeline(step, LogisticRegression()).fit(table, SECOND)
    edges = [0.1, *np.ravel([list(each) for each in getattr(model[0], "bin_edges_", [])])]
    _, plane = serve(model)
    for edge in edges:
        for value in (edge, np.nextafter(edge, -9), np.nextafter(edge, 9), float(np.float32(edge))):
            row = np.array([[value]])
            assert_same(await answer(plane, Input("input", "FP64", row)), own(model, row))


async def test_ids_beyond_single_precision_are_categories_apart(serve: Server) -> None:
    ids = RNG.choice([2**24, 2**24 + 1, 2**24 + 2], COUNT)
    table = pd.DataFrame({"shop": pd.Categorical(ids), "size": RNG.normal(size=COUNT)})
    model = xgboost.XGBRegressor(n_estimators=8, enable_categorical=True, n_jobs=1, learning_rate=1)
    model.fit(table, (ids == 2**24 + 1) * 5.0)
    _, plane = serve(model, "m.ubj")
    for place in range(8):
        row = table.iloc[[place]]
        got = await answer(plane, column("shop", int(ids[place])), column("size", row["size"].iloc[0]))
        assert_same(got, model.predict(row))


@pytest.mark.parametrize("name", ["m.joblib", "m.ubj"])
def test_ids_that_no_float_tells_apart_are_refused(serve: Server, name: str) -> None:
    ids = RNG.choice([2**53, 2**53 + 1], COUNT)
    table = pd.DataFrame({"shop": pd.Categorical(ids), "size": RNG.normal(size=COUNT)})
    model = xgboost.XGBRegressor(n_estimators=2, enable_categorical=True, n_jobs=1).fit(table, ids % 2)
    with pytest.raises(ModelUnsupported, match=r"category 9007199254740993; .* Make texts of that column"):
        serve(model, name)


LARGE = RNG.choice([2**53, 2**53 + 1], COUNT)
WITH_LARGE: dict[str, Callable[[], Any]] = {
    "boosting of a frame": lambda: _boosting("from_dtype").fit(_shops(pd.Categorical(LARGE)), LARGE % 2),
    "boosting by names": lambda: _boosting(["shop"]).fit(_shops(LARGE), LARGE % 2),
    "boosting of an array": lambda: _boosting([0]).fit(np.column_stack([LARGE, LARGE % 3]), LARGE % 2),
    "an encoder of objects": lambda: make_pipeline(
        ColumnTransformer([("c", OneHotEncoder(), ["shop"])], remainder="passthrough"), LogisticRegression()
    ).fit(_shops(pd.Series([None, *LARGE[1:].tolist()], dtype=object)), LARGE % 2),
    "an encoder of a column that is a number, too": lambda: make_pipeline(
        ColumnTransformer([("c", OneHotEncoder(), ["shop"]), ("n", "passthrough", ["shop", "size"])]),
        LogisticRegression(),
    ).fit(_shops(LARGE), LARGE % 2),
}


def _boosting(chosen: Any) -> Any:
    return HistGradientBoostingClassifier(max_iter=2, categorical_features=chosen)


def _shops(shop: Any) -> pd.DataFrame:
    return pd.DataFrame({"shop": shop, "size": RNG.normal(size=COUNT)})


@pytest.mark.parametrize("name", WITH_LARGE)
def test_categories_that_floats_round_are_refused(serve: Server, name: str) -> None:
    with pytest.raises(ModelUnsupported, match=r"category 9007199254740993; .* Make texts of that column"):
        serve(WITH_LARGE[name]())


async def test_ids_of_an_encoder_are_not_rounded_beside_floats(serve: Server) -> None:
    ids = RNG.choice([2**53, 2**53 + 1], COUNT)
    table = pd.DataFrame({"shop": ids, "size": RNG.normal(size=COUNT)})
    steps = ColumnTransformer([("c", OneHotEncoder(), ["shop"]), ("n", "passthrough", ["size"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table, ids % 2)
    _, plane = serve(model, optimise="Off")
    for shop in (2**53, 2**53 + 1):
        row = pd.DataFrame({"shop": [shop], "size": [0.0]})
        assert_same(await answer(plane, column("shop", shop), column("size", 0.0)), own(model, row))


@pytest.mark.parametrize("width", [1, 18, 22, 40])
def test_of_many_columns_each_side_of_the_numbers_is_asked(width: int) -> None:
    """The number itself, between it and the next one, and beside it, in no more rows than of a few columns."""
    table = RNG.choice(np.arange(12.0), (COUNT, width))
    made = adversarial._decisive(OneHotEncoder(handle_unknown="ignore").fit(table), {"input": table}, 0)
    assert 0 < len(made) <= adversarial.DECISIVE
    asked = np.array([row["input"][change.column] for change, row in made])
    known, between = asked % 1 == 0, asked % 1 == 0.5
    assert known.mean() > 0.2
    assert between.mean() > 0.05
    assert (~known & ~between).mean() > 0.2
