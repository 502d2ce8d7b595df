"""The folder that pods share: what comes out is what was asked for, and it keeps to itself."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelward_inference import errors
from modelward_inference.fetch import bundles, cache
from modelward_inference.fetch.cache import Cache
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources import folders

from .artifacts import digest
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
