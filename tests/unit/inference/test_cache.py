"""The folder that pods share: what comes out is what was asked for, and one pod works for all."""

import errno
import os
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
from modelward_inference.fetch import bundles, cache, compiling, folders, obtain, run, source
from modelward_inference.fetch.cache import LEASE, Cache
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.serve import admission

from .artifacts import digest, estimator, onnx, pickled
from .at_once import pods_at_once
from .test_folders import FILES, Memory

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _as_a_new_process() -> None:
    cache._troubles.clear()


@pytest.fixture
def shared(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", owner="me")


def kept(shared: Cache, folder: Path, content: bytes) -> str:
    (folder / "one").write_bytes(content)
    shared.keep_file(digest(content), folder / "one")
    return digest(content)


def taken(shared: Cache, folder: Path, wanted: str, limits: Limits = DEFAULT) -> Any:
    return shared.artifact(wanted, folder / "taken", folder / "several", limits)


def entries(shared: Cache) -> list[Path]:
    return [each for kind in shared.root.iterdir() for each in kind.iterdir()]


def test_a_file_comes_back_by_its_digest_and_no_other_does(shared: Cache, tmp_path: Path) -> None:
    assert taken(shared, tmp_path, digest(b"a")) is None
    assert taken(shared, tmp_path, kept(shared, tmp_path, b"content")) == (7, None)
    assert (tmp_path / "taken").read_bytes() == b"content"
    (tmp_path / "taken").unlink()
    assert taken(shared, tmp_path, digest(b"b")) is None
    assert not (tmp_path / "taken").exists()


def test_a_folder_comes_back_by_its_digest(shared: Cache, tmp_path: Path) -> None:
    wanted, size, names = folders.bring(Memory(dict(FILES)), "u", tmp_path / "came")
    shared.keep_folder(wanted, tmp_path / "came", names)
    assert taken(shared, tmp_path, wanted) == (size, sorted(names))
    for name, content in FILES.items():
        assert (tmp_path / "several" / name).read_bytes() == content


def spoil(path: Path) -> None:
    path.write_bytes(b"something else")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SPOILT: dict[str, Callable[[Path], object]] = {
    "other bytes": spoil, "a link": link, "a pipe": pipe, "gone": lambda path: path.unlink(),
    "much more": lambda path: path.write_bytes(b"x" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
@pytest.mark.parametrize("several", [False, True])
def test_what_was_spoilt_in_the_cache_is_not_taken(case: str, several: bool, shared: Cache, tmp_path: Path) -> None:
    if several:
        wanted, _, names = folders.bring(Memory(dict(FILES)), "u", tmp_path / "came")
        shared.keep_folder(wanted, tmp_path / "came", names)
    else:
        wanted = kept(shared, tmp_path, b"content")
    SPOILT[case](next(each for each in entries(shared) if each.parent.name == "files"))
    assert taken(shared, tmp_path, wanted, Limits(size=50_000)) is None
    assert not (tmp_path / "taken").exists()
    assert not (tmp_path / "several").exists()


def test_a_list_of_a_folder_that_was_spoilt_is_not_taken(shared: Cache, tmp_path: Path) -> None:
    wanted, _, names = folders.bring(Memory(dict(FILES)), "u", tmp_path / "came")
    shared.keep_folder(wanted, tmp_path / "came", names)
    (listed,) = (shared.root / "folders").iterdir()
    listed.write_text(f"{'0' * 64}  ../../etc/passwd\n")
    assert taken(shared, tmp_path, wanted) is None


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    shared = Cache(tmp_path / "cache", most=250)
    first, second = kept(shared, tmp_path, b"1" * 100), kept(shared, tmp_path, b"2" * 100)
    for age, wanted in enumerate((second, first)):
        os.utime(shared.place("files", wanted[7:]), (1000 + age, 1000 + age))
    third = kept(shared, tmp_path, b"3" * 100)
    held = {f"sha256:{each.name}" for each in entries(shared)}
    assert held == {first, third}


def test_using_an_entry_keeps_it(tmp_path: Path) -> None:
    shared = Cache(tmp_path / "cache", most=250)
    first, second = kept(shared, tmp_path, b"1" * 100), kept(shared, tmp_path, b"2" * 100)
    for age, wanted in enumerate((first, second)):
        os.utime(shared.place("files", wanted[7:]), (1000 + age, 1000 + age))
    assert taken(shared, tmp_path, first)
    kept(shared, tmp_path, b"3" * 100)
    assert not shared.place("files", second[7:]).exists()
    assert shared.place("files", first[7:]).exists()


def test_what_nobody_finished_is_taken_away(tmp_path: Path) -> None:
    shared = Cache(tmp_path / "cache")
    kept(shared, tmp_path, b"1")
    for name in (".half", ".new"):
        (shared.root / "files" / name).write_bytes(b"x")
    os.utime(shared.root / "files" / ".half", (1000, 1000))
    shared.evict()
    assert sorted(each.name for each in entries(shared) if each.name.startswith(".")) == [".new"]


def test_a_cache_that_can_not_be_used_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("no folder")
    shared = Cache(tmp_path / "cache")
    assert taken(shared, tmp_path, kept(shared, tmp_path, b"x")) is None
    with shared.leased("x", lambda: False):
        pass
    assert "going on without it" in caplog.text


class Clock:
    """Time passes by sleeping alone. `then`: what happens at which second."""

    def __init__(self, **then: Callable[[], object]) -> None:
        self.now = 0.0
        self.then = {float(at.removeprefix("at_")): act for at, act in then.items()}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [each for each in self.then if each <= self.now]:
            self.then.pop(at)()


def test_a_pod_waits_for_the_one_that_is_at_it(shared: Cache) -> None:
    other = Cache(shared.root, owner="other")
    done: list[int] = []
    other.wait("x", lambda: bool(done))
    clock = Clock(at_20=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 20
    assert (shared.root / "leases" / "x").read_text() == "other"


def test_who_has_just_made_a_lease_and_not_signed_it_yet_is_waited_for(shared: Cache) -> None:
    lease, done = shared.root / "leases" / "x", []
    lease.parent.mkdir(parents=True)
    lease.touch()
    clock = Clock(at_5=lambda: lease.write_text("other"), at_20=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 20, "and not taken for another one, who has it by now"


def test_a_lease_that_is_given_back_is_the_next_one_s(shared: Cache) -> None:
    other = Cache(shared.root, owner="other")
    other.wait("x", lambda: False)
    clock = Clock(at_5=lambda: other.release("x"))
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert (clock.now, (shared.root / "leases" / "x").read_text()) == (5, "me")
    other.release("x")
    assert (shared.root / "leases" / "x").exists()


def test_what_one_pod_could_not_share_is_not_waited_for_again(shared: Cache) -> None:
    """A cache that is full, or too small, must not make pods work one after the other."""
    first, second = Cache(shared.root, owner="first"), Cache(shared.root, owner="second")
    first.wait("x", lambda: False)

    def given_on() -> None:
        first.release("x")
        second.wait("x", lambda: False)

    clock = Clock(at_20=given_on)
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert clock.now < 22
    assert (shared.root / "leases" / "x").read_text() == "second"
    shared.release("x")
    assert (shared.root / "leases" / "x").exists(), "it is not this one's"


def test_a_lease_that_somebody_keeps_fresh_for_ever_is_waited_for_no_longer_than_that(shared: Cache) -> None:
    (shared.root / "leases").mkdir(parents=True)
    clock = Clock()
    ticks = iter(range(1, 1 << 20))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        (shared.root / "leases" / "x").write_text("somebody")
        os.utime(shared.root / "leases" / "x", (next(ticks),) * 2)

    (shared.root / "leases" / "x").write_text("somebody")
    shared.wait("x", lambda: False, sleep, clock)
    assert cache.LONGEST < clock.now < cache.LONGEST + 2


def test_who_took_over_from_a_dead_pod_is_waited_for(shared: Cache) -> None:
    Cache(shared.root, owner="dead").wait("x", lambda: False)
    done: list[int] = []
    heir = Clock()

    def inherit() -> None:
        Cache(shared.root, owner="heir").wait("x", lambda: False, heir.sleep, heir)

    clock = Clock(at_20=inherit, at_60=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 60
    Cache(shared.root, owner="heir").release("x")
    assert not (shared.root / "leases" / "x").exists()


def test_a_pod_that_died_is_waited_for_as_long_as_a_lease_lasts_whatever_the_clocks_say(shared: Cache) -> None:
    Cache(shared.root, owner="dead").wait("x", lambda: False)
    for when in (1, 1 << 32):
        os.utime(shared.root / "leases" / "x", (when, when))
        (shared.root / "leases" / "x").write_text("dead")
        os.utime(shared.root / "leases" / "x", (when, when))
        clock = Clock()
        shared.wait("x", lambda: False, clock.sleep, clock)
        assert LEASE < clock.now <= LEASE + 1


def test_a_pod_that_starts_again_does_not_wait_for_itself(shared: Cache) -> None:
    clock = Clock()
    shared.wait("x", lambda: False, clock.sleep, clock)
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert clock.now == 0


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


@pytest.mark.parametrize("text", ["0", "-1", "10Gi", "x"])
def test_a_limit_that_can_not_be_read_is_told(text: str) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="MODELWARD_CACHE_BYTES"):
        Cache.from_environment({"MODELWARD_CACHE_DIR": "/x", "MODELWARD_CACHE_BYTES": text})


def test_a_short_key_is_none_which_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    for path in (tmp_path / "key", tmp_path / "none"):
        cache._troubles.clear()
        given = {"MODELWARD_CACHE_DIR": "/x", "MODELWARD_CACHE_KEY": str(path)}
        assert bundles.Bundles.from_environment(given) is None
        told = cache.trouble()
        assert told is not None
        assert (told["reason"], str(path) in told["message"]) == ("CacheKeyMissing", True)


FAILURES = {
    errno.ENOSPC: "CacheFull", errno.EDQUOT: "CacheFull", errno.EROFS: "CacheReadOnly",
    errno.EACCES: "CacheNotWritable", errno.ESTALE: "CacheFailed",
}  # fmt: skip


@pytest.mark.parametrize("number", FAILURES)
def test_what_went_wrong_is_told_in_one_word(number: int) -> None:
    cache.failed("written", OSError(number, "no"))
    told = cache.trouble()
    assert told is not None
    assert told["reason"] == FAILURES[number]


def test_a_full_volume_gets_room_by_what_was_used_least_recently(shared: Cache, tmp_path: Path) -> None:
    """However much it may hold: the volume is smaller, or something else has filled it."""
    names = [kept(shared, tmp_path, bytes([each]) * 100) for each in range(4)]
    for age, wanted in enumerate(names):
        os.utime(shared.place("files", wanted[7:]), (1000 + age, 1000 + age))

    def held() -> list[str]:
        return [each for each in names if shared.place("files", each[7:]).exists()]

    def act() -> None:
        if len(held()) > 2:
            raise OSError(errno.ENOSPC, "no room")

    shared.roomy(act)
    assert held() == names[2:]
    with pytest.raises(OSError, match="no"):
        shared.roomy(lambda: (_ for _ in ()).throw(OSError(errno.EROFS, "no")))
    assert held() == names[2:]


def test_what_somebody_else_has_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    shared = Cache(tmp_path / "cache", most=1)
    kept(shared, tmp_path, b"1" * 100)
    foreign = shared.root / "data" / ".hidden"
    foreign.parent.mkdir()
    foreign.write_bytes(b"x" * 100)
    os.utime(foreign, (1000, 1000))
    shared.evict()
    assert foreign.exists()


@pytest.mark.parametrize("kind", cache.KINDS)
def test_a_link_in_the_folder_has_nothing_thrown_away_or_written_elsewhere(kind: str, tmp_path: Path) -> None:
    """By whoever else can write to it: the pod's own folders are reached from there."""
    shared, own = Cache(tmp_path / "cache", most=1, owner="me"), tmp_path / "identity"
    own.mkdir()
    (own / "key").write_bytes(b"x" * 100)
    os.utime(own / "key", (1, 1))
    shared.root.mkdir()
    (shared.root / kind).symlink_to(own)
    kept(shared, tmp_path, b"1" * 100)
    with shared.leased("x", lambda: False):
        pass
    (shared.root / ("bundles" if kind != "bundles" else "files")).mkdir(exist_ok=True)
    (shared.root / ("bundles" if kind != "bundles" else "files") / "big").write_bytes(b"1" * 1000)
    shared.evict() if kind != "leases" else None
    assert [(each.name, each.read_bytes()) for each in own.iterdir()] == [("key", b"x" * 100)]


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
