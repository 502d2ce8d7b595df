"""Folders as artifacts: their digest, their limits, names that lead elsewhere, and folders that do not keep still."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelward_inference import errors
from modelward_inference.fetch import obtain, run
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources import folders, pvc
from modelward_inference.fetch.sources.source import Entry, Folder, FolderChanged, Part, Source, TransientError

from .artifacts import onnx, tar_of

pytestmark = pytest.mark.unit


@dataclass
class Memory:
    """A folder of bytes. `before`: what is done when a file is opened, by how many were before."""

    files: dict[str, bytes]
    before: dict[int, Callable[[dict[str, bytes]], object]] = field(default_factory=dict)
    opened: int = 0
    faults: int = 0

    def entries(self) -> list[Entry]:
        if self.faults:
            self.faults -= 1
            raise TransientError("the store answers SlowDown")
        return [Entry(name, len(content), str(hash(content))) for name, content in self.files.items()]

    def file(self, entry: Entry) -> Source:
        return _File(self, entry.name)


@dataclass
class _File:
    folder: Memory
    name: str

    def open(self, offset: int) -> Part:
        act = self.folder.before.get(self.folder.opened)
        self.folder.opened += 1
        if act is not None:
            act(self.folder.files)
        if self.name not in self.folder.files:
            raise FolderChanged(f"{self.name} went")
        content = self.folder.files[self.name]
        return Part(offset, len(content), iter([content[offset:]]))


def brought(folder: Folder, target: Path, limits: Limits = DEFAULT) -> tuple[str, int, list[str]]:
    return folders.bring(folder, "u", target / "came", limits, sleep=lambda _: None)


FILES = {"b": b"2", "a/z": b"1", "a.txt": b"", "a/ü b": b"3", "Z": b"4"}


def test_the_digest_is_what_sha256sum_gives(tmp_path: Path) -> None:
    digest, size, names = brought(Memory(dict(FILES)), tmp_path)
    told = subprocess.run(
        "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum",
        shell=True, cwd=tmp_path / "came", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert digest == f"sha256:{told.split()[0]}"
    assert (size, sorted(names)) == (4, sorted(FILES))
    assert {name: (tmp_path / "came" / name).read_bytes() for name in FILES} == FILES


def test_the_order_of_the_list_makes_no_difference_and_names_do(tmp_path: Path) -> None:
    one, other = {"a": "sha256:1", "b": "sha256:2"}, {"b": "sha256:2", "a": "sha256:1"}
    assert folders.digest_of(one) == folders.digest_of(other)
    assert folders.digest_of(one) != folders.digest_of({"a": "sha256:2", "b": "sha256:1"})


def test_a_store_that_is_overloaded_is_asked_for_the_list_again(tmp_path: Path) -> None:
    assert brought(Memory(dict(FILES), faults=3), tmp_path)[1] == 4


CHANGES: dict[str, Callable[[dict[str, bytes]], object]] = {
    "a file grows": lambda files: files.update(b=b"longer"),
    "a file of the same size": lambda files: files.update(b=b"9"),
    "a file that was read already": lambda files: files.update({"Z": b"9"}),
    "a file comes": lambda files: files.update(new=b"9"),
    "a file goes": lambda files: files.pop("b"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_folder_that_changes_while_it_is_read_is_read_again_as_one(case: str, tmp_path: Path) -> None:
    changing = Memory(dict(FILES), {3: CHANGES[case]})
    digest, _, names = brought(changing, tmp_path)
    (tmp_path / "after").mkdir()
    assert digest == brought(Memory(changing.files), tmp_path / "after")[0]
    assert sorted(names) == sorted(changing.files)
    assert {str(each.relative_to(tmp_path / "came")) for each in (tmp_path / "came").rglob("*") if each.is_file()} == {
        *changing.files
    }


def test_a_folder_that_never_keeps_still_is_refused_with_what_changed(tmp_path: Path) -> None:
    def grow(files: dict[str, bytes]) -> None:
        files["b"] += b"."

    changing = Memory(dict(FILES), dict.fromkeys(range(100), grow))
    with pytest.raises(errors.ArtifactChanged, match=r"u changes while it is read: b .*address of its own"):
        brought(changing, tmp_path)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a\\b", "a\nb", "C:x", "", ".", "a//b", "./a", "a/./b", "x" * 300, "a\0b"]
)
def test_names_that_lead_elsewhere_or_are_no_plain_ones_end_the_whole(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported):
        brought(Memory({"model.onnx": b"x", name: b"x"}), tmp_path)
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a/b/c")])
def test_a_file_and_a_folder_of_one_name_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported, match="a file and a folder of one name"):
        brought(Memory(dict.fromkeys(names, b"x")), tmp_path)


def test_the_limit_of_bytes_is_that_of_all_files_together(tmp_path: Path) -> None:
    folder = Memory({"a": b"x" * 60, "b": b"x" * 60})
    with pytest.raises(errors.ArtifactTooLarge, match=r"u has 120 bytes in 2 files; at most 100"):
        brought(folder, tmp_path, Limits(size=100))
    assert folder.opened == 0
    assert brought(folder, tmp_path, Limits(size=120))[1] == 120


def test_files_of_unknown_size_are_cut_at_the_limit_of_all(tmp_path: Path) -> None:
    class Silent(Memory):
        def entries(self) -> list[Entry]:
            return [Entry(entry.name, None) for entry in super().entries()]

    with pytest.raises(errors.ArtifactTooLarge):
        brought(Silent({"a": b"x" * 60, "b": b"x" * 60}), tmp_path, Limits(size=100))


def test_too_many_files_are_refused_before_one_is_read(tmp_path: Path) -> None:
    folder = Memory({str(each): b"" for each in range(10_001)})
    with pytest.raises(errors.ModelUnsupported, match="more than 10000 files"):
        brought(folder, tmp_path)
    assert folder.opened == 0


def test_all_files_share_the_time_that_a_download_may_take(tmp_path: Path) -> None:
    ticks = iter(range(10_000))
    with pytest.raises(errors.ArtifactUnreachable, match="no more time is given"):
        folders.bring(
            Memory({str(each): b"x" for each in range(50)}), "u", tmp_path / "came", Limits(seconds=20.0),
            sleep=lambda _: None, clock=lambda: float(next(ticks)),
        )  # fmt: skip


def test_an_empty_folder_holds_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(errors.ArtifactNotFound, match="u is an empty folder"):
        brought(Memory({}), tmp_path)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    volume = tmp_path / "volume"
    volume.mkdir()
    monkeypatch.setenv("PVC_MOUNT", str(volume))
    return volume


def got(uri: str, tmp_path: Path) -> obtain.Receipt:
    (tmp_path / "artifact").mkdir(exist_ok=True)
    return obtain.obtain(run.Request(uri, "auto", None, "m", tmp_path), tmp_path / "artifact")


@pytest.mark.parametrize("uri", ["pvc://claim/models/1", "pvc://claim/models/1/"])
def test_a_folder_of_a_volume_is_an_artifact(uri: str, mount: Path, tmp_path: Path) -> None:
    folder = mount / "models" / "1"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "model.onnx").write_bytes(onnx())
    (folder / "README.md").write_text("a model")
    (folder / "._model.onnx").write_bytes(onnx())
    receipt = got(uri, tmp_path)
    assert (receipt.format, receipt.size) == ("onnx", 2 * len(onnx()) + 7)
    assert sorted(each.name for each in (tmp_path / "artifact").iterdir()) == ["download.json", "model.onnx"]
    assert got(uri, tmp_path) == receipt


def test_links_of_a_volume_are_followed_to_its_files_and_nowhere_else(mount: Path, tmp_path: Path) -> None:
    (mount / "real.onnx").write_bytes(onnx())
    (mount / "m").mkdir()
    (mount / "m" / "model.onnx").symlink_to(mount / "real.onnx")
    assert got("pvc://claim/m", tmp_path).format == "onnx"
    (tmp_path / "secret").write_text("of the pod")
    (mount / "m" / "more").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.ModelUnsupported, match="'more' is no regular file of the volume"):
        brought(pvc.PvcFolder("pvc://claim/m", mount / "m", mount), tmp_path)
    (mount / "m" / "more").unlink()
    (mount / "m" / "more").symlink_to(mount)
    with pytest.raises(errors.ModelUnsupported, match="'more' is no regular file of the volume"):
        brought(pvc.PvcFolder("pvc://claim/m", mount / "m", mount), tmp_path)


def test_links_of_a_volume_that_lead_nowhere_are_told(mount: Path, tmp_path: Path) -> None:
    (mount / "m").mkdir()
    (mount / "m" / "a").symlink_to("b")
    (mount / "m" / "b").symlink_to("a")
    for uri in ("pvc://claim/m", "pvc://claim/m/a"):
        with pytest.raises(errors.InvalidConfiguration, match="a link that leads back to itself"):
            got(uri, tmp_path)
    (mount / "m" / "a").unlink()
    (mount / "m" / "b").unlink()
    (mount / "m" / "model.onnx").write_bytes(onnx())
    (mount / "m" / "below").symlink_to("model.onnx/x")
    with pytest.raises(errors.ArtifactUnreachable, match="below is not there"):
        brought(pvc.PvcFolder("pvc://claim/m", mount / "m", mount), tmp_path)


def test_a_folder_without_a_model_says_what_it_holds(mount: Path, tmp_path: Path) -> None:
    (mount / "out").mkdir()
    (mount / "out" / "model.tar.gz").write_bytes(tar_of({"model.onnx": onnx()}))
    (mount / "out" / "log.txt").write_text("x")
    with pytest.raises(
        errors.FormatUnknown, match=r"log\.txt, model\.tar\.gz\. Name model\.tar\.gz in spec\.model\.uri"
    ):
        got("pvc://claim/out", tmp_path)
    assert list((tmp_path / "artifact").iterdir()) == []


@pytest.mark.parametrize("uri", ["gs://b/m", "abfss://c@a.dfs.core.windows.net/m", "azure://c/m"])
def test_other_clouds_are_told_by_which_way_they_are_read(uri: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedScheme, match=r"storage\.googleapis\.com|Blob CSI driver"):
        got(uri, tmp_path)
