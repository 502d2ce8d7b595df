"""Models that come in archives, as SageMaker and people pack them; and archives that are none, or not safe."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx as onnx_library
import pytest
from onnx import helper, numpy_helper

import modelward_inference
from modelward_inference import errors
from modelward_inference.artifact import archive, formats
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import Limits
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.runtimes.base import Model

from .artifacts import estimator, lightgbm_file, onnx, pickled, rows, skops_file, xgboost_file, zipped
from .test_compile import Volume
from .test_save import saved

pytestmark = pytest.mark.unit

Entries = list[tuple[Any, bytes]]


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def tarred(files: dict[str, bytes] | Entries, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as opened:  # type: ignore[call-overload]
        for name, content in files.items() if isinstance(files, dict) else files:
            member = name if isinstance(name, tarfile.TarInfo) else entry(name)
            member.size = member.size or len(content)
            opened.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


PACKINGS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "model.tar.gz": lambda files: tarred(files, "w:gz"),
    "m.tgz": lambda files: tarred(files, "w:gz"),
    "m.tar.bz2": lambda files: tarred(files, "w:bz2"),
    "m.tar.xz": lambda files: tarred(files, "w:xz"),
    "m.tar": tarred,
    "m.zip": zipped,
    "no suffix": lambda files: tarred(files, "w:gz"),
}
MODELS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "sklearn": ("model.joblib", lambda: pickled(estimator())),
    "onnx": ("1/model.onnx", onnx),
    "skops": ("./export/model.skops", skops_file),
    "xgboost": ("xgboost-model", xgboost_file),
    "lightgbm": ("a/b/lightgbm.txt", lightgbm_file),
}
LITTER = {
    "code/inference.py": b"import this", "code/requirements.txt": b"scikit-learn", "README.md": b"# a model",
    "rows.csv.gz": gzip.compress(b"a,b\n1,2\n"), "._model.joblib": pickled(1), "__MACOSX/._x.joblib": pickled(1),
    "metrics.json": b'{"auc": 0.9}',
}  # fmt: skip


def answers(model: Model) -> dict[str, Any]:
    given = {
        tensor.name: rows().astype("f4" if tensor.datatype == "FP32" else "f8") for tensor in model.signature.inputs
    }
    return model.predict(given, [tensor.name for tensor in model.signature.outputs])


@pytest.mark.parametrize("name", PACKINGS)
def test_the_one_model_in_an_archive_is_served(volume: Volume, name: str) -> None:
    manifest, model = volume.fetch(name, PACKINGS[name]({**LITTER, "model.joblib": pickled(estimator())}))
    assert manifest.artifact_format == "sklearn"
    assert manifest.uri.endswith(name)
    assert np.array_equal(answers(model)["predict"], estimator().predict(rows()))
    assert sorted(path.name for path in volume.bundle.iterdir()) == sorted(["golden.npz", "model.json", manifest.file])


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_each_format_are_found_wherever_they_lie(volume: Volume, kind: str) -> None:
    name, content = MODELS[kind]
    manifest, model = volume.fetch("m.tar.gz", tarred({**LITTER, name: content()}, "w:gz"))
    assert manifest.artifact_format == kind
    assert all(len(answer) == 150 for answer in answers(model).values())


def test_the_digest_and_size_are_of_the_archive_and_a_second_run_leaves_the_bundle(volume: Volume) -> None:
    content = tarred({"model.joblib": pickled(estimator())}, "w:gz")
    manifest, _ = volume.fetch("m.tgz", content)
    assert manifest.size == len(content)
    assert volume.fetch("m.tgz", content)[0] == manifest


def test_a_format_that_is_asked_for_is_the_models(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelward_inference.fetch.run import Request, fetch

    (volume.files / "m.tar").write_bytes(tarred({"model.joblib": pickled(estimator())}))
    wanted = Request("pvc://c/m.tar", "sklearn", None, "m", volume.bundle)
    assert fetch(wanted).artifact_format == "sklearn"
    (volume.bundle / "model.json").unlink()
    with pytest.raises(
        errors.FormatMismatch, match=r"m\.tar: model\.joblib is a Python pickle, but .*set spec\.model\."
    ):
        fetch(Request("pvc://c/m.tar", "onnx", None, "m", volume.bundle))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_saved_bundle_may_be_compressed(volume: Volume, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    manifest, _ = volume.fetch("fraud.tar.gz", pack(saved(tmp_path, estimator(), rows())))
    assert (manifest.artifact_format, manifest.golden_rows) == ("bundle", 100)


def test_a_saved_bundle_may_be_packed_with_other_files(volume: Volume, tmp_path: Path) -> None:
    inner = saved(tmp_path, estimator(), rows())
    manifest, _ = volume.fetch("all.zip", zipped({"out/fraud.tar": inner, "notes.txt": b"good"}))
    assert (manifest.artifact_format, manifest.golden_rows) == ("bundle", 100)


def test_xgboosts_model_json_is_no_manifest(volume: Volume) -> None:
    manifest, _ = volume.fetch("m.tar", tarred({"model.json": xgboost_file("json")}))
    assert manifest.artifact_format == "xgboost"


@pytest.mark.parametrize("level", [1, 3, 6, 9])
@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_every_compression_of_joblib_is_known(volume: Volume, tmp_path: Path, method: str, level: int) -> None:
    joblib.dump(estimator(), tmp_path / "model", compress=(method, level))
    manifest, _ = volume.fetch("model", (tmp_path / "model").read_bytes())
    assert manifest.artifact_format == "sklearn"


def weighted(folder: Path, weights: str = "weights.bin") -> tuple[bytes, bytes]:
    """An ONNX model x * w + b whose w is in another file: both contents."""
    matrix = numpy_helper.from_array(np.arange(4000, dtype=np.float32).reshape(4, 1000), "w")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [info("x", onnx_library.TensorProto.FLOAT, ["n", 4])], [info("y", onnx_library.TensorProto.FLOAT, ["n", 1000])],
        [matrix],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx_library.save(model, folder / "big.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    content = (folder / "big.onnx").read_bytes()
    return content.replace(b"weights.bin", weights.encode()), (folder / "weights.bin").read_bytes()


def test_onnx_with_its_weights_in_another_file_is_served_from_an_archive(volume: Volume, tmp_path: Path) -> None:
    model, weights = weighted(tmp_path)
    manifest, served = volume.fetch("m.tar.gz", tarred({"big/model.onnx": model, "big/weights.bin": weights}, "w:gz"))
    found = served.predict({"x": np.ones((2, 4), np.float32)}, ["y"])["y"]
    assert np.array_equal(found[1], np.arange(4000).reshape(4, 1000).sum(axis=0))
    assert sorted(path.name for path in volume.bundle.iterdir()) == ["model.json", "model.onnx"]
    assert manifest.artifact_format == "onnx"


@pytest.mark.parametrize("name", ["m.onnx", "m.tar.gz"])
def test_missing_weights_are_told_with_their_file_and_the_cure(volume: Volume, tmp_path: Path, name: str) -> None:
    model, _ = weighted(tmp_path)
    content = model if name == "m.onnx" else tarred({"m.onnx": model}, "w:gz")
    with pytest.raises(errors.ModelUnsupported) as caught:
        volume.fetch(name, content)
    assert "its weights in another file, weights.bin, which did not come with it; pack both in one .tar.gz" in str(
        caught.value
    )
    assert not list(volume.bundle.iterdir())


@pytest.mark.parametrize("weights", ["../../../x", "/etc/passw"])
def test_weights_outside_of_the_models_folder_are_not_read(volume: Volume, tmp_path: Path, weights: str) -> None:
    model, _ = weighted(tmp_path)
    changed = model.replace(b"\x12\x0bweights.bin", b"\x12\x0b" + weights.ljust(11, "d").encode())
    assert changed != model
    with pytest.raises(errors.ModelUnsupported, match="leads out of its folder"):
        volume.fetch("m.tar", tarred({"a/m.onnx": changed}))


def test_a_bundle_is_saved_of_onnx_with_its_weights_in_another_file(volume: Volume, tmp_path: Path) -> None:
    weighted(tmp_path)
    target = modelward_inference.save_bundle(tmp_path / "b.tar", tmp_path / "big.onnx", rows())
    assert volume.fetch("b.tar", target.read_bytes())[0].golden_rows == 100


NONE: dict[str, tuple[bytes, str]] = {
    "no model": (tarred(LITTER, "w:gz"), "holds no model but README.md, "),
    "nothing": (tarred([(entry("a", tarfile.DIRTYPE), b"")], "w:gz"), "holds no model, and no file at all"),
    "two models": (
        tarred({"a/model.joblib": pickled(estimator()), "scaler.pkl": pickled(1)}, "w:gz"),
        "holds 2 models: a/model.joblib, scaler.pkl. Publish the one that is to be served",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NONE)
@pytest.mark.parametrize("pin", ["m.tar.gz", "m"])
def test_an_archive_without_one_model_is_told_with_what_it_holds(volume: Volume, case: str, pin: str) -> None:
    content, words = NONE[case]
    with pytest.raises(errors.FormatUnknown) as caught:
        volume.fetch(pin, content)
    assert words in str(caught.value)
    assert not list(volume.bundle.iterdir())


HOSTILE: dict[str, tuple[Entries, str]] = {
    "a path out of the folder": ([(entry("../m.joblib"), b"1")], "is a path out of it"),
    "a path that comes back": ([(entry("a/../../m.joblib"), b"1")], "is a path out of it"),
    "an absolute path": ([(entry("/tmp/m.joblib"), b"1")], "is a path out of it"),
    "a path of Windows": ([(entry("..\\m.joblib"), b"1")], "is a path out of it"),
    "a symbolic link": ([(entry("m.joblib", tarfile.SYMTYPE, "/etc/passwd"), b"")], "is a link"),
    "a hard link": ([(entry("m.joblib", tarfile.LNKTYPE, "model.joblib"), b"")], "is a link"),
    "a device": ([(entry("m.joblib", tarfile.CHRTYPE), b"")], "is no regular file"),
    "a pipe": ([(entry("m.joblib", tarfile.FIFOTYPE), b"")], "is no regular file"),
    "a file twice": ([(entry("a"), b"1"), (entry("./a"), b"2")], "holds 'a' twice"),
    "a file that is a folder": ([(entry("a"), b"1"), (entry("a/b"), b"2")], "holds 'a/b' twice"),
    "a long name": ([(entry("a" * 256), b"1")], "is too long a name"),
    "a deep name": ([(entry("a/" * 600 + "b"), b"1")], "is too long a name"),
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_leaves_nothing(volume: Volume, tmp_path: Path, case: str, mode: str) -> None:
    entries, words = HOSTILE[case]
    with pytest.raises(errors.ModelUnsupported, match=words):
        volume.fetch("m.tar", tarred(entries, mode))
    assert not list(volume.bundle.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "volume"]


def test_a_link_or_a_password_in_a_zip_archive_is_refused(volume: Volume) -> None:
    info = zipfile.ZipInfo("m.joblib")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(errors.ModelUnsupported, match="is a link"):
        volume.fetch("m.zip", buffer.getvalue())
    plain = bytearray(zipped({"m.joblib": b"1"}))
    plain[plain.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(errors.ModelUnsupported, match="is encrypted"):
        volume.fetch("m.zip", bytes(plain))


def test_names_in_zip_archives_do_not_lead_out(volume: Volume, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported, match="is a path out of it"):
        volume.fetch("m.zip", zipped({"../../m.joblib": b"1"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "volume"]


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip"])
def test_an_archive_that_grows_beyond_measure_is_refused(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(packed, "SMALL", 1 << 20)
    zeros = {"zeros": bytes(32 << 20)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", zeros["zeros"])
    content = tarred(zeros, "w:gz") if name == "m.tar.gz" else buffer.getvalue()
    with pytest.raises(errors.ModelUnsupported, match=r"unpacks to more than .* bytes, over 100 for each packed one"):
        volume.fetch(name, content)
    assert not list(volume.bundle.iterdir())


def test_an_archive_of_too_many_files_is_refused(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_FILES", 10)
    with pytest.raises(errors.ModelUnsupported, match="holds more than 10 files"):
        volume.fetch("m.tar", tarred({f"f{number}": b"1" for number in range(11)}))


def sparse(name: str) -> bytes:
    """GNU's header of a file of 8 GiB without a byte of content."""
    size = b"%011o\0" % (8 << 30)
    head = bytearray(entry(name, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    head[386:398], head[398:410] = size, b"%011o\0" % 0
    head[483:495] = size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@pytest.mark.parametrize("name", ["m.joblib", "model.onnx"])
def test_a_sparse_file_is_refused_in_archives_and_bundles(volume: Volume, name: str) -> None:
    manifest = tarred({"model.json": b"{}"})[:1024] if name == "model.onnx" else b""
    with pytest.raises(errors.ModelError, match=r"is (no regular file|sparse)"):
        volume.fetch("m.tar", manifest + sparse(name) + bytes(1024))
    assert not list(volume.bundle.iterdir())


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_description_that_fills_the_memory_is_refused(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    monkeypatch.setattr(archive, "MAX_READ", 1000)
    content = tarred([(entry("x", kind), b"a" * 2000), (entry("m.joblib"), b"1")], "w:gz")
    with pytest.raises(errors.ArtifactCorrupt, match="can't be unpacked: a header of it has"):
        volume.fetch("m.tgz", content)


CUT = {
    "m.tar.gz": tarred({"model.joblib": pickled(estimator())}, "w:gz"),
    "m.tar.xz": tarred({"model.joblib": pickled(estimator())}, "w:xz"),
    "m.tar": tarred({"model.joblib": pickled(estimator())}),
}


@pytest.mark.parametrize("name", CUT)
def test_an_archive_that_is_cut_off_is_told(volume: Volume, name: str) -> None:
    with pytest.raises(errors.ArtifactCorrupt, match=r"can't be unpacked: .*; pack it again"):
        volume.fetch(name, CUT[name][:900])
    assert not list(volume.bundle.iterdir())


def test_what_is_compressed_and_no_archive_is_told(volume: Volume) -> None:
    with pytest.raises(errors.FormatUnknown, match="an ONNX model, compressed; publish it as it was before"):
        volume.fetch("m.onnx.gz", gzip.compress(onnx()))
    with pytest.raises(errors.FormatUnknown, match="a compressed file without a model"):
        volume.fetch("rows.csv.gz", gzip.compress(b"a,b\n"))


def test_a_bundle_that_was_packed_anew_by_hand_is_told(volume: Volume, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(saved(tmp_path, estimator(), rows()))) as opened:
        files = {f"fraud/{each.name}": opened.extractfile(each).read() for each in opened}  # type: ignore[union-attr]
    with pytest.raises(errors.BundleInvalid, match=r"golden\.npz\); publish the \.tar that modelward\.save_bundle"):
        volume.fetch("m.tgz", tarred(files, "w:gz"))


def test_archives_are_known_by_their_content(tmp_path: Path) -> None:
    found = {}
    for name, content in {
        "gz": tarred({"a": b"1"}, "w:gz"),
        "tar": tarred({"a": b"1"}),
        "zip": zipped({"a": b"1"}),
    }.items():
        (tmp_path / name).write_bytes(content)
        found[name] = formats.looks_like(tmp_path / name)[0]
    assert found == dict.fromkeys(["gz", "tar", "zip"], formats.ARCHIVE)


LARGE = {"weights.bin": b"w" * (600 << 10), "more.bin": b"m" * (600 << 10)}
"""1.2 MB, of which no file has more than 1 MB."""


def limited(volume: Volume, name: str, content: bytes, most: int) -> None:
    (volume.files / name).write_bytes(content)
    fetch(Request(f"pvc://claim/{name}", "auto", None, "m", volume.bundle), None, Limits(most))


@pytest.mark.parametrize("name", PACKINGS)
def test_an_archive_unpacks_to_no_more_than_a_model_may_have(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """MAX_MODEL_BYTES counts once it is unpacked, too, and over all of its files."""
    monkeypatch.setattr(packed, "HEADERS", 0)
    content = PACKINGS[name]({**LARGE, "m.joblib": pickled(estimator())})
    small = 1 << 20
    with pytest.raises(errors.ArtifactTooLarge, match=r"MODELWARD_MAX_MODEL_SIZE"):
        limited(volume, name, content, small)
    (volume.files / name).write_bytes(content)
    # Also where the archive itself is as small as it may be.
    with pytest.raises(errors.ArtifactTooLarge, match=f"unpacks to more than {small} bytes"):
        packed.opened(volume.files / name, volume.bundle, name, Limits(small))
    packed.clear(volume.bundle)
    limited(volume, name, content, 2 << 20)


def test_the_headers_of_an_archive_are_no_bytes_of_the_model(volume: Volume) -> None:
    files = {f"empty-{number}": b"" for number in range(100)} | {"m.joblib": pickled(estimator())}
    content = tarred(files, "w:gz")
    most = len(files["m.joblib"]) + 1
    assert most < 50 << 10 < len(tarred(files))
    limited(volume, "m.tar.gz", content, max(most, len(content)))


def test_xgboost_s_old_binary_form_is_told_with_what_to_do(volume: Volume) -> None:
    """As SageMaker's containers before XGBoost 2.1 write it: these are the first bytes of one of 2.1.4."""
    old = b"binf\xf4\xc3\xf5>\x04" + b"\0" * 200
    with pytest.raises(errors.FormatUnknown, match=r"xgboost-model is an XGBoost model in the binary form"):
        volume.fetch("model.tar.gz", tarred({"xgboost-model": old, "code/x.py": b""}, "w:gz"))


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_a_booster_that_was_pickled_is_served_as_its_own_file_would_be(volume: Volume, kind: str) -> None:
    """As SageMaker's XGBoost 1.0 to 1.2 write it."""
    import lightgbm
    import xgboost

    booster: Any
    if kind == "xgboost":
        booster, native = xgboost.Booster(model_file=bytearray(xgboost_file())), xgboost_file()
    else:
        booster, native = lightgbm.Booster(model_str=lightgbm_file().decode()), lightgbm_file()
    found, model = volume.fetch("model.tar.gz", tarred({"xgboost-model": pickled(booster)}, "w:gz"))
    assert found.artifact_format == "sklearn"
    (volume.bundle / "model.json").unlink()
    _, same = volume.fetch("native", native)
    assert all(np.array_equal(answer, answers(same)[name]) for name, answer in answers(model).items())
