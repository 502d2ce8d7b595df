"""Bundles and arrays from whoever can write to a store: each is told of clearly, and none costs more than it weighs."""

import io
import json
import resource
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from modelward_drift.profiles import reference
from modelward_inference import errors, runtimes
from modelward_inference.artifact import archive, bundle, formats, unpacked
from modelward_inference.artifact.bundle import MAX_MANIFEST, SCHEMA_VERSION, Manifest, Signature, Tensor, signature_of
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes import skops

from .artifacts import estimator, pickled, skops_file, tar_of, zipped

OUTPUTS = [{"name": "predict", "datatype": "INT64", "shape": [-1]}]
INPUT = {"name": "input", "datatype": "FP64", "shape": [-1, 4]}
GOOD: dict[str, Any] = {
    "name": "m", "format": "sklearn", "file": "model.joblib", "digest": "", "size": 1, "uri": "", "fetched_at": "",
    "signature": {"inputs": [INPUT], "outputs": OUTPUTS}, "libraries": {}, "warnings": [], "golden_rows": 0,
    "schema_version": SCHEMA_VERSION,
}  # fmt: skip


def of(**tensor: Any) -> dict[str, Any]:
    return {"signature": {"inputs": [{**INPUT, **tensor}], "outputs": OUTPUTS}}


def refusal(**changes: Any) -> dict[str, Any]:
    return {"refusals": [{"tensor": "input", "kind": "missing", "columns": [0], "names": [], "known": [], **changes}]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a shape of texts": (of(shape=["a", 30]), "signature.inputs.0.shape.0"),
    "a shape of truth values": (of(shape=[True, 4]), "signature.inputs.0.shape.0"),
    "a shape of fractions": (of(shape=[-1, 4.5]), "signature.inputs.0.shape.1"),
    "a shape below any size": (of(shape=[-2, 4]), "signature.inputs.0.shape"),
    "a shape without dimensions": (of(shape=[]), "signature.inputs.0.shape"),
    "a shape of too many dimensions": (of(shape=[1] * 40), "signature.inputs.0.shape"),
    "a shape of 1e12 columns": (of(shape=[-1, 10**12]), "signature.inputs.0.shape"),
    "a shape that is large as a product": (of(shape=[-1, 2**20, 2**20]), "signature.inputs.0.shape"),
    "a shape beyond any integer": (of(shape=[-1, 10**30]), "signature.inputs.0.shape"),
    "a shape that is a number": (of(shape=4), "signature.inputs.0.shape"),
    "an unknown datatype": (of(datatype="FOO"), "signature.inputs.0.datatype"),
    "a datatype that is none": (of(datatype=None), "signature.inputs.0.datatype"),
    "a name that is a list": (of(name=["x"]), "signature.inputs.0.name"),
    "an empty name": (of(name=""), "signature.inputs.0.name"),
    "a name without an end": (of(name="x" * 2000), "signature.inputs.0.name"),
    "a field of a tensor that there is not": (of(size=3), "signature.inputs.0.size"),
    "no inputs": ({"signature": {"inputs": [], "outputs": OUTPUTS}}, "signature.inputs"),
    "no outputs": ({"signature": {"inputs": [INPUT], "outputs": []}}, "signature.outputs"),
    "inputs that are a text": ({"signature": {"inputs": "xy", "outputs": OUTPUTS}}, "signature.inputs"),
    "two inputs of one name": ({"signature": {"inputs": [INPUT, INPUT], "outputs": OUTPUTS}}, "signature.inputs"),
    "no signature": ({"signature": None}, "signature"),
    "golden rows that are a text": ({"golden_rows": "many"}, "golden_rows"),
    "golden rows that are a truth value": ({"golden_rows": True}, "golden_rows"),
    "golden rows below none": ({"golden_rows": -1}, "golden_rows"),
    "versions as a list": ({"trained_with": ["numpy"]}, "trained_with"),
    "a version that is a number": ({"trained_with": {"numpy": 2}}, "trained_with.numpy"),
    "classes as objects": ({"classes": [{"a": [1]}]}, "classes.0"),
    "classes in lists of lists": ({"classes": [[[1]]]}, "classes.0"),
    "a file that is a list": ({"file": ["model.joblib"]}, "file"),
    "a format that is an object": ({"format": {"a": 1}}, "format"),
    "warnings as one text": ({"warnings": "all of it"}, "warnings"),
    "another form": ({"compilation": {"form": "x", "source_format": "onnx", "reason": ""}}, "compilation.form"),
    "a form without a reason": ({"compilation": {"form": "original"}}, "compilation.source_format"),
    "joining by a word": ({"joining": {"joins": "yes", "reason": ""}}, "joining.joins"),
    "a refusal of a tensor that there is not": (refusal(tensor="x"), "refusals.0.tensor"),
    "a refusal of another kind": (refusal(kind="odd"), "refusals.0.kind"),
    "a refusal of a column that there is not": (refusal(columns=[4]), "refusals.0.columns"),
    "a refusal of a column before the first": (refusal(columns=[-1]), "refusals.0.columns"),
    "a refusal with a name too many": (refusal(names=["a", "b"]), "refusals.0.names"),
    "a refusal that knows lists": (refusal(kind="unknown", known=[["a"]]), "refusals.0.known.0"),
    "a field that there is not": ({"extra": 1}, "extra"),
    "a size below none": ({"size": -1}, "size"),
    "a size that is a fraction": ({"size": 1.5}, "size"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_a_manifest_may_not_say_is_told_with_its_field(case: str, tmp_path: Path) -> None:
    change, field = WRONG[case]
    (tmp_path / "model.json").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(errors.BundleInvalid) as caught:
        Manifest.read(tmp_path)
    assert f" {field}: " in str(caught.value)


def test_a_good_one_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({**GOOD, **refusal(names=["a"]), "classes": ["a", 1, True, None]}))
    read = Manifest.read(tmp_path)
    read.write(tmp_path)
    assert Manifest.read(tmp_path) == read
    assert read.signature.inputs == (Tensor("input", "FP64", (-1, 4)),)


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_graph_may_have_scalars(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({**GOOD, **of(shape=[]), "format": kind}))
    assert Manifest.read(tmp_path).signature.inputs == (Tensor("input", "FP64", ()),)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"null", b"{" * 100_000, b'{"a": 1', b"\xff", b" " * (MAX_MANIFEST + 1)]
)
def test_what_is_no_manifest_at_all(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(errors.BundleInvalid):
        Manifest.read(tmp_path)


def test_a_signature_of_a_person_s_file_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"signature\.inputs\.0\.datatype"):
        signature_of(of(datatype="FOO")["signature"])


