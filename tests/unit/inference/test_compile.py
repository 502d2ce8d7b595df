"""Real models: what is served agrees with the original, and what can't be compiled says why."""

import io
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.compile import choose, converters, exact
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators import estimator

from .models import CASES, Case, Doubled, case, lgbm

ATOL = 1e-5
"""Of values around 1; single precision has 7 digits, and a model adds up some hundred numbers."""


class Volume:
    """A claim with one artifact, and the bundle that is fetched from it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.bundle = folder / "volume", folder / "bundle"
        self.files.mkdir()
        self.bundle.mkdir()
        monkeypatch.setenv("PVC_MOUNT", str(self.files))

    def fetch(self, name: str, content: bytes, optimise: str = "Auto") -> tuple[Manifest, Model]:
        (self.files / name).write_bytes(content)
        fetch(Request(f"pvc://claim/{name}", "auto", None, "m", self.bundle, optimise))
        manifest = Manifest.read(self.bundle)
        model = runtimes.load(manifest.format, self.bundle / manifest.file, 1, manifest.signature)
        golden.verify(model, self.bundle, manifest)
        return manifest, model


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def pickled(model: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


def assert_same(model: Model, found: Case, prepared: Any = None) -> None:
    """The served answers are the original's, but for labels where two classes are equally probable."""
    given = {
        tensor.name: found.tensors[tensor.name]
        if tensor.datatype != "FP32"
        else found.tensors[tensor.name].astype("f4")
        for tensor in model.signature.inputs
    }
    rows = found.rows if prepared is None else prepared
    wanted = {tensor.name: np.asarray(getattr(found.model, tensor.name)(rows)) for tensor in model.signature.outputs}
    got = model.predict(given, list(wanted))
    for tensor in model.signature.outputs:
        assert got[tensor.name].shape == wanted[tensor.name].shape
        assert len(tensor.shape) == wanted[tensor.name].ndim
    assert golden.difference(wanted, got, golden.Tolerance()) is None


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_compiled_and_answers_as_before(volume: Volume, name: str) -> None:
    manifest, model = volume.fetch("m.joblib", pickled(case(name).model))
    compilation = manifest.compilation
    assert compilation is not None
    assert compilation.fallback is None, compilation.fallback
    assert compilation.parity["rows"] == manifest.golden_rows == golden.GoldenRows.read(volume.bundle).count
    assert set(compilation.timings) == {"original", "compiled"}
    assert manifest.artifact_format == "sklearn"
    assert (manifest.format, manifest.file) == (
        ("onnx", "model.onnx") if compilation.form == "compiled" else ("sklearn", "model.joblib")
    )
    assert sorted(path.name for path in volume.bundle.iterdir()) == sorted(["golden.npz", "model.json", manifest.file])
    assert_same(model, case(name))


