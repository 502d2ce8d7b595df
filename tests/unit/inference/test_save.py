"""One line in a training script makes a bundle that is served with the model's own answers as golden rows."""

import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import modelward_inference
from modelward_drift.building.builder import profile_of
from modelward_drift.profiles.reference import FILE as REFERENCE
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference import cli, errors
from modelward_inference.artifact import tables
from modelward_inference.artifact.bundle import MANIFEST, Manifest, Signature, Tensor
from modelward_inference.parity import golden
from modelward_inference.reference import store

from .artifacts import digest, onnx, pickled, rows
from .models import TEXTS, case, customers
from .test_compile import Volume, assert_same


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def saved(tmp_path: Path, model: Any, data: Any) -> bytes:
    return modelward_inference.save_bundle(tmp_path / "fraud.tar", model, data).read_bytes()


DATA: dict[str, tuple[str, Any]] = {
    "a data frame": ("columns by name", lambda: customers()[0]),
    "a mapping": ("columns by name", lambda: {name: customers()[0][name].to_numpy() for name in customers()[0]}),
    "an array of objects": ("columns by position", lambda: customers()[0].to_numpy(dtype=object)),
    "an array of numbers": ("forest", lambda: case("forest").rows),
    "a list of texts": ("texts", lambda: TEXTS),
}


@pytest.mark.parametrize("name", DATA)
def test_a_saved_bundle_is_served(volume: Volume, tmp_path: Path, name: str) -> None:
    model, data = DATA[name]
    manifest, served = volume.fetch("fraud.tar", saved(tmp_path, case(model).model, data()))
    assert (manifest.name, manifest.artifact_format, manifest.format) == ("m", "bundle", "onnx")
    assert manifest.golden_rows == min(100, len(case(model).rows))
    assert manifest.trained_with["scikit-learn"] == __import__("sklearn").__version__
    assert manifest.compilation is not None
    assert manifest.compilation.parity["origin"] == "training"
    assert sorted(path.name for path in volume.bundle.iterdir()) == [
        "golden.npz", "model.json", "model.onnx", "reference.json",
    ]  # fmt: skip
    assert_same(served, case(model))


def test_boosters_onnx_and_files_are_saved_too(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "m.joblib").write_bytes(pickled(case("linear regression").model))
    booster = xgboost.train({}, xgboost.DMatrix(rows(), rows()[:, 0]), 2)
    models = {"onnx": onnx(), "xgboost": booster, "sklearn": tmp_path / "m.joblib"}
    for kind, model in models.items():
        data = case("linear regression").rows if kind == "sklearn" else rows()
        manifest, _ = volume.fetch("b.tar", saved(tmp_path, model, data))
        assert manifest.compilation is not None
        assert manifest.compilation.source_format == kind
        assert manifest.golden_rows == 100
        (volume.bundle / MANIFEST).unlink()


def test_chunks_that_come_once_are_refused_and_a_function_that_makes_them_is_taken(tmp_path: Path) -> None:
    model, rows = case("forest").model, case("forest").rows
    with pytest.raises(errors.InvalidConfiguration, match="an iterator, which can be read only once"):
        saved(tmp_path, model, iter([rows[:50], rows[50:]]))
    assert not (tmp_path / "fraud.tar").exists()
    assert saved(tmp_path, model, lambda: iter([rows[:50], rows[50:]])) == saved(tmp_path, model, rows)


def test_rows_that_the_model_refuses_are_told_of_as_the_datas_fault(tmp_path: Path) -> None:
    model, rows = case("linear regression").model, np.array(case("linear regression").rows, np.float64)
    rows[0] = np.inf
    with pytest.raises(
        errors.InvalidConfiguration, match=r"the model fails on rows of the data: ValueError: .*infinity"
    ):
        saved(tmp_path, model, rows)


def test_the_library_that_reads_the_model_back_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "modelward_inference.runtimes.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(errors.InvalidConfiguration, match=r"onnxruntime is not installed.*pip install onnxruntime"):
        saved(tmp_path, onnx(), rows())


