"""Fetching over a real HTTP server on loopback and from a volume: what goes well, and what is said when it does not."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelward_inference import errors
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.compile import build
from modelward_inference.fetch import obtain
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.fetch.sources import source
from threaded import answering

from .artifacts import digest, estimator, lightgbm_file, onnx, pickled, skops_file, xgboost_file, zipped


class Store(ThreadingHTTPServer):
    """Files by path. `faults`: answers that come first; `cut`: bytes after which the next transfer breaks off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[int] = []
        self.cut: int | None = None
        self.requests: list[str | None] = []

    def uri(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        path = self.path.lstrip("/").partition("?")[0]
        status = self.server.faults.pop(0) if self.server.faults else 200 if path in self.server.files else 404
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files[path]
        tag = f'"{digest(content)[7:20]}"'
        wanted = wanted if self.headers.get("If-Range", tag) == tag else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", tag)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(content[start : start + cut] if cut is not None else content[start:])
        self.close_connection = cut is not None

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def store() -> Iterator[Store]:
    with answering(Store()) as server:
        yield server


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BACKOFF", 0.0)


def request(
    store: Store, folder: Path, path: str, kind: str = "auto", pin: str | None = None, user: str = ""
) -> Request:
    pinned = pin or digest(store.files.get(path.partition("?")[0], b""))
    return Request(store.uri(path, user), "auto", pinned, "m", folder)


GOOD = [("m.onnx", onnx, "onnx"), ("m.joblib", lambda: pickled(estimator()), "sklearn")]


@pytest.mark.parametrize(("path", "content", "kind"), GOOD)
def test_a_good_model_becomes_a_bundle_and_a_second_run_leaves_it(
    store: Store, tmp_path: Path, path: str, content: Any, kind: str
) -> None:
    store.files[path] = content()
    manifest = fetch(request(store, tmp_path, path))
    assert manifest.artifact_format == kind
    assert manifest.signature.inputs[0].shape[-1] == 4
    assert Manifest.read(tmp_path) == manifest
    golden = ["golden.npz"] if manifest.golden_rows else []
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["model.json", manifest.file, *golden])
    assert fetch(request(store, tmp_path, path)) == manifest
    assert len(store.requests) == 1


def test_a_broken_transfer_goes_on_where_it_broke_off(store: Store, tmp_path: Path) -> None:
    store.files["m.onnx"] = onnx()
    store.cut = 100
    assert fetch(request(store, tmp_path, "m.onnx")).digest == digest(onnx())
    assert store.requests == [None, "bytes=100-"]


def test_an_overloaded_store_is_asked_again(store: Store, tmp_path: Path) -> None:
    store.files["m.onnx"] = onnx()
    store.faults = [503, 500, 429]
    assert fetch(request(store, tmp_path, "m.onnx")).format == "onnx"


