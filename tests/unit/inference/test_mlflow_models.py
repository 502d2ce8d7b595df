"""MLflow's model folders, as MLflow itself wrote them (mlflow_models/make.py), from a volume to what is served."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference import errors
from modelward_inference.artifact import description
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.compile import described
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity.golden import GoldenRows

from .artifacts import onnx, pickled, tar_of, xgboost_file, zipped
from .test_compile import Volume
from .test_torchscript import torch  # noqa: F401  a fixture

pytestmark = pytest.mark.unit

HERE = Path(__file__).parent / "mlflow_models"
NAMES = tuple(f"{part} {what} (cm)" for part in ("sepal", "petal") for what in ("length", "width"))


def frame() -> Any:
    return load_iris(return_X_y=True, as_frame=True)


def pipeline() -> Any:
    rows, labels = frame()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)


def light() -> bytes:
    rows, labels = frame()
    booster = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, labels).booster_
    return str(booster.model_to_string()).encode()


MODELS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "sklearn": ("model.skops", lambda: skops.io.dumps(pipeline())),
    "sklearn-array": (
        "model.skops",
        lambda: skops.io.dumps(LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))),
    ),
    "xgboost": ("model.ubj", xgboost_file),
    "lightgbm": ("model.lgb", light),
    "onnx": ("model.onnx", lambda: renamed_onnx()),
}


def renamed_onnx() -> bytes:
    import onnx as library

    model = library.load_from_string(onnx())
    for node in model.graph.node:
        node.input[:] = ["x" if each == model.graph.input[0].name else each for each in node.input]
    model.graph.input[0].name = "x"
    return bytes(model.SerializeToString())


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def logged(volume: Volume, name: str, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """The folder with its model. `change`: of what MLmodel says."""
    folder = volume.files / name
    shutil.copytree(HERE / name, folder)
    if name in MODELS:
        file, content = MODELS[name]
        (folder / file).write_bytes(content())
    if change is not None:
        raw = yaml.safe_load((folder / "MLmodel").read_text())
        change(raw)
        (folder / "MLmodel").write_text(yaml.safe_dump(raw))
    return folder


def fetched(volume: Volume, folder: Path, digest: str | None = None, allowed: Any = None) -> Manifest:
    return fetch(Request(f"pvc://claim/{folder.name}", "auto", digest, "m", volume.bundle), allowed)


def refused(volume: Volume, folder: Path, kind: type[errors.ModelError]) -> str:
    with pytest.raises(kind) as caught:
        fetched(volume, folder)
    assert type(caught.value) is kind
    assert list(volume.bundle.iterdir()) == []
    return str(caught.value)


KINDS = {
    "sklearn": ("skops", NAMES, 69), "sklearn-array": ("skops", (), 69), "xgboost": ("xgboost", NAMES, 69),
    "lightgbm": ("lightgbm", tuple(name.replace(" ", "_") for name in NAMES), 69), "onnx": ("onnx", (), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_model_of_each_flavour_is_served_with_its_columns_and_its_example_among_the_golden_rows(
    volume: Volume, name: str
) -> None:
    found = fetched(volume, logged(volume, name))
    kind, columns, rows = KINDS[name]
    assert (found.artifact_format, found.columns, found.golden_rows) == (kind, columns, rows)
    stored = GoldenRows.read(volume.bundle)
    (tensor,) = stored.inputs.values()
    example = load_iris().data[: len(tensor)].astype(tensor.dtype)
    assert np.array_equal(tensor[: 3 if name == "onnx" else 5], example[: 3 if name == "onnx" else 5])
    assert stored.origin == ("example" if name == "onnx" else "generated")


def test_an_archive_of_the_folder_is_the_same_model(volume: Volume) -> None:
    folder = logged(volume, "sklearn")
    files = {f"model/{path.name}": path.read_bytes() for path in folder.iterdir()}
    found, _ = volume.fetch("m.tar.gz", tar_of(files))
    assert (found.columns, found.golden_rows) == (NAMES, 69)


def test_columns_that_the_model_does_not_know_are_those_of_the_signature(volume: Volume) -> None:
    def named(raw: dict[str, Any]) -> None:
        columns = [{"type": "double", "name": each, "required": True} for each in "abcd"]
        raw["signature"]["inputs"] = json.dumps(columns)

    assert fetched(volume, logged(volume, "sklearn-array", named)).columns == tuple("abcd")


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("sklearn-array", "abc", "has 3 columns, and the model takes 4"),
        ("sklearn", "abcd", "has no column sepal length"),
    ],
)
def test_a_signature_of_other_data_is_told_and_not_believed(volume: Volume, name: str, columns: str, said: str) -> None:
    def other(raw: dict[str, Any]) -> None:
        raw["signature"]["inputs"] = json.dumps([{"type": "double", "name": each} for each in columns])
        del raw["saved_input_example_info"]

    found = fetched(volume, logged(volume, name, other))
    assert found.columns == KINDS[name][1]
    (warning,) = found.warnings
    assert said in warning


def test_versions_that_differ_are_told_with_both(volume: Volume) -> None:
    folder = logged(volume, "xgboost", lambda raw: raw["flavors"]["xgboost"].update(xgb_version="1.7.6"))
    found = fetched(volume, folder)
    (warning,) = found.warnings
    assert warning.startswith("logged with xgboost 1.7.6, read with ")
    assert found.trained_with["xgboost"] == "1.7.6"


def test_requirements_tell_versions_too_in_any_spelling(volume: Volume) -> None:
    def silent(raw: dict[str, Any]) -> None:
        del raw["flavors"]["sklearn"]["sklearn_version"]

    folder = logged(volume, "sklearn", silent)
    (folder / "requirements.txt").write_text("# pins\nScikit_Learn == 1.2.2 ; python_version > '3'\nnumpy>=1\n")
    (warning,) = fetched(volume, folder).warnings
    assert warning.startswith("logged with scikit-learn 1.2.2, read with ")


def test_another_python_is_told_of_a_pickle_alone(volume: Volume) -> None:
    def old(raw: dict[str, Any]) -> None:
        raw["flavors"]["python_function"]["python_version"] = "3.8.1"
        raw["flavors"]["sklearn"]["pickled_model"] = "model.pkl"

    folder = logged(volume, "sklearn", old)
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(pickled(pipeline()))
    found = fetched(volume, folder)
    assert [each for each in found.warnings if each.startswith("logged with Python 3.8.1")]
    assert (found.artifact_format, found.golden_rows) == ("sklearn", 69)


def test_a_pickle_in_a_folder_needs_consent_and_the_folders_digest_is_what_is_pinned(volume: Volume) -> None:
    folder = logged(volume, "sklearn", lambda raw: raw["flavors"]["sklearn"].update(pickled_model="model.pkl"))
    (folder / "model.pkl").write_bytes(pickled(pipeline()))
    with pytest.raises(errors.FormatNotAllowed, match=r"spec\.model\.digest: sha256:[0-9a-f]{64}") as caught:
        fetched(volume, folder, allowed=frozenset({"onnx"}))
    digest = str(caught.value).partition("spec.model.digest: ")[2][:71]
    assert fetched(volume, folder, digest).digest == digest
    (folder / "requirements.txt").write_text("another file of it")
    (volume.bundle / "model.json").unlink()
    with pytest.raises(errors.DigestMismatch):
        fetched(volume, folder, digest)


ELSEWHERE = {
    "tensorflow": "TensorFlow Serving", "prophet": "mlflow models build-docker", "catboost": "CatBoost runtime",
}  # fmt: skip


@pytest.mark.parametrize("flavour", ELSEWHERE)
def test_a_flavour_of_another_kind_is_refused_with_what_serves_it(volume: Volume, flavour: str) -> None:
    def other(raw: dict[str, Any]) -> None:
        raw["flavors"] = {flavour: {"data": "x"}, "python_function": {"loader_module": f"mlflow.{flavour}"}}

    told = refused(volume, logged(volume, "sklearn", other), errors.ModelUnsupported)
    assert f"has the flavour {flavour}" in told
    assert ELSEWHERE[flavour] in told


def test_a_python_function_is_a_program_and_refused(volume: Volume) -> None:
    told = refused(volume, logged(volume, "pyfunc"), errors.ModelUnsupported)
    assert "a Python program of its author's" in told


def test_a_python_function_that_only_wraps_a_known_flavour_is_served(volume: Volume) -> None:
    folder = logged(volume, "xgboost", lambda raw: raw["flavors"].pop("xgboost"))
    assert fetched(volume, folder).artifact_format == "xgboost"


def test_a_folder_whose_model_has_not_been_uploaded_yet_is_told(volume: Volume) -> None:
    folder = logged(volume, "sklearn")
    (folder / "model.skops").unlink()
    assert "has not been uploaded in full" in refused(volume, folder, errors.ArtifactCorrupt)


def test_a_model_that_leads_out_of_the_folder_is_none_that_came(volume: Volume) -> None:
    (volume.files / "model.skops").write_bytes(b"beside")
    folder = logged(volume, "sklearn", lambda raw: raw["flavors"]["sklearn"].update(pickled_model="../model.skops"))
    refused(volume, folder, errors.ArtifactCorrupt)


def test_several_models_are_refused_by_their_names(volume: Volume) -> None:
    folder = logged(volume, "sklearn")
    shutil.copytree(HERE / "xgboost", folder / "other")
    assert "holds 2 MLflow models: MLmodel, other/MLmodel" in refused(volume, folder, errors.FormatUnknown)


BROKEN = {
    "no YAML": b"flavors: [",
    "no flavours": b"a: 1",
    "a list": b"- 1",
    "nothing": b"",
    "a tag that makes objects": b"flavors: !!python/object/apply:os.system ['true']",
    "values that multiply": b"a: &a {x: 1}\n" + b"".join(b"b%d: *a\n" % each for each in range(50)),
    "as deep as can be": b"[" * 100_000,
    "a number that is none": b"flavors: !!int ''",
    "a truth that is none": b"flavors: !!bool maybe",
    "a time that is none": b"flavors: !!timestamp x",
    "too long": b"#" * (1 << 20) + b"\nflavors: {}",
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_mlmodel_that_can_not_be_read_is_told(volume: Volume, case: str) -> None:
    folder = logged(volume, "sklearn")
    (folder / "MLmodel").write_bytes(BROKEN[case])
    told = refused(volume, folder, errors.ArtifactCorrupt)
    assert "MLmodel" in told
    assert "log the model again" in told


UNFIT: dict[str, Any] = {
    "no JSON": b"{",
    "another width": b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
    "rows of different widths": json.dumps(
        {"dataframe_split": {"columns": list(NAMES), "data": [[1], [2, 3]]}}
    ).encode(),
    "texts": json.dumps({"dataframe_split": {"columns": list(NAMES), "data": [["a", "b", "c", "d"]]}}).encode(),
    "numbers that are none": b'{"inputs": [[1e999, 1, 1, {}]]}',
    "a text": b'"x"',
    "deep": b"[" * 5000,
    "as deep as JSON may be": b'{"inputs": ' + b"[" * 400 + b"1" + b"]" * 400 + b"}",
    "large": b'{"inputs": [[' + b", ".join([b"1"] * 3_000_000) + b"]]}",
    "texts that grow": json.dumps({"inputs": [["ü" * (1 << 20)] * 3]}, ensure_ascii=False).encode(),
    "deep, and JSON": b"[" * 900 + b"1" + b"]" * 900,
    "as deep as arrays are, and deeper": b"[" * 65 + b"1" + b"]" * 65,
    "records that are none": json.dumps({"dataframe_records": [dict.fromkeys(NAMES, 1), 5]}).encode(),
    "no rows": json.dumps({"dataframe_split": {"columns": list(NAMES), "data": []}}).encode(),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_example_that_does_not_fit_keeps_no_model_from_being_served(volume: Volume, case: str) -> None:
    folder = logged(volume, "sklearn")
    (folder / "serving_input_example.json").write_bytes(UNFIT[case])
    found = fetched(volume, folder)
    assert found.golden_rows == 64
    (warning,) = found.warnings
    assert "the example rows beside the model are not used" in warning


def test_missing_values_of_an_example_reach_the_model(volume: Volume) -> None:
    folder = logged(volume, "xgboost")
    rows = {"dataframe_split": {"columns": list(NAMES), "data": [[1, None, 2, 3]]}}
    (folder / "serving_input_example.json").write_text(json.dumps(rows))
    assert fetched(volume, folder).golden_rows == 65
    assert np.array_equal(
        GoldenRows.read(volume.bundle).inputs["input"][0], np.array([1, np.nan, 2, 3], np.float32), equal_nan=True
    )


def pytorch(volume: Volume, file: str, content: bytes) -> Path:
    def flavour(raw: dict[str, Any]) -> None:
        raw["flavors"] = {"pytorch": {"model_data": "data", "pytorch_version": "2.10.0"}}
        for side, names in (("inputs", "ab"), ("outputs", ("sum", "product"))):
            spec = {"dtype": "float32", "shape": [-1, 2]}
            raw["signature"][side] = json.dumps([{"name": e, "type": "tensor", "tensor-spec": spec} for e in names])
        del raw["saved_input_example_info"]

    folder = logged(volume, "sklearn", flavour)
    (folder / "data").mkdir()
    (folder / "data" / file).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.pth", zipped({"model/data.pkl": b"x"}), "was saved by torch.save"),
        ("model.pth", pickled({"a": 1}), "was saved by torch.save"),
        ("model.pt2", zipped({"model/models/model.json": b"{}"}), "is a program of torch.export"),
    ],
)
def test_what_only_torch_with_its_own_code_can_load_is_refused_with_what_to_do(
    volume: Volume, file: str, content: bytes, said: str
) -> None:
    told = refused(volume, pytorch(volume, file, content), errors.ModelUnsupported)
    assert said in told
    assert "TorchScript" in told


def test_torchscript_has_its_tensors_from_the_signature(volume: Volume, torch: Any) -> None:  # noqa: F811
    """Behind the stand-in for torch of test_torchscript."""
    found = fetched(volume, pytorch(volume, "model.pth", zipped({"model/constants.pkl": b"x", "model/code/c": b"x"})))
    assert [(each.name, each.datatype, each.shape) for each in found.signature.inputs] == [
        ("a", "FP32", (-1, 2)),
        ("b", "FP32", (-1, 2)),
    ]
    assert [each.name for each in found.signature.outputs] == ["sum", "product"]
    assert "torch" in sys.modules


def test_code_beside_a_model_is_told_not_to_run(volume: Volume) -> None:
    folder = logged(volume, "sklearn", lambda raw: raw["flavors"]["sklearn"].update(code="code"))
    (warning,) = fetched(volume, folder).warnings
    assert "'code', which MLflow imports beside the model, is not" in warning


def test_a_description_that_was_tampered_with_is_no_description(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"source": "x"}', json.dumps({
        "source": "M", "inputs": [{"name": "a", "datatype": "FP65", "shape": None}], "outputs": [], "versions": {},
        "python": "", "example": None,
    })):  # fmt: skip
        (tmp_path / description.FILE).write_text(text)
        with pytest.raises(errors.BundleInvalid, match="fetch the model anew"):
            description.Description.read(tmp_path)


def test_a_description_comes_back_as_it_was_written(tmp_path: Path) -> None:
    fields = (description.Field("a", "FP64"), description.Field("", "FP32", (-1, 3)))
    told = description.Description("MLmodel", fields, fields, {"numpy": "1"}, "3.11", {"columns": ["a"], "data": [[1]]})
    told.write(tmp_path)
    assert description.Description.read(tmp_path) == told
    assert described.signature_of("sklearn", told) is None
