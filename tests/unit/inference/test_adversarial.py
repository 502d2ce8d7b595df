"""Rows that training never held: the served form answers, or refuses, as the original does, value by value."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from onnx import TensorProto, helper
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from modelward_inference import runtimes
from modelward_inference.artifact.arrays import datatype_of
from modelward_inference.artifact.bundle import Manifest, Refusal, Signature, Tensor
from modelward_inference.compile import convert, graph
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.engine.refusals import Guard
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.protocol.messages import InferRequest, InferResponse, Input, RequestError

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(5)
NUMBERS = RNG.normal(size=(300, 4))
LABELS = (NUMBERS[:, 0] + NUMBERS[:, 1] ** 2 > 0.5).astype(int)
PEOPLE = pd.DataFrame({
    "city": RNG.choice(["Rome", "Oslo", "Bonn", "Lima", "Kyiv"], 300, p=[0.5, 0.3, 0.15, 0.03, 0.02]).astype(object),
    "zone": RNG.integers(1, 5, 300),
    "age": RNG.normal(40, 9, 300),
})  # fmt: skip
BUYS = ((PEOPLE.age > 40) ^ (PEOPLE.city == "Oslo")).astype(int)


class Served:
    """A model as a pod serves it."""

    def __init__(self, model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = model
        bundle = folder / "bundle"
        bundle.mkdir()
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        (folder / "m.joblib").write_bytes(buffer.getvalue())
        monkeypatch.setenv("PVC_MOUNT", str(folder))
        self.manifest: Manifest = fetch(Request("pvc://claim/m.joblib", "auto", None, "m", bundle, "Auto"))
        loaded = runtimes.load(self.manifest.format, bundle / self.manifest.file, signature=self.manifest.signature)
        golden.verify(loaded, bundle, self.manifest)
        self.plane = DataPlane(loaded, self.manifest, "1", workers=1, max_waiting=8)

    async def ask(self, **tensors: Any) -> InferResponse:
        given = tuple(Input(name, datatype_of(np.asarray(each)), np.asarray(each)) for name, each in tensors.items())
        return await self.plane.infer(InferRequest(given))


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Served]:
    return lambda model: Served(model, tmp_path, monkeypatch)


REFUSE_MISSING: dict[str, Callable[[], Any]] = {
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5),
    "neighbours": KNeighborsClassifier,
    "clusters": lambda: KMeans(3, n_init=1),
    "vectors": SVC,
    "logistic": LogisticRegression,
    "Bayes": GaussianNB,
    "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
}


@pytest.mark.parametrize("name", REFUSE_MISSING)
async def test_what_the_original_refuses_is_refused(serve: Callable[[Any], Served], name: str) -> None:
    served = serve(REFUSE_MISSING[name]().fit(NUMBERS, LABELS))
    assert (await served.ask(input=NUMBERS[:2])).outputs["predict"].shape == (2,)
    for value in (np.nan, np.inf, -np.inf):
        for column in range(4):
            rows = NUMBERS[:3].copy()
            rows[1, column] = value
            with pytest.raises(RequestError, match=rf"\(input\).data: column {column} is .* in row 1") as error:
                await served.ask(input=rows)
            assert error.value.status == 400


TAKE_MISSING: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5),
    "XGBoost": lambda: xgboost.XGBClassifier(n_estimators=5),
    "imputed": lambda: make_pipeline(SimpleImputer(), LogisticRegression()),
    "imputed by neighbours": lambda: make_pipeline(KNNImputer(), LogisticRegression()),
}


@pytest.mark.parametrize("draw", range(3))
@pytest.mark.parametrize("name", TAKE_MISSING)
async def test_gaps_are_answered_as_by_the_original(serve: Callable[[Any], Served], name: str, draw: int) -> None:
    rng = np.random.default_rng(draw)
    rows = np.where(rng.random(NUMBERS.shape) < 0.2, np.nan, NUMBERS)
    served = serve(TAKE_MISSING[name]().fit(rows, LABELS))
    got = (await served.ask(input=rows)).outputs["predict_proba"]
    np.testing.assert_allclose(got, served.model.predict_proba(rows), atol=1e-4)


LARGE: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "logistic regression": LogisticRegression,
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5),
}


@pytest.mark.parametrize("value", [1e39, -1e300, 3.4028235677973366e38, 3.4e38, 1e30])
@pytest.mark.parametrize("name", LARGE)
async def test_what_single_precision_cannot_hold_is_the_originals_affair(
    serve: Callable[[Any], Served], name: str, value: float
) -> None:
    served = serve(LARGE[name]().fit(NUMBERS, LABELS))
    rows = NUMBERS[:3].copy()
    rows[1, 2] = value
    try:
        with np.errstate(over="ignore"):
            own = served.model.predict_proba(rows)
    except ValueError:
        with pytest.raises(RequestError, match=r"column 2 is too large in row 1.*single precision"):
            await served.ask(input=rows)
    else:
        np.testing.assert_allclose((await served.ask(input=rows)).outputs["predict_proba"], own, atol=1e-4)
    assert (await served.ask(input=rows[:0])).outputs["predict_proba"].shape == (0, 2)


ENCODERS: dict[str, Callable[[], Any]] = {
    "one-hot": OneHotEncoder,
    "one-hot, ignored": lambda: OneHotEncoder(handle_unknown="ignore"),
    "one-hot, rare": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30),
    "one-hot, few": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2),
    "one-hot, warned": lambda: OneHotEncoder(handle_unknown="warn", min_frequency=30),
    "ordinal": OrdinalEncoder,
    "ordinal, coded": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
}


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("column", ["city", "zone"])
@pytest.mark.parametrize("name", ENCODERS)
async def test_unknown_categories_are_the_originals_affair(
    serve: Callable[[Any], Served], name: str, column: str
) -> None:
    steps = ColumnTransformer([("c", ENCODERS[name](), [column])], remainder="passthrough")
    frame = PEOPLE[[column, "age"]]
    served = serve(make_pipeline(steps, LogisticRegression()).fit(frame, BUYS))
    strange: list[Any] = ["Paris", "", "oslo", "Oslo ", "nan"] if column == "city" else [0, 9, -1, 2**40]
    for value in (strange[0], *strange, frame[column].iloc[0]):
        row = pd.DataFrame({column: [value], "age": [41.0]})
        given = {column: np.array([[value]], object if column == "city" else np.int64), "age": np.array([[41.0]])}
        try:
            own = served.model.predict_proba(row)
        except ValueError:
            with pytest.raises(RequestError):
                await served.ask(**given)
            continue
        np.testing.assert_allclose((await served.ask(**given)).outputs["predict_proba"], own, atol=1e-6)


TEXTS = ["this is good film", "not a good film", "great plot", "it was bad acting", "plan was bad", "a great film"] * 6


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(ngram_range=(1, 2)),
        CountVectorizer(stop_words="english"),
        TfidfVectorizer(lowercase=False),
        CountVectorizer(token_pattern=r"\S+"),
    ],
    ids=["pairs", "stop words", "capitals", "between blanks"],
)
async def test_words_are_cut_as_by_the_original(serve: Callable[[Any], Served], vectorizer: Any) -> None:
    served = serve(make_pipeline(vectorizer, LogisticRegression(C=30)).fit(TEXTS, [1, 0, 1, 0, 0, 1] * 6))
    texts = ["not a good film", "filmé", "plan b bad", "", "GOOD film!", "good-film", "don't", "great\tplot", "İ"]
    texts += [f"good{blank}film" for blank in "\u00a0\u2003\x0b\x1c\x85"]  # blanks to Python, letters to RE2's \\s
    got = (await served.ask(input=np.array(texts, object))).outputs["predict_proba"]
    np.testing.assert_allclose(got, served.model.predict_proba(texts), atol=1e-6)


CASES: dict[str, Callable[[], Any]] = {
    "one step": CountVectorizer,
    "two steps": lambda: FeatureUnion([("a", CountVectorizer()), ("b", TfidfVectorizer(analyzer="char"))]),
    "a column": lambda: ColumnTransformer([("t", CountVectorizer(), "text"), ("o", OneHotEncoder(), ["Kind"])]),
    "twice": lambda: ColumnTransformer([("t", CountVectorizer(), "text"), ("u", CountVectorizer(), "text")]),
    "once as it is": lambda: ColumnTransformer(
        [("t", CountVectorizer(), "text"), ("u", CountVectorizer(lowercase=False), "text")]
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_capitals_are_pythons_affair(serve: Callable[[Any], Served], name: str) -> None:
    """Among words that are too many for each to be tried."""
    fillers = [f"word{number:03d}" for number in range(300)]
    house = "\u03b4\u03bf\u03bc\u03bf\u03c2"  # Greek, with the sigma that only ends words
    texts = [f"{fillers[number]} {house if number % 2 else 'ice'}" for number in range(300)]
    capitals = house.upper()
    asked = [capitals, " ".join(capitals), "İCE", "ICE", f"{capitals}, word001 İ", f"{house[:-1]}\u03c3", ""]
    frames = name not in ("one step", "two steps")
    table = pd.DataFrame({"text": texts, "Kind": ["A"] * 300}) if frames else texts
    served = serve(make_pipeline(CASES[name](), LogisticRegression(C=30)).fit(table, np.arange(300) % 2))
    if frames:
        given = {"text": np.array(asked, object), "Kind": np.array(["A"] * len(asked), object)}
        own = served.model.predict_proba(pd.DataFrame({"text": asked, "Kind": "A"}))
        given = {each.name: given[each.name] for each in served.manifest.signature.inputs}
    else:
        given, own = {"input": np.array(asked, object)}, served.model.predict_proba(asked)
    got = (await served.ask(**given)).outputs["predict_proba"]
    np.testing.assert_allclose(got, own, atol=1e-5)
    assert served.manifest.compilation is not None
    fallback = served.manifest.compilation.fallback
    assert fallback is None if name in ("one step", "a column") else True, fallback
    assert name != "two steps" or "no rows can be made of the words" in str(fallback)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_the_only_texts_are_lowered_whatever_their_tensor_is_called(shape: tuple[int, ...]) -> None:
    signature = Signature((Tensor("body", "BYTES", shape),), (Tensor("predict", "INT64", (-1,)),))
    step: Any = CountVectorizer() if len(shape) == 1 else ColumnTransformer([("t", CountVectorizer(), 0)])
    model = make_pipeline(step, LogisticRegression())
    texts = np.array(["a cat", "a dog"], object)
    model.fit(texts if len(shape) == 1 else texts.reshape(-1, 1), [0, 1])
    assert convert._lowered(model, signature) == {"body"}


async def test_a_forest_decides_beside_its_thresholds_as_the_original(serve: Callable[[Any], Served]) -> None:
    served = serve(RandomForestClassifier(5, random_state=0).fit(NUMBERS, LABELS))
    cuts = np.concatenate([each.tree_.threshold[each.tree_.feature == 0] for each in served.model.estimators_])
    single = cuts.astype(np.float32)
    beside = np.concatenate((single, np.nextafter(single, np.float32(9)), np.nextafter(single, np.float32(-9))))
    rows = np.repeat(NUMBERS[:1], len(beside), axis=0)
    rows[:, 0] = beside
    got = (await served.ask(input=rows)).outputs["predict_proba"]
    np.testing.assert_allclose(got, served.model.predict_proba(rows), atol=1e-6)


def test_a_column_that_has_a_name_is_told_by_it() -> None:
    guard = Guard(Refusal("input", "missing", (1,), ("age",)), 2)
    guard.check(np.array([[np.nan, 1.0], [np.inf, 2.0]]))
    with pytest.raises(RequestError, match="column 'age' is missing in row 1"):
        guard.check(np.array([[1.0, 1.0], [1.0, np.nan]]))


def test_an_unknown_category_is_told_with_the_known_ones() -> None:
    guard = Guard(Refusal("city", "unknown", (0,), (), ("Oslo", "Rome")), 1)
    guard.check(np.array([["Oslo"], [b"Rome"]], object))
    with pytest.raises(RequestError, match=r"'Paris' in row 1 is a category .* it knows Oslo, Rome"):
        guard.check(np.array([["Oslo"], ["Paris"]], object))


WITHIN: dict[str, Any] = {
    "a forest": RandomForestClassifier(10, random_state=0),
    "a scaled forest": make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
    "boosting": GradientBoostingClassifier(n_estimators=200, learning_rate=0.9),
    "Bayes": GaussianNB(),
    "logistic": LogisticRegression(C=1e6),
    "vectors": make_pipeline(StandardScaler(), SVC()),
    "XGBoost": xgboost.XGBClassifier(n_estimators=10, n_jobs=1),
}


@pytest.mark.parametrize("name", WITHIN)
def test_probabilities_stay_between_0_and_1(serve: Callable[[Any], Served], name: str) -> None:
    served = serve(WITHIN[name].fit(NUMBERS, LABELS))
    assert served.manifest.compilation is not None
    assert served.manifest.compilation.fallback is None, served.manifest.compilation.fallback
    rows = np.concatenate([NUMBERS, NUMBERS * 100])
    outputs = [tensor.name for tensor in served.manifest.signature.outputs]
    found = served.plane._model.predict({"input": rows}, outputs)
    if "predict_proba" in outputs:
        assert found["predict_proba"].min() >= 0
        assert found["predict_proba"].max() <= 1
    assert (found["predict"] == served.model.predict(rows)).mean() > 0.99


def test_missing_probabilities_stay_missing(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    signature = Signature((Tensor("x", "FP32", (-1, 2)),), (Tensor("predict_proba", "FP64", (-1, 2)),))
    (tmp_path / "m.onnx").write_bytes(graph.adapt(model, signature))
    given = np.array([[np.nan, 0.5], [1.0000001, -1e-9]], np.float32)
    found = runtimes.load("onnx", tmp_path / "m.onnx").predict({"x": given}, ["predict_proba"])["predict_proba"]
    np.testing.assert_array_equal(found, [[np.nan, 0.5], [1, 0]])