BAD: dict[str, tuple[str, bytes | None, list[int], type[errors.ModelError], str]] = {
    "missing": ("m.onnx", None, [], errors.ArtifactNotFound, "check spec.model.uri"),
    "denied": ("m.onnx", b"x", [403], errors.AccessDenied, "spec.model.credentialsSecret"),
    "down": ("m.onnx", b"x", [503] * 9, errors.ArtifactUnreachable, "Check that the store runs"),
    "half an ONNX file": ("m.onnx", onnx()[: len(onnx()) // 2], [], errors.ArtifactCorrupt, "can't be loaded as ONNX"),
    "half a pickle": ("m.joblib", pickled(estimator())[:200], [], errors.ArtifactCorrupt, "loaded with joblib"),
    "empty": ("m.onnx", b"", [], errors.ArtifactCorrupt, "is empty"),
    "a web page": ("m.onnx", b"<!DOCTYPE html><html>", [], errors.FormatMismatch, "an HTML page"),
    "a Git LFS pointer": (
        "m.onnx", b"version https://git-lfs.github.com/spec/v1\n", [], errors.FormatMismatch, "a Git LFS pointer",
    ),
    "a zip archive": ("m.joblib", b"PK\x03\x04rest", [], errors.FormatMismatch, "a zip archive"),
    "a pickle called ONNX": (
        "m.onnx", pickled(estimator()), [], errors.FormatMismatch, "set spec.model.format to sklearn",
    ),
    "half a skops file": ("m.skops", skops_file()[:2000], [], errors.FormatMismatch, "cut off or damaged"),
    "skops without its files": ("m.skops", zipped({"schema.json": b"{}"}), [], errors.ArtifactCorrupt, "with skops"),
    "a foreign type in skops": (
        "m.skops", skops_file(evil=True), [], errors.ModelUnsupported, "types that are not trusted: builtins.eval",
    ),
    "half an XGBoost file": ("m.ubj", xgboost_file()[:3000], [], errors.ArtifactCorrupt, "its last bracket is missing"),
    "half an XGBoost JSON": (
        "m.json", xgboost_file("json")[:3000], [], errors.ArtifactCorrupt, "its last bracket is missing",
    ),
    "half a LightGBM file": ("m.txt", lightgbm_file()[:2000], [], errors.ArtifactCorrupt, "the file is cut off"),
    "a LightGBM file without trees": (
        "m.txt", b"tree\nversion=v4\nend of trees\n", [], errors.ArtifactCorrupt, "loaded with LightGBM",
    ),
    "TorchScript without torch": (
        "m.pt", zipped({"m/constants.pkl": b"", "m/data.pkl": b""}), [], errors.ModelUnsupported, "the extra `torch`",
    ),
    "weights without code": (
        "m.pt", zipped({"m/data.pkl": b""}), [], errors.FormatMismatch, "torch.jit.script(module).save",
    ),
    "some JSON": ("m.json", b'{"a": 1}', [], errors.FormatUnknown, "is a JSON document"),
    "no estimator": ("m.joblib", pickled({"a": 1}), [], errors.FormatMismatch, "has no predict()"),
    "maps as outputs": ("m.onnx", onnx(zipmap=True), [], errors.ModelUnsupported, "options={'zipmap': False}"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_artifact_is_told_with_cause_and_cure(store: Store, tmp_path: Path, case: str) -> None:
    path, content, store.faults, kind, words = BAD[case]
    if content is not None:
        store.files[path] = content
    with pytest.raises(kind) as caught:
        fetch(request(store, tmp_path, path))
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_another_digest_is_told_with_both(volume: Path, tmp_path: Path) -> None:
    (volume / "m.onnx").write_bytes(onnx())
    pin = "sha256:" + "0" * 64
    with pytest.raises(errors.DigestMismatch, match=f"{digest(onnx())}.*{pin}"):
        fetch(Request("pvc://claim/m.onnx", "auto", pin, "m", tmp_path))


def test_what_answers_at_a_plain_http_address_is_not_told_of(store: Store, tmp_path: Path) -> None:
    """Whoever may write a ModelDeployment could else tell documents of internal services by their digests."""
    store.files["m.onnx"] = b"internal"
    pin = "sha256:" + "0" * 64
    with pytest.raises(errors.DigestMismatch, match=pin) as caught:
        fetch(request(store, tmp_path, "m.onnx", pin=pin))
    assert digest(b"internal") not in str(caught.value)


def test_what_grants_access_is_never_repeated(store: Store, tmp_path: Path) -> None:
    with pytest.raises(errors.ArtifactNotFound) as caught:
        fetch(request(store, tmp_path, "m.onnx?token=SECRET", user="user:secret@"))
    assert "secret" not in str(caught.value).lower()


def test_plain_http_needs_a_digest(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="plain http can be tampered with"):
        fetch(Request("http://h/m.onnx", "auto", None, "m", tmp_path))


def test_nothing_of_others_is_removed_from_the_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    store.files["m.onnx"] = b"no model"
    with pytest.raises(errors.FormatMismatch):
        fetch(request(store, tmp_path, "m.onnx"))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


STAGES = {"download": (obtain, "download"), "build": (build, "build"), "manifest": (Manifest, "write")}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_told_whenever_it_fills_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, code: int
) -> None:
    def full(*_: Any) -> None:
        (tmp_path / ".artifact/.download").touch()
        raise OSError(code, "no room")

    monkeypatch.setattr(*STAGES[stage], full)
    store.files["m.onnx"] = onnx()
    with pytest.raises(errors.StorageFull, match=rf"{tmp_path}(/\.artifact)? is full; the model needs more"):
        fetch(request(store, tmp_path, "m.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_is_told() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="MODEL_OPTIMISE is 'yes'; set it to Auto or Off"):
        Request.from_environment({"MODEL_URI": "https://h/m", "MODEL_OPTIMISE": "yes"})


def test_an_unknown_scheme(tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedScheme, match="use https://, s3://, oci:// or pvc://"):
        fetch(Request("ftp://h/m.onnx", "auto", None, "m", tmp_path))


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    monkeypatch.setenv("PVC_MOUNT", str(folder))
    return folder


def from_volume(path: str, tmp_path: Path) -> Manifest:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    return fetch(Request(f"pvc://claim/{path}", "auto", None, "m", bundle))


def test_a_model_on_a_volume(volume: Path, tmp_path: Path) -> None:
    (volume / "m.onnx").write_bytes(onnx())
    assert from_volume("m.onnx", tmp_path).digest == digest(onnx())


def test_a_missing_file_on_a_volume_is_told_with_what_is_there(volume: Path, tmp_path: Path) -> None:
    (volume / "other.onnx").touch()
    with pytest.raises(errors.ArtifactNotFound, match=r"it has other\.onnx"):
        from_volume("m.onnx", tmp_path)


def test_a_link_does_not_lead_out_of_the_volume(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.onnx").write_bytes(onnx())
    (volume / "m.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(errors.InvalidConfiguration, match="leads out of the volume"):
        from_volume("m.onnx", tmp_path)


def test_an_artifact_that_was_overwritten_is_not_what_earlier_pods_serve(volume: Path, tmp_path: Path) -> None:
    (volume / "m.onnx").write_bytes(onnx())
    bundle, first = tmp_path / "pinned", "sha256:" + "0" * 64
    bundle.mkdir()
    asked = Request("pvc://claim/m.onnx", "auto", None, "m", bundle, first=first)
    for _ in range(2):
        with pytest.raises(errors.ArtifactChanged, match=f"{digest(onnx())}.*{first}.*overwritten"):
            fetch(asked)
        assert not (bundle / "model.json").exists()
        # What is there already is not kept either, unless it is what earlier pods serve.
        assert fetch(replace(asked, first=digest(onnx()))).digest == digest(onnx())
    # What the user pins is what counts.
    assert fetch(replace(asked, digest=digest(onnx()))).digest == digest(onnx())