def test_a_bundle_has_golden_rows(tmp_path: Path) -> None:
    model, rows = case("forest").model, case("forest").rows
    with pytest.raises(errors.InvalidConfiguration, match="golden_rows=0: a bundle has at least one"):
        modelward_inference.save_bundle(tmp_path / "fraud.tar", model, rows, golden_rows=0)


def test_none_stays_none_where_pandas_has_texts_of_its_own(volume: Volume, tmp_path: Path) -> None:
    """As pandas 3 has, and 2 on request."""
    frame = pd.DataFrame({"age": np.arange(60.0), "city": np.array(["Oslo", None, "Rome"] * 20, object)})
    fill = SimpleImputer(missing_values=None, strategy="constant", fill_value="none")
    columns = make_column_transformer((make_pipeline(fill, OneHotEncoder()), ["city"]), remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(frame, np.arange(60) % 2)
    with pd.option_context("future.infer_string", True):
        manifest, _ = volume.fetch("b.tar", saved(tmp_path, model, frame))
    assert manifest.golden_rows == 60


def test_the_same_model_and_rows_give_the_same_digest(tmp_path: Path) -> None:
    first, second = (digest(saved(tmp_path, case("forest").model, case("forest").rows)) for _ in range(2))
    assert first == second


def test_the_reference_is_of_the_rows_that_were_given_and_of_the_answers(tmp_path: Path) -> None:
    content = saved(tmp_path, case("columns by name").model, customers()[0])
    reference = Reference.from_dict(json.loads(unpacked(content)[REFERENCE]))
    profiles = {profile.name: profile for profile in reference.profiles}
    assert {name: profile.kind for name, profile in profiles.items()} == {
        "age": "numeric", "income": "numeric", "city": "categorical", "plan": "categorical",
        "output:predict": "categorical", "output:predict_proba[0]": "numeric", "output:predict_proba[1]": "numeric",
    }  # fmt: skip
    assert reference.rows == 400
    assert profiles["income"].counts[-1] == 24, "the missing ones"
    assert profiles["city"].levels == ("Bonn", "Oslo", "Rome")


def test_names_of_a_data_frame_are_kept_where_the_model_takes_one_tensor(tmp_path: Path) -> None:
    rows = case("forest").rows
    frame = pd.DataFrame(rows, columns=[f"petal {index}" for index in range(rows.shape[1])])
    content = saved(tmp_path, case("forest").model, frame)
    reference = Reference.from_dict(json.loads(unpacked(content)[REFERENCE]))
    assert [each.name for each in reference.features if each.side == "input"] == list(frame)
    assert {each.tensor for each in reference.features if each.side == "input"} == {"input"}


def test_kinds_and_what_to_ignore(tmp_path: Path) -> None:
    frame = customers()[0].assign(customer=range(400))
    target = modelward_inference.save_bundle(
        tmp_path / "b.tar", case("columns by name").model, frame,
        feature_kinds={"city": "text"}, ignore=["customer", "plan"],
    )  # fmt: skip
    reference = Reference.from_dict(json.loads(unpacked(target.read_bytes())[REFERENCE]))
    assert {each.name: each.profile.kind for each in reference.features if each.side == "input"} == {
        "age": "numeric", "income": "numeric", "city": "text",
    }  # fmt: skip


def test_a_model_of_images_has_no_reference(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = KMeans(2, n_init=1, random_state=0)
    images = np.random.default_rng(0).random((20, 1001))
    content = saved(tmp_path, model.fit(images), images)
    reference = Reference.from_dict(json.loads(unpacked(content)[REFERENCE]))
    assert [each.name for each in reference.features] == ["output:predict"]
    assert "left out: the input 'input' has 1001 values a row" in caplog.text


def changed(document: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(document), **fields}).encode()


FOREIGN = Reference((Feature("input", "height", None, profile_of("height", "numeric", [1.0, 2.0])),))

BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no JSON": (lambda _: b"{", "can't be read as a reference"),
    "deep JSON": (lambda _: b"[" * 100_000, "can't be read as a reference"),
    "no object": (lambda _: b"[1]", "schema version None"),
    "another version": (lambda found: changed(found, schema_version=9), "schema version 9, this release reads 1"),
    "a changed document": (lambda found: changed(found, source="learned"), "was changed since it was made"),
    "of another model": (lambda _: store.dump(FOREIGN), "of tensors that the model has not: height"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_reference_stops_no_model(volume: Volume, tmp_path: Path, name: str) -> None:
    content = saved(tmp_path, case("forest").model, case("forest").rows)
    change, words = BAD[name]
    manifest, _ = volume.fetch("fraud.tar", repacked(content, {REFERENCE: change(unpacked(content)[REFERENCE])}))
    assert [words in warning for warning in manifest.warnings] == [True], manifest.warnings
    assert not (volume.bundle / REFERENCE).exists()


def test_the_training_rows_of_an_earlier_bundle_are_not_unpacked(volume: Volume, tmp_path: Path) -> None:
    entries = {**unpacked(saved(tmp_path, case("forest").model, case("forest").rows)), "reference.npz": b"rows"}
    del entries[REFERENCE]
    manifest, _ = volume.fetch("fraud.tar", tarred([(tarfile.TarInfo(name), data) for name, data in entries.items()]))
    assert sorted(path.name for path in volume.bundle.iterdir()) == ["golden.npz", "model.json", "model.onnx"]
    assert manifest.warnings == ()


def test_a_model_that_answers_differently_than_at_training_is_not_served(volume: Volume, tmp_path: Path) -> None:
    content = saved(tmp_path, case("linear regression").model, case("linear regression").rows)
    other = type(case("linear regression").model)().fit(case("linear regression").rows, case("forest").rows[:442, 0])
    forged = repacked(content, {"model.joblib": pickled(other)})
    with pytest.raises(errors.GoldenRowsDiffer, match="output 'predict', row 0: expected"):
        volume.fetch("fraud.tar", forged)
    assert not list(volume.bundle.iterdir())


def test_another_version_at_training_is_a_warning_where_the_rows_reproduce(volume: Volume, tmp_path: Path) -> None:
    content = saved(tmp_path, case("linear regression").model, case("linear regression").rows)
    text = unpacked(content)[MANIFEST].replace(
        f'"scikit-learn": "{__import__("sklearn").__version__}"'.encode(), b'"scikit-learn": "1.2.3"'
    )
    manifest, _ = volume.fetch("fraud.tar", repacked(content, {MANIFEST: text}))
    assert any("trained with scikit-learn 1.2.3, read with" in warning for warning in manifest.warnings)


def test_the_command_writes_a_bundle(volume: Volume, tmp_path: Path) -> None:
    frame, _ = customers()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "m.joblib").write_bytes(pickled(case("columns by name").model))
    arguments = ["--model", tmp_path / "m.joblib", "--data", tmp_path / "rows.csv", "--out", tmp_path / "fraud.tar"]
    assert cli.main(["save", *map(str, arguments)]) == 0
    manifest, served = volume.fetch("fraud.tar", (tmp_path / "fraud.tar").read_bytes())
    assert manifest.golden_rows == 100
    assert_same(served, case("columns by name"))


def test_the_command_says_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "m.joblib").write_bytes(pickled(case("columns by name").model))
    arguments = ["--model", tmp_path / "m.joblib", "--data", tmp_path / "rows.csv", "--out", tmp_path / "fraud.tar"]
    assert cli.main(["save", *map(str, arguments)]) == 1
    assert "data has no column 'age'; it has a, b" in capsys.readouterr().err
    assert not (tmp_path / "fraud.tar").exists()


def test_numbers_that_are_none_are_told_with_their_column() -> None:
    signature = Signature((Tensor("a", "FP64", (-1, 1)), Tensor("b", "BYTES", (-1, 1))), ())
    with pytest.raises(errors.InvalidConfiguration, match="'a' does not hold FP64 values"):
        tables.from_data({"a": np.array(["x"]), "b": np.array(["y"])}, signature)


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]