@pytest.mark.parametrize("case", ["a shape of texts", "an unknown datatype", "no inputs", "a shape of 1e12 columns"])
def test_a_bundle_with_such_a_manifest_is_never_fetched(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.dumps({**GOOD, **WRONG[case][0]}).encode()
    (tmp_path / "b.tar").write_bytes(tar_of({"model.json": manifest, "model.joblib": pickled(estimator())}, "w"))
    (tmp_path / "bundle").mkdir()
    monkeypatch.setenv("PVC_MOUNT", str(tmp_path))
    with pytest.raises(errors.BundleInvalid, match=WRONG[case][1].replace(".", r"\.")):
        fetch(Request("pvc://c/b.tar", "auto", None, "m", tmp_path / "bundle"))
    assert list((tmp_path / "bundle").iterdir()) == []


def sparse(size: int) -> bytes:
    """An archive of 1 KiB whose entry model.onnx is `size` zeros, by GNU's old way of saying so."""
    entry = tarfile.TarInfo("model.onnx")
    entry.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (size, 0)  # the one piece: at the end, without bytes
    head[482:483] = b"\0"
    head[483:495] = b"%011o\0" % size
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + sum(head[156:]) + 8 * 32)
    return bytes(head) + bytes(1024)


def test_an_archive_can_not_grow_by_holes(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(sparse(1 << 32))
    with tarfile.open(tmp_path / "b.tar") as opened:
        assert [(each.issparse(), each.size) for each in opened] == [(True, 1 << 32)], "the attack is what it should be"
    with pytest.raises(errors.BundleInvalid, match=r"'model\.onnx' is sparse"):
        archive.unpack(tmp_path / "b.tar", tmp_path)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_without_an_end_is_not_read_into_memory(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("header")
    entry.type = kind
    entry.size = 1 << 30
    (tmp_path / "b.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT))
    with (tmp_path / "b.tar").open("r+b") as handle:
        handle.truncate(1 << 30)
    before = peak()
    with pytest.raises((errors.ArtifactCorrupt, errors.BundleInvalid)):
        archive.unpack(tmp_path / "b.tar", tmp_path)
    assert peak() - before < 256 << 20


def peak() -> int:
    """Bytes that the process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


ABOUT = {"origin": "training", "tolerance": {}, "inputs": [["input", "FP64"]], "expected": []}


def npz(folder: Path, about: dict[str, Any] = ABOUT, **arrays: Any) -> Path:
    np.savez_compressed(folder / golden.FILE, about=np.frombuffer(orjson.dumps(about), np.uint8), **arrays)
    return folder / golden.FILE


def test_golden_rows_that_unpack_to_much_are_not_unpacked(tmp_path: Path) -> None:
    packed = npz(tmp_path, inputs0=np.zeros((1_000_000, 60))).stat().st_size
    before = peak()
    with pytest.raises(errors.BundleInvalid, match=r"unpacks to 4800.* bytes; at most"):
        GoldenRows.read(tmp_path)
    assert packed < 1 << 20
    assert peak() - before < 64 << 20


@pytest.mark.parametrize("kind", ["FP64", "BYTES"])
def test_golden_rows_do_not_grow_by_their_type(kind: str, tmp_path: Path) -> None:
    """One byte each in the file; eight as numbers, sixty as texts."""
    npz(tmp_path, {**ABOUT, "inputs": [["input", kind]]}, inputs0=np.zeros(100 << 20, np.int8))
    with pytest.raises(errors.BundleInvalid, match="an array would have"):
        GoldenRows.read(tmp_path)


def npy(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<f8") -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": dtype, "fortran_order": False, "shape": shape})
    return target.getvalue() + content


LIES: dict[str, bytes] = {
    "more than there is": npy((10**12,)),
    "less than there is": npy((1,), bytes(80)),
    "a product beyond any integer": npy((2**62, 2**62)),
    "a negative size": npy((-1, 8), bytes(64)),
    "texts of a terabyte": npy((1,), bytes(8), f"<U{1 << 28}"),
    "a header of another version": b"\x93NUMPY\x09\x00" + bytes(100),
    "a header that is no dictionary": b"\x93NUMPY\x01\x00\x06\x00[1, 2]",
    "a header that runs code": b"\x93NUMPY\x01\x00\x16\x00__import__('os').abort()"[:32],
    "a header that is cut off": b"\x93NUMPY\x01\x00\xff\x00{",
}


@pytest.mark.parametrize("case", LIES)
def test_an_array_is_as_large_as_its_file(case: str, tmp_path: Path) -> None:
    content = zipped({"about.npy": npy((2,), b"{}", "|u1"), "inputs0.npy": LIES[case]})
    (tmp_path / golden.FILE).write_bytes(content)
    with pytest.raises(errors.BundleInvalid):
        GoldenRows.read(tmp_path)
    with pytest.raises(ValueError, match=r"."):
        unpacked.check_zip(tmp_path / golden.FILE, 1 << 30)


def test_golden_rows_that_nobody_could_read_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "MAX_BYTES", 1000)
    rows = GoldenRows({"x": np.zeros((100, 4))}, {"y": np.zeros(100)}, golden.TRAINING)
    with pytest.raises(errors.InvalidConfiguration, match=r"golden_rows=10"):
        rows.write(tmp_path)


def changed(change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(skops_file())) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    change(files)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name, content)
    return target.getvalue()


def _lie(files: dict[str, bytes]) -> None:
    files[next(name for name in files if name.endswith(".npy"))] = npy((10**12,))


SKOPS: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "an entry that unpacks to much": (lambda files: files.update(big=bytes(30 << 20)), "unpacks to"),
    "an array that says too much": (_lie, "says that it holds"),
}


@pytest.mark.parametrize("case", SKOPS)
def test_a_skops_file_costs_no_more_than_it_weighs(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skops, "MAX_UNPACKED", 1 << 20)
    change, words = SKOPS[case]
    path = tmp_path / formats.FILES[formats.SKOPS]
    path.write_bytes(changed(change))
    with pytest.raises(errors.ArtifactCorrupt, match=words):
        runtimes.load(formats.SKOPS, path)


def test_an_unchanged_skops_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / formats.FILES[formats.SKOPS]
    path.write_bytes(changed(lambda _: None))
    assert isinstance(runtimes.load(formats.SKOPS, path).signature, Signature)


def test_the_reference_has_one_name() -> None:
    assert bundle.REFERENCE == reference.FILE
