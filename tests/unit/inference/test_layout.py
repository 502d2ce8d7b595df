"""Files for another server: laid out where it looks, whole or not at all, and by nobody's word but a person's."""

import json
from pathlib import Path

import pytest

from modelward_inference import cli, errors
from modelward_inference.fetch.layout import Layout, obtained
from modelward_inference.fetch.limits import Limits
from modelward_inference.fetch.run import Request
from modelward_inference.fetch.sources import source

from .artifacts import digest, tar_of, zipped

TRITON = Layout("fraud/1", "model.*", "config.pbtxt", "fraud")
FILES = frozenset({"files"})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BACKOFF", 0.0)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The claim that pvc:// addresses lead to."""
    folder = tmp_path / "claim"
    folder.mkdir()
    monkeypatch.setenv("PVC_MOUNT", str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return folder


def asked(path: str, target: Path, pin: str | None = None) -> Request:
    return Request(f"pvc://models/{path}", "auto", pin, "fraud", target)


def laid(target: Path) -> dict[str, bytes]:
    """All that lies there, by its path."""
    return {str(each.relative_to(target)): each.read_bytes() for each in target.rglob("*") if each.is_file()}


def test_a_file_gets_the_name_that_the_server_looks_for(volume: Path, target: Path) -> None:
    (volume / "fraud-3.onnx").write_bytes(b"anything")
    receipt = obtained(asked("fraud-3.onnx", target), TRITON, target, FILES)
    assert laid(target) == {"models/fraud/1/model.onnx": b"anything"}
    assert (receipt.digest, receipt.size, receipt.format) == (digest(b"anything"), 8, "files")


def test_another_server_reads_it_whoever_it_runs_as(volume: Path, target: Path) -> None:
    (volume / "a.onnx").write_bytes(b"anything")
    obtained(asked("a.onnx", target), TRITON, target, FILES)
    for path in (target / "models").rglob("*"):
        assert path.stat().st_mode & 0o004, path
        assert path.is_file() or path.stat().st_mode & 0o001, path


ARCHIVES = {"m.tar.gz": tar_of, "m.tgz": tar_of, "m.tar": lambda files: tar_of(files, "w"), "m.zip": zipped}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_unpacked_by_the_end_of_its_name(volume: Path, target: Path, name: str) -> None:
    (volume / name).write_bytes(ARCHIVES[name]({"repo/config.pbtxt": b"c", "repo/1/model.onnx": b"m"}))
    obtained(asked(name, target), TRITON, target, FILES)
    assert laid(target) == {"models/fraud/config.pbtxt": b"c", "models/fraud/1/model.onnx": b"m"}


@pytest.mark.parametrize("name", ["fraud.mar", "fraud.keras", "fraud"])
def test_what_is_an_archive_and_a_model_stays_one(volume: Path, target: Path, name: str) -> None:
    packed = zipped({"MAR-INF/MANIFEST.json": b"{}"})
    (volume / name).write_bytes(packed)
    obtained(asked(name, target), Layout("fraud", "fraud.mar"), target, FILES)
    assert laid(target) == {"models/fraud/fraud.mar": packed}


def test_a_folder_is_laid_out_with_what_is_below_it(volume: Path, target: Path) -> None:
    for name in ("saved_model.pb", "variables/variables.index"):
        (volume / "saved" / name).parent.mkdir(parents=True, exist_ok=True)
        (volume / "saved" / name).write_bytes(name.encode())
    obtained(asked("saved", target), Layout("fraud/1"), target, FILES)
    assert sorted(laid(target)) == ["models/fraud/1/saved_model.pb", "models/fraud/1/variables/variables.index"]


def test_a_second_run_leaves_nothing_of_the_first(volume: Path, target: Path) -> None:
    (volume / "m.tar").write_bytes(tar_of({"old.bin": b"o", "model.onnx": b"1"}, "w"))
    obtained(asked("m.tar", target), TRITON, target, FILES)
    (volume / "m.tar").write_bytes(tar_of({"model.onnx": b"2"}, "w"))
    obtained(asked("m.tar", target), TRITON, target, FILES)
    assert laid(target) == {"models/fraud/1/model.onnx": b"2"}


def test_nobody_vouches_for_it(volume: Path, target: Path) -> None:
    (volume / "a.onnx").write_bytes(b"anything")
    with pytest.raises(errors.FormatNotAllowed) as refused:
        obtained(asked("a.onnx", target), TRITON, target, frozenset({"onnx", "sklearn"}))
    assert digest(b"anything") in str(refused.value)
    assert "modelward.io/allowed-formats=files" in str(refused.value)
    assert laid(target) == {}


BAD = {
    "empty.onnx": (b"", errors.ArtifactCorrupt, "is empty; upload"),
    "page.onnx": (b"<!DOCTYPE html><p>log in", errors.ArtifactCorrupt, "an HTML page"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1", errors.ArtifactCorrupt, "a Git LFS pointer"),
    "out.tar": (tar_of({"../x": b"x"}, "w"), errors.ModelUnsupported, "a path out of it"),
    "broken.zip": (zipped({"a": b"a" * 100})[:60], errors.ArtifactCorrupt, "zip archive that is cut off"),
    "twice.tar": (tar_of({"a": b"1", "./a": b"2"}, "w"), errors.ModelUnsupported, "twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_artifact_leaves_nothing_and_says_why(volume: Path, target: Path, name: str) -> None:
    content, error, words = BAD[name]
    (volume / name).write_bytes(content)
    with pytest.raises(error) as refused:
        obtained(asked(name, target), TRITON, target, FILES)
    assert words in str(refused.value)
    assert laid(target) == {}


def test_digests_and_sizes_hold_as_for_our_own_server(volume: Path, target: Path) -> None:
    (volume / "a.onnx").write_bytes(b"anything")
    with pytest.raises(errors.DigestMismatch):
        obtained(asked("a.onnx", target, "sha256:" + "0" * 64), TRITON, target, FILES)
    with pytest.raises(errors.ArtifactTooLarge):
        obtained(asked("a.onnx", target), TRITON, target, FILES, Limits(size=4))
    with pytest.raises(errors.ArtifactNotFound):
        obtained(asked("b.onnx", target), TRITON, target, FILES)
    assert laid(target) == {}


PLACES = [
    (["a.bin"], {"a.bin": "fraud/1/model.bin"}),
    (["noend"], {"noend": "fraud/1/model"}),
    (["top/a.bin"], {"top/a.bin": "fraud/1/model.bin"}),
    (["top/a", "top/b"], {"top/a": "fraud/1/a", "top/b": "fraud/1/b"}),
    (["a/x", "b/y"], {"a/x": "fraud/1/a/x", "b/y": "fraud/1/b/y"}),
    (["model.savedmodel/x", "model.savedmodel/y"],
     {"model.savedmodel/x": "fraud/1/model.savedmodel/x", "model.savedmodel/y": "fraud/1/model.savedmodel/y"}),
    (["r/config.pbtxt", "r/1/m"], {"r/config.pbtxt": "fraud/config.pbtxt", "r/1/m": "fraud/1/m"}),
]  # fmt: skip


@pytest.mark.parametrize(("names", "places"), PLACES)
def test_places(names: list[str], places: dict[str, str]) -> None:
    assert TRITON.places(names) == places


@pytest.mark.parametrize("text", ["{", "[]", '{"folder": "../x"}', '{"folder": "/x"}', '{"folder": 1}', "{}"])
def test_a_layout_that_leads_elsewhere_is_none(text: str) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="MODEL_LAYOUT can't be read"):
        Layout.from_environment({"MODEL_LAYOUT": text})


def test_the_download_lays_out_and_reports(
    volume: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (volume / "a.onnx").write_bytes(b"anything")
    told = {
        "MODEL_URI": "pvc://models/a.onnx", "MODEL_NAME": "fraud", "ARTIFACT_DIR": str(target),
        "MODEL_ALLOWED_FORMATS": "files", "TERMINATION_LOG": str(tmp_path / "log"),
        "MODEL_LAYOUT": json.dumps({"folder": "fraud/1", "file": "model.*"}),
    }  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["download"]) == 0
    assert laid(target) == {"models/fraud/1/model.onnx": b"anything"}
    report = json.loads((tmp_path / "log").read_text())
    assert (report["format"], report["digest"]) == ("files", digest(b"anything"))