def repacked(content: bytes, changes: dict[str, bytes]) -> bytes:
    return tarred([(tarfile.TarInfo(name), data) for name, data in {**unpacked(content), **changes}.items()])


def tarred(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for member, data in entries:
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


HOSTILE: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "a path out of the folder": ([(entry("../model.json"), b"{}")], "is unknown"),
    "an absolute path": ([(entry("/tmp/model.json"), b"{}")], "is unknown"),
    "a symbolic link": ([(entry("model.onnx", tarfile.SYMTYPE, "/etc/passwd"), b"")], "is a link"),
    "a hard link": ([(entry("model.onnx", tarfile.LNKTYPE, "/etc/passwd"), b"")], "is a link"),
    "a device": ([(entry("model.onnx", tarfile.CHRTYPE), b"")], "is no regular file"),
    "a folder": ([(entry("model.onnx", tarfile.DIRTYPE), b"")], "is no regular file"),
    "a foreign file": ([(entry("run.sh"), b"")], "is unknown"),
    "a file twice": ([(entry("golden.npz"), b"1"), (entry("golden.npz"), b"2")], "has golden.npz twice"),
    "a large manifest": ([(entry(MANIFEST), b" " * ((16 << 20) + 1))], "at most 16777216 are read"),
    "a manifest of another version": ([(entry(MANIFEST), b'{"schema_version": 1}')], "has schema version 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing(volume: Volume, tmp_path: Path, name: str) -> None:
    entries, words = HOSTILE[name]
    begun = [] if entries[0][0].name == MANIFEST else [(entry(MANIFEST), b"{}")]  # which makes it a bundle
    with pytest.raises(errors.BundleInvalid, match=words):
        volume.fetch("fraud.tar", tarred(begun + entries))
    assert not list(volume.bundle.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "volume"]


def test_a_bundle_that_is_cut_off(volume: Volume, tmp_path: Path) -> None:
    content = saved(tmp_path, case("forest").model, case("forest").rows)
    with pytest.raises(errors.ArtifactCorrupt, match="upload the bundle again"):
        volume.fetch("fraud.tar", content[: len(content) // 2])
    assert not list(volume.bundle.iterdir())


def test_a_bundle_whose_model_is_of_another_format(volume: Volume, tmp_path: Path) -> None:
    content = saved(tmp_path, case("forest").model, case("forest").rows)
    with pytest.raises(errors.BundleInvalid, match=r"says sklearn, but model\.joblib is an ONNX model"):
        volume.fetch("fraud.tar", repacked(content, {"model.joblib": onnx()}))


def test_a_manifest_that_leads_out_of_the_folder(volume: Volume, tmp_path: Path) -> None:
    content = saved(tmp_path, case("forest").model, case("forest").rows)
    text = unpacked(content)[MANIFEST].replace(b"model.joblib", b"../../m.joblib")
    with pytest.raises(errors.BundleInvalid, match=r"has no file '\.\./\.\./m\.joblib'"):
        volume.fetch("fraud.tar", repacked(content, {MANIFEST: text}))


def test_golden_rows_of_a_bundle_are_compared_at_every_start(volume: Volume, tmp_path: Path) -> None:
    manifest, served = volume.fetch("fraud.tar", saved(tmp_path, case("forest").model, case("forest").rows))
    stored = golden.GoldenRows.read(volume.bundle)
    golden.GoldenRows(
        stored.inputs, {name: value + 1 for name, value in stored.expected.items()}, golden.TRAINING
    ).write(volume.bundle)
    with pytest.raises(errors.GoldenRowsDiffer):
        golden.verify(served, volume.bundle, Manifest.read(volume.bundle))
    assert manifest.golden_rows == 100
