"""Pods that share a cache: one downloads and compiles for all, and nobody is handed what was forged."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelward_inference import cli, errors
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.receipt import CACHED, Receipt
from modelward_inference.compile import build
from modelward_inference.fetch import bundles, cache, compiling, obtain, run
from modelward_inference.fetch.sources import source
from modelward_inference.serve import admission

from .artifacts import digest, estimator, onnx, pickled
from .at_once import pods_at_once
from .test_cache import link

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _as_a_new_process() -> None:
    cache._troubles.clear()


class Pod:
    """A pod's steps: download, compile, keep-bundle. `brought`, `built`: how often something was, in all pods."""

    def __init__(self, folder: Path, name: str) -> None:
        self.artifact, self.bundle = folder / name / "artifact", folder / name / "bundle"
        for each in (self.artifact, self.bundle):
            each.mkdir(parents=True)

    def start(self, request: run.Request, optimise: str = "Auto", allowed: Any = None) -> Manifest:
        receipt = obtain.obtain(request, self.artifact, allowed)
        made = compiling.compiled(request.name, optimise, self.artifact, self.bundle, allowed)
        found = bundles.Bundles.from_environment()
        if found is not None:
            found.keep(Receipt.read(self.artifact), request.name, optimise, self.bundle)
        assert receipt == Receipt.read(self.artifact)
        manifest, _ = admission.load(self.bundle, self.artifact, allowed, 1)
        assert manifest == made
        return manifest


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A volume with a model, a cache and its key; how often a model was downloaded and compiled."""
    counts = {"downloads": 0, "compilations": 0}
    lock = threading.Lock()

    def counting(what: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(*given: Any, **more: Any) -> Any:
            with lock:
                counts[what] += 1
            return inner(*given, **more)

        return counted_call

    monkeypatch.setattr(obtain, "download", counting("downloads", source.download))
    monkeypatch.setattr(build, "build", counting("compilations", build.build))
    monkeypatch.setattr(cache, "POLL", 0.01)
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "m").write_bytes(pickled(estimator()))
    (tmp_path / "key").write_text("k" * 64)
    monkeypatch.setenv("PVC_MOUNT", str(tmp_path / "volume"))
    monkeypatch.setenv("MODELWARD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELWARD_CACHE_KEY", str(tmp_path / "key"))
    return counts


def request(tmp_path: Path, pinned: bool = True, name: str = "m", optimise: str = "Auto") -> run.Request:
    wanted = digest((tmp_path / "volume" / "m").read_bytes()) if pinned else None
    return run.Request("pvc://claim/m", "auto", wanted, name, tmp_path, optimise)


def test_a_second_pod_downloads_and_compiles_nothing(counted: dict[str, int], tmp_path: Path) -> None:
    first = Pod(tmp_path, "a").start(request(tmp_path))
    second = Pod(tmp_path, "b").start(request(tmp_path))
    assert first == second
    assert first.format == "onnx"
    assert counted == {"downloads": 1, "compilations": 1}


def test_what_is_not_pinned_is_downloaded_each_time_and_compiled_once(counted: dict[str, int], tmp_path: Path) -> None:
    Pod(tmp_path, "a").start(request(tmp_path, pinned=False))
    Pod(tmp_path, "b").start(request(tmp_path, pinned=False))
    assert counted == {"downloads": 2, "compilations": 1}
    (tmp_path / "volume" / "m").write_bytes(onnx())
    assert Pod(tmp_path, "c").start(request(tmp_path, pinned=False)).artifact_format == "onnx"
    assert counted == {"downloads": 3, "compilations": 2}


OTHERS: dict[str, dict[str, str]] = {"another name": {"name": "other"}, "as it is": {"optimise": "Off"}}


@pytest.mark.parametrize("case", OTHERS)
def test_a_bundle_of_other_settings_is_another_one(case: str, counted: dict[str, int], tmp_path: Path) -> None:
    Pod(tmp_path, "a").start(request(tmp_path))
    more = OTHERS[case]
    found = Pod(tmp_path, "b").start(request(tmp_path, **more), more.get("optimise", "Auto"))  # type: ignore[arg-type]
    assert counted == {"downloads": 1, "compilations": 2}
    assert (found.name, found.format) == (more.get("name", "m"), "sklearn" if "optimise" in more else "onnx")


def test_a_bundle_of_another_image_is_another_one(
    counted: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pod(tmp_path, "a").start(request(tmp_path))
    monkeypatch.setattr(bundles.metadata, "version", lambda _: "another")
    Pod(tmp_path, "b").start(request(tmp_path))
    assert counted == {"downloads": 1, "compilations": 2}


def rewrite(place: Path) -> None:
    """All by whoever can write to the folder and has not the key: another graph that the manifest agrees with."""
    import dataclasses
    import json

    (place / "model.onnx").write_bytes(onnx())
    manifest = Manifest.read(place)
    files = {**manifest.files, "model.onnx": digest(onnx())}
    dataclasses.replace(manifest, files=files).write(place)
    entry = json.loads((place / "entry.json").read_text())
    entry["files"] = {name: digest((place / name).read_bytes()) for name in entry["files"]}
    (place / "entry.json").write_text(json.dumps(entry))


LEADING_OUT = '{"files": {"../x": "", "model.json": ""}, "mac": ""}'


FORGED: dict[str, Callable[[Path], object]] = {
    "a graph": lambda place: (place / "model.onnx").write_bytes(onnx()),
    "all but the key": rewrite,
    "no JSON": lambda place: (place / "entry.json").write_text("{"),
    "names that lead out": lambda place: (place / "entry.json").write_text(LEADING_OUT),
    "a file is gone": lambda place: (place / "golden.npz").unlink(),
    "a link": lambda place: link(place / "model.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_bundle_is_not_taken_and_made_anew(case: str, counted: dict[str, int], tmp_path: Path) -> None:
    first = Pod(tmp_path, "a").start(request(tmp_path))
    (place,) = (tmp_path / "cache" / "bundles").iterdir()
    FORGED[case](place)
    second = Pod(tmp_path, "b").start(request(tmp_path))
    assert counted["compilations"] == 2
    assert (second.format, second.golden_rows) == (first.format, first.golden_rows)
    assert second.files["model.onnx"] != digest(onnx())


def test_an_entry_of_another_model_is_not_taken_for_this_one(counted: dict[str, int], tmp_path: Path) -> None:
    Pod(tmp_path, "a").start(request(tmp_path))
    (place,) = (tmp_path / "cache" / "bundles").iterdir()
    receipt = Receipt.read(tmp_path / "a" / "artifact")
    place.rename(place.with_name(bundles.key_of(receipt, "other", "Auto")))
    Pod(tmp_path, "b").start(request(tmp_path, name="other"))
    assert counted["compilations"] == 2


def test_a_bundle_that_is_not_what_was_downloaded_is_not_kept(counted: dict[str, int], tmp_path: Path) -> None:
    pod = Pod(tmp_path, "a")
    pod.start(request(tmp_path))
    (place,) = (tmp_path / "cache" / "bundles").iterdir()
    import dataclasses
    import shutil

    shutil.rmtree(place)
    dataclasses.replace(Manifest.read(pod.bundle), digest="sha256:" + "0" * 64).write(pod.bundle)
    found = bundles.Bundles.from_environment()
    assert found is not None
    assert not found.keep(Receipt.read(pod.artifact), "m", "Auto", pod.bundle)
    assert not list((tmp_path / "cache" / "bundles").iterdir())


def test_a_cached_pickle_still_needs_consent(counted: dict[str, int], tmp_path: Path) -> None:
    Pod(tmp_path, "a").start(request(tmp_path))
    with pytest.raises(errors.FormatNotAllowed):
        obtain.obtain(request(tmp_path), Pod(tmp_path, "b").artifact, frozenset({"onnx"}))


def test_what_the_download_noted_is_what_the_compile_step_takes(counted: dict[str, int], tmp_path: Path) -> None:
    Pod(tmp_path, "a").start(request(tmp_path))
    pod = Pod(tmp_path, "b")
    obtain.obtain(request(tmp_path), pod.artifact)
    (pod.artifact / CACHED / "model.onnx").write_bytes(onnx())
    compiling.compiled("m", "Auto", pod.artifact, pod.bundle)
    assert counted["compilations"] == 2


def test_pods_that_start_at_once_cost_one_download_and_one_compilation(counted: dict[str, int], tmp_path: Path) -> None:
    found = pods_at_once(lambda name: Pod(tmp_path, name).start(request(tmp_path)))
    assert len(found) == 10
    assert all(each == found[0] for each in found)
    assert counted == {"downloads": 1, "compilations": 1}


def test_what_can_not_be_written_to_is_read(counted: dict[str, int], tmp_path: Path) -> None:
    import shutil

    Pod(tmp_path, "a").start(request(tmp_path))
    shutil.rmtree(tmp_path / "cache" / "leases")
    (tmp_path / "cache" / "leases").write_text("no lease can be made")
    Pod(tmp_path, "b").start(request(tmp_path))
    assert counted == {"downloads": 1, "compilations": 1}


def test_unpinned_pods_of_one_revision_cost_one_download_and_one_compilation(
    counted: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWARD_CACHE_SCOPE", "uid/m-1")
    found = pods_at_once(lambda name: Pod(tmp_path, name).start(request(tmp_path, pinned=False)))
    assert len(found) == 10
    assert all(each == found[0] for each in found)
    assert counted == {"downloads": 1, "compilations": 1}


def first_of(tmp_path: Path, **changes: Any) -> str | None:
    """What a pod is told of the first one. `changes`: of what Bundles is, beside what the environment says."""
    import dataclasses

    found = bundles.Bundles.from_environment()
    assert found is not None
    told = dataclasses.replace(found, **changes)
    try:
        return told.first("pvc://claim/m")
    finally:
        told.give_up("pvc://claim/m")


NOT_TOLD: dict[str, dict[str, Any]] = {
    "another revision": {"scope": "uid/m-2"},
    "the same of another model": {"scope": "other/m-1"},
    "a quarter of an hour later": {"now": lambda: time.time() + bundles.FIRST_SECONDS + 1},
    "another key": {"secret": b"x" * 64},
}


@pytest.mark.parametrize("case", NOT_TOLD)
def test_what_the_first_pod_got_is_told_to_its_own_revision_for_a_while(
    case: str, counted: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWARD_CACHE_SCOPE", "uid/m-1")
    Pod(tmp_path, "a").start(request(tmp_path, pinned=False))
    assert first_of(tmp_path) == digest((tmp_path / "volume" / "m").read_bytes())
    assert first_of(tmp_path, **NOT_TOLD[case]) is None
    # Where its bytes are gone, the store's word counts, whatever the first pod got.
    (tmp_path / "volume" / "m").write_bytes(onnx())
    for each in (tmp_path / "cache" / "files").iterdir():
        each.unlink()
    assert Pod(tmp_path, "b").start(request(tmp_path, pinned=False)).artifact_format == "onnx"


def test_who_fails_as_the_first_lets_another_one_be_it(
    counted: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWARD_CACHE_SCOPE", "uid/m-1")
    content = (tmp_path / "volume" / "m").read_bytes()
    (tmp_path / "volume" / "m").unlink()
    with pytest.raises(errors.ArtifactNotFound):
        obtain.obtain(request_of(tmp_path), Pod(tmp_path, "a").artifact)
    assert not list((tmp_path / "cache" / "leases").iterdir())
    (tmp_path / "volume" / "m").write_bytes(content)
    Pod(tmp_path, "b").start(request(tmp_path, pinned=False))


def request_of(tmp_path: Path) -> run.Request:
    return run.Request("pvc://claim/m", "auto", None, "m", tmp_path)


def test_a_digest_that_is_a_path_leads_nowhere(counted: dict[str, int], tmp_path: Path) -> None:
    wanted = run.Request("pvc://claim/m", "auto", "sha256:../../../x", "m", tmp_path)
    with pytest.raises(errors.DigestMismatch):
        obtain.obtain(wanted, Pod(tmp_path, "a").artifact)
    assert not (tmp_path / "cache").exists()


def test_keeping_a_bundle_never_stops_a_pod(
    counted: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cli.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setattr(cli.cpu, "limit_library_threads", lambda *_: 1)
    monkeypatch.setenv("ARTIFACT_DIR", str(tmp_path / "none"))
    assert cli.main(["keep-bundle"]) == 0
    monkeypatch.setenv("MODELWARD_CACHE_KEY", str(tmp_path / "none"))
    assert cli.main(["keep-bundle"]) == 0
    told = caplog.text
    assert "`download` has to run first" in told
    assert "MODELWARD_CACHE_KEY names" in told
