"""Models beyond classifiers of plain tables: transformers, steps of one's own, and training on sparse matrices."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

import modelward_inference
from modelward_drift.profiles.reference import FILE as REFERENCE
from modelward_drift.profiles.reference import Reference
from modelward_inference import errors
from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.reference import source, sparse
from modelward_inference.reference.make import make_reference

from .artifacts import pickled
from .models import TEXTS, by_name, customers
from .test_compile import Volume
from .test_save import saved, unpacked

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(3)
TABLE = RNG.normal(5, 2, size=(200, 4))
LABELS = (TABLE[:, 0] + TABLE[:, 1] > 10).astype(int)
CITIES = RNG.choice(["Rome", "Oslo", "Bonn"], (200, 1)).astype(object)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


TRANSFORMERS: dict[str, tuple[Any, Any]] = {
    "a scaler": (StandardScaler(), TABLE),
    "a projection": (PCA(2), TABLE),
    "a pipeline": (make_pipeline(SimpleImputer(), StandardScaler(), PCA(2)), TABLE),
    "a union": (FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), TABLE),
    "an encoder": (OneHotEncoder(handle_unknown="ignore"), CITIES),
    "an encoder of its own output": (OneHotEncoder(sparse_output=False).set_output(transform="pandas"), None),
    "a vectorizer": (TfidfVectorizer(), TEXTS),
    "columns": (by_name(), customers()[0]),
    "a pipeline of columns": (make_pipeline(by_name(), StandardScaler()), customers()[0]),
}


def tensors(model: Any, table: Any) -> dict[str, Any]:
    inputs = model.signature.inputs
    if isinstance(table, pd.DataFrame):
        return {each.name: table[each.name].to_numpy().reshape(-1, 1) for each in inputs}
    if len(inputs) == 1 and inputs[0].shape == (-1,):
        return {"input": np.array(table, object)}
    return {inputs[0].name: table}


@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_what_predicts_nothing_is_served_with_what_it_transforms(
    volume: Volume, tmp_path: Path, name: str, bundled: bool
) -> None:
    model, table = TRANSFORMERS[name]
    table = pd.DataFrame({"city": CITIES[:, 0]}) if table is None else table
    model.fit(table)
    content = saved(tmp_path, model, table) if bundled else pickled(model)
    manifest, served = volume.fetch("m.tar" if bundled else "m.joblib", content)
    assert [tensor.name for tensor in manifest.signature.outputs] == ["transform"]
    wanted = model.transform(table)
    wanted = np.asarray(wanted.toarray() if hasattr(wanted, "toarray") else wanted)
    got = served.predict(tensors(served, table), ["transform"])["transform"]
    assert manifest.signature.outputs[0].shape == (-1, wanted.shape[1])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None, manifest.compilation.fallback
    assert manifest.classes == ()


def test_what_can_only_be_fitted_is_refused_with_words(volume: Volume) -> None:
    with pytest.raises(errors.FormatMismatch, match=r"DBSCAN, which has no predict\(\) and no transform\(\); save the"):
        volume.fetch("m.joblib", pickled(DBSCAN().fit(TABLE)))


class Clip(TransformerMixin, BaseEstimator):
    """A step that remembers nothing."""

    def fit(self, *_: Any) -> "Clip":
        self.fitted_ = True
        return self

    def transform(self, rows: Any) -> Any:
        return np.clip(np.asarray(rows, float), 0, 5)


class Sum(BaseEstimator):
    """Predicts, and is nothing more; needs three columns."""

    def fit(self, *_: Any) -> "Sum":
        self.fitted_ = True
        return self

    def predict(self, rows: Any) -> Any:
        return rows[:, 0] + 10 * rows[:, 1] + 100 * rows[:, 2]


class Length(BaseEstimator):
    """Takes texts."""

    def predict(self, rows: Any) -> Any:
        return np.array([len(each.split()) for each in rows])


def test_the_width_of_a_model_with_a_first_step_of_ones_own_is_the_later_steps(volume: Volume) -> None:
    model = make_pipeline(Clip(), LogisticRegression()).fit(TABLE, LABELS)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert (manifest.signature.inputs[0].datatype, manifest.signature.inputs[0].shape) == ("FP64", (-1, 4))
    assert np.array_equal(served.predict({"input": TABLE}, ["predict"])["predict"], model.predict(TABLE))


OWN: dict[str, Any] = {
    "a class with predict alone": Sum(),
    "steps that all tell nothing": make_pipeline(Clip(), Clip(), Sum()).fit(TABLE[:, :3]),
    "a transformer": make_pipeline(Clip(), Clip()).fit(TABLE[:, :3]),
}


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_the_width_of_a_model_that_does_not_tell_it_is_the_datas(
    volume: Volume, tmp_path: Path, name: str, framed: bool
) -> None:
    table = TABLE[:, :3]
    data = pd.DataFrame(table, columns=["a", "b", "c"]) if framed else table
    manifest, served = volume.fetch("m.tar", saved(tmp_path, OWN[name], data))
    (tensor,), (output,) = manifest.signature.inputs, manifest.signature.outputs
    assert (tensor.datatype, tensor.shape) == ("FP64", (-1, 3))
    assert np.array_equal(
        served.predict({"input": table}, [output.name])[output.name], getattr(OWN[name], output.name)(table)
    )
    assert manifest.golden_rows == 100


def test_a_class_that_takes_texts_is_served_with_texts(volume: Volume) -> None:
    manifest, served = volume.fetch("m.joblib", pickled(Length()))
    assert (manifest.signature.inputs[0].datatype, manifest.signature.inputs[0].shape) == ("BYTES", (-1,))
    assert served.predict({"input": np.array(["a good film"], object)}, ["predict"])["predict"].tolist() == [3]


def test_a_width_that_nobody_knows_is_asked_for(volume: Volume) -> None:
    with pytest.raises(errors.ModelUnsupported, match=r"The Sum does not tell how many columns .*save_bundle, whose"):
        volume.fetch("m.joblib", pickled(Sum()))


DENSE = np.where(RNG.random((300, 6)) < 0.6, 0, RNG.normal(3, 1, (300, 6)).round(2))
SPARSE = scipy.sparse.csr_matrix(DENSE)
TARGET = (DENSE[:, 0] + DENSE[:, 1] > 2).astype(int)
LAYOUTS = {
    "csr": SPARSE, "csc": SPARSE.tocsc(), "coo": SPARSE.tocoo(), "csr array": scipy.sparse.csr_array(DENSE),
    "csc array": scipy.sparse.csc_array(DENSE), "lil": SPARSE.tolil(),
}  # fmt: skip
MODELS: dict[str, Any] = {
    "linear": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(with_mean=False), LogisticRegression()),
    "projected": make_pipeline(TruncatedSVD(2, random_state=0), LogisticRegression()),
    "LightGBM": lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1),
    "XGBoost": xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
    "XGBoost, scaled": make_pipeline(MaxAbsScaler(), xgboost.XGBClassifier(n_estimators=5, n_jobs=1)),
    "XGBoost in a vote": VotingClassifier([("a", xgboost.XGBClassifier(n_estimators=5, n_jobs=1))], voting="soft"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sparse_training_data_make_the_bundle_that_dense_ones_make(volume: Volume, tmp_path: Path, layout: str) -> None:
    model = LogisticRegression().fit(SPARSE, TARGET)
    content = unpacked(saved(tmp_path, model, LAYOUTS[layout]))
    dense = unpacked(saved(tmp_path, model, DENSE))
    assert json.loads(content[REFERENCE]) == json.loads(dense[REFERENCE])
    assert content["golden.npz"] == dense["golden.npz"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_sparse_rows_is_served_with_its_own_answers(volume: Volume, tmp_path: Path, name: str) -> None:
    model = MODELS[name].fit(SPARSE, TARGET)
    manifest, served = volume.fetch("m.tar", saved(tmp_path, model, SPARSE))
    asked = np.where(DENSE == 0, np.nan, DENSE) if "XGBoost" in name else DENSE
    kind = manifest.signature.inputs[0].datatype
    got = served.predict({"input": asked.astype("f4" if kind == "FP32" else "f8")}, ["predict_proba"])["predict_proba"]
    np.testing.assert_allclose(got, model.predict_proba(SPARSE), rtol=1e-4, atol=1e-5)


def test_absent_entries_are_missing_values_to_xgboosts_booster(volume: Volume, tmp_path: Path) -> None:
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(SPARSE, TARGET), 5)
    content = saved(tmp_path, booster, lambda: iter([SPARSE[:150], SPARSE[150:]]))
    reference = Reference.from_dict(json.loads(unpacked(content)[REFERENCE]))
    assert reference.profiles[0].counts[-1] == np.sum(DENSE[:, 0] == 0), "missing, not zero"
    _, served = volume.fetch("m.tar", content)
    asked = np.where(DENSE == 0, np.nan, DENSE).astype("f4")
    got = served.predict({"input": asked}, ["predict_proba"])["predict_proba"][:, 1]
    np.testing.assert_allclose(got, booster.predict(xgboost.DMatrix(SPARSE)), rtol=1e-4, atol=1e-5)


def test_a_large_sparse_matrix_is_never_dense_as_a_whole(tmp_path: Path) -> None:
    rows, width = 20_000, 5_000  # 800 MB if it were dense
    table = scipy.sparse.random(rows, width, density=1e-4, format="csr", random_state=0)
    model = LogisticRegression().fit(table[:200], np.arange(200) % 2)
    tracemalloc.start()
    content = saved(tmp_path, model, table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 << 20
    reference = Reference.from_dict(json.loads(unpacked(content)[REFERENCE]))
    assert reference.rows == rows


def test_a_sparse_matrix_of_repeated_and_stored_zeros() -> None:
    matrix = scipy.sparse.coo_matrix(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    found = next(source.open_source(sparse.SparseTable(matrix, np.nan)).chunks()).table
    np.testing.assert_array_equal(found, [[np.nan, 3.0], [0.0, np.nan]])
    assert matrix.nnz == 3, "the user's own is left alone"


def test_a_reference_without_a_model_is_made_of_sparse_data_too() -> None:
    reference = make_reference(SPARSE)
    assert [each.name for each in reference.features] == [f"input[{column}]" for column in range(6)]
    assert reference.rows == 300


@pytest.mark.parametrize(
    "data", [scipy.sparse.coo_array(np.ones(3)), scipy.sparse.csr_matrix(np.ones((2, 2), complex))]
)
def test_sparse_data_that_are_no_table_of_numbers_are_told(data: Any) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="pass a sparse matrix"):
        source.open_source(data)


class Counting(BaseEstimator):
    """Answers by how many entries are stored, which no dense row tells."""

    n_features_in_ = 6

    def predict(self, rows: Any) -> Any:
        return np.full(rows.shape[0], float(scipy.sparse.issparse(rows)))


def test_a_model_that_no_request_could_ask_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="otherwise than the same rows with zeros"):
        modelward_inference.save_bundle(tmp_path / "m.tar", Counting(), SPARSE)


@pytest.mark.parametrize("name", ["m.joblib", "m.ubj", "m.json"])
@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_questions_at_once_have_an_answer_each(volume: Volume, strategy: str, name: str) -> None:
    """Of XGBoost: a class for each target, and not the target that is likeliest."""
    rows = np.random.default_rng(4).normal(size=(200, 4)).astype("f4")
    model = xgboost.XGBClassifier(n_estimators=3, multi_strategy=strategy, n_jobs=1).fit(rows, rows[:, :3] > 0)
    kind = name.rpartition(".")[2]
    content = pickled(model) if kind == "joblib" else bytes(model.get_booster().save_raw(kind))
    manifest, served = volume.fetch(name, content)
    asked = rows.astype(DTYPES[manifest.signature.inputs[0].datatype])
    got = served.predict({"input": asked}, ["predict", "predict_proba"])
    np.testing.assert_array_equal(got["predict"], model.predict(rows))
    np.testing.assert_allclose(got["predict_proba"], model.predict_proba(rows), rtol=1e-5)
    assert manifest.classes == ()