@pytest.mark.parametrize("name", ["columns by name", "columns by position", "texts", "logistic regression with names"])
def test_the_original_is_kept_when_asked_for_and_has_the_same_signature(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = pickled(case(name).model)
    manifest, model = volume.fetch("m.joblib", content, "Off")
    assert (manifest.format, manifest.file) == ("sklearn", "model.joblib")
    assert manifest.compilation == choose.Compilation("original", "sklearn", "optimise is Off")
    assert_same(model, case(name))
    (tmp_path / "second").mkdir()
    compiled, _ = Volume(tmp_path / "second", monkeypatch).fetch("m.joblib", content)
    assert compiled.signature == manifest.signature


def test_columns_by_name_are_inputs_by_name(volume: Volume) -> None:
    manifest, _ = volume.fetch("m.joblib", pickled(case("columns by name").model))
    described = [(tensor.name, tensor.datatype, tensor.shape) for tensor in manifest.signature.inputs]
    assert described == [
        ("age", "FP64", (-1, 1)), ("income", "FP64", (-1, 1)), ("city", "BYTES", (-1, 1)), ("plan", "BYTES", (-1, 1)),
    ]  # fmt: skip


def test_without_pandas_columns_are_selected_by_their_positions(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimator, "_pandas", lambda: None)
    content = pickled(case("columns by name").model)
    _, model = volume.fetch("m.joblib", content, "Off")
    assert_same(model, case("columns by name"))


def test_texts_may_come_as_bytes(volume: Volume) -> None:
    found = case("columns by name")
    _, model = volume.fetch("m.joblib", pickled(found.model))
    as_bytes = {
        name: np.array([[value.encode()] for value in column[:, 0]], dtype=object) if column.dtype == object else column
        for name, column in found.tensors.items()
    }
    outputs = [tensor.name for tensor in model.signature.outputs]
    first, second = model.predict(found.tensors, outputs), model.predict(as_bytes, outputs)
    assert all(np.array_equal(first[name], second[name]) for name in outputs)


def test_a_transformer_of_ones_own_is_served_as_it_is_with_the_reason(volume: Volume) -> None:
    rows, labels = (
        case("logistic regression").rows,
        case("logistic regression").model.predict(case("logistic regression").rows),
    )
    model = make_pipeline(Doubled(), StandardScaler(), LogisticRegression()).fit(rows, labels)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.format == "sklearn"
    assert manifest.compilation is not None
    assert "Doubled" in (manifest.compilation.fallback or "")
    assert_same(served, Case(model, {"input": rows}, rows))


@pytest.mark.parametrize("form", ["compiled", "original"])
def test_trees_that_need_double_precision_have_it_or_are_served_as_they_are_with_the_difference(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    # Two thresholds that single precision can't tell apart: a form that has it mixes up the leaves between them.
    if form == "original":
        monkeypatch.setattr(exact, "restore", lambda *_: None)
    rows = 1 + np.arange(8).repeat(20)[:, None] * 1e-9
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5).fit(rows, np.arange(8).repeat(20) % 2 * 10.0)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert manifest.compilation.form == form
    differ = "the answers differ: output 'predict', row " in (manifest.compilation.fallback or "")
    assert differ == (form == "original")
    assert_same(served, Case(model, {"input": rows}, rows))


def test_the_original_is_served_where_it_is_faster_at_both_sizes(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([{"1": 1.0, "1000": 1.0}, {"1": 2.0, "1000": 2.0}])
    monkeypatch.setattr(choose.timing, "measure", lambda *_: next(times))
    manifest, _ = volume.fetch("m.joblib", pickled(case("linear regression").model))
    assert manifest.format == "sklearn"
    assert manifest.compilation is not None
    assert manifest.compilation.reason == "the original is faster at one row and at a thousand"
    assert manifest.compilation.fallback is None


@pytest.mark.parametrize("name", ["1", "1000"])
def test_the_compiled_form_wins_where_it_is_faster_at_one_size(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    times = iter([{"1": 1.0, "1000": 1.0}, {"1": 2.0, "1000": 2.0, name: 0.5}])
    monkeypatch.setattr(choose.timing, "measure", lambda *_: next(times))
    manifest, _ = volume.fetch("m.joblib", pickled(case("linear regression").model))
    assert manifest.format == "onnx"


def test_missing_values_take_the_same_branch_as_before() -> None:
    rows = case("forest").rows
    model = RandomForestClassifier(3, random_state=0).fit(rows, rows[:, 0] > 14)
    flags = converters.missing_goes_left(model)
    assert len(flags) == sum(tree.tree_.node_count for tree in model.estimators_)
    assert set(flags.values()) == {0, 1}


def _native(kind: str, tmp_path: Path, regressor: bool) -> tuple[bytes, Any]:
    if kind == "lightgbm":
        model = case("LightGBM").model if not regressor else case("LightGBM regressor").model[-1]
        return model.booster_.model_to_string().encode(), model
    model = case("XGBoost").model if not regressor else case("XGBoost regressor").model
    model.get_booster().save_model(tmp_path / f"saved.{kind}")
    return (tmp_path / f"saved.{kind}").read_bytes(), model


@pytest.mark.parametrize("regressor", [False, True])
@pytest.mark.parametrize("optimise", ["Auto", "Off"])
@pytest.mark.parametrize(("name", "kind"), [("m.ubj", "ubj"), ("m.json", "json"), ("m.txt", "lightgbm")])
def test_a_native_file_is_served_in_both_forms(
    volume: Volume, tmp_path: Path, name: str, kind: str, optimise: str, regressor: bool
) -> None:
    content, trained = _native(kind, tmp_path, regressor)
    manifest, model = volume.fetch(name, content, optimise)
    assert manifest.artifact_format == ("lightgbm" if kind == "lightgbm" else "xgboost")
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None
    rows = case("LightGBM" if kind == "lightgbm" else "XGBoost").rows
    rows = case("LightGBM regressor").rows if regressor else rows
    given = rows.astype("f4" if kind != "lightgbm" else "f8")
    got = model.predict({"input": given}, [tensor.name for tensor in manifest.signature.outputs])
    if regressor:
        np.testing.assert_allclose(got["predict"], trained.predict(rows), rtol=ATOL)
    else:
        np.testing.assert_allclose(got["predict_proba"], trained.predict_proba(rows), atol=ATOL)
        assert manifest.classes == tuple(range(got["predict_proba"].shape[1]))
        assert (np.take(trained.classes_, got["predict"]) == trained.predict(rows)).all()


@pytest.mark.parametrize("name", ["columns by name", "XGBoost", "LightGBM", "forest", "histogram boosting"])
def test_a_skops_file_is_served(volume: Volume, name: str) -> None:
    skops = __import__("skops.io").io
    manifest, model = volume.fetch("m.skops", skops.dumps(case(name).model))
    assert manifest.artifact_format == "skops"
    assert manifest.compilation is not None
    assert manifest.compilation.form == "compiled", manifest.compilation
    assert_same(model, case(name))


def test_classes_are_in_the_manifest(volume: Volume) -> None:
    manifest, _ = volume.fetch("m.joblib", pickled(case("logistic regression with names").model))
    assert manifest.classes == ("setosa", "versicolor", "virginica")


def test_libraries_are_named(volume: Volume) -> None:
    manifest, _ = volume.fetch("m.joblib", pickled(make_pipeline(lgbm()).fit(*_small())), "Off")
    assert {"scikit-learn", "numpy", "lightgbm"} <= set(manifest.libraries)
    assert xgboost.__version__  # its version is named where it was imported too


def _small() -> tuple[Any, Any]:
    found = case("LightGBM")
    return found.rows, found.model.predict(found.rows)
