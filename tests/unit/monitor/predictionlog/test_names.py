"""Which files count, by their names alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward_monitor.predictionlog.names import File, Folder, counted, is_outcomes, split

EPOCH = "0123456789abcdef"
WHERE = "v1/namespace=ml/model=m/revision=m-a/day=2026-01-31/hour=07"


def test_a_name_and_its_inverse() -> None:
    file = File("0d9a5d0c-3ad2", EPOCH, 1, 12)
    assert file.name == f"0d9a5d0c-3ad2.{EPOCH}.00000001.00000012.parquet"
    assert split(f"{WHERE}/{file.name}") == (Folder("ml", "m", "m-a", "2026-01-31", 7), file)
    assert Folder("ml", "m", "m-a", "2026-01-31", 7).path == WHERE
    assert Folder.at("ml", "m", "m-a", 490_903) == Folder("ml", "m", "m-a", "2026-01-01", 7)


def test_outcomes_have_folders_beside_of_no_revision() -> None:
    where = "outcomes/v1/namespace=ml/model=m/day=2026-01-31/hour=07"
    folder = Folder("ml", "m", "", "2026-01-31", 7)
    assert (folder.path, Folder.of(where)) == (where, folder)
    assert Folder.of(where.replace("/day", "/revision=r/day")) is None
    assert Folder.of(WHERE.replace("revision=m-a/", "")) is None
    name = File("a", EPOCH, 1, 1).name
    assert split(f"{where}/{name}") == (folder, File("a", EPOCH, 1, 1))
    assert is_outcomes(f"{where}/{name}")
    assert is_outcomes(f"bucket/prefix/{where}/{name}")
    # What a team calls so is none, and be it the whole log.
    for other in (WHERE, "outcomes/day=2026-01-31", f"my{where}", f"outcomes/{WHERE}"):
        assert not is_outcomes(f"{other}/{name}")


@pytest.mark.parametrize(
    "path",
    [
        "x.parquet", f"pod.{EPOCH}.00000002.00000001.parquet", f".pod.{EPOCH}.00000001.00000001.parquet.12.part",
        f"pod.{EPOCH.upper()}.00000001.00000001.parquet", f"pod.{EPOCH}.1.1.parquet", "notes.txt",
    ],
)  # fmt: skip
def test_other_names_are_no_files_of_the_log(path: str) -> None:
    assert File.of(path) is None
    assert counted([f"{WHERE}/{path}"]) == []


@pytest.mark.parametrize("folder", ["hour=24", "hour=7", "day=2026-02-30/hour=07"])
def test_other_folders_are_none_either(folder: str) -> None:
    assert Folder.of(WHERE.rpartition("/")[0] + "/" + folder) is None
    assert Folder.of(WHERE.replace("day=2026-01-31/hour=07", folder)) is None


def test_others_files_and_other_hours_are_no_part_of_a_compacted_one() -> None:
    whole = File("a", EPOCH, 1, 9).name
    others = [
        f"{WHERE}/{File('b', EPOCH, 2, 2).name}", f"{WHERE}/{File('a', EPOCH[::-1], 2, 2).name}",
        f"{WHERE.replace('hour=07', 'hour=08')}/{File('a', EPOCH, 2, 2).name}",
        f"prefix/{WHERE}/{File('a', EPOCH, 2, 2).name}",
    ]  # fmt: skip
    assert counted([f"{WHERE}/{whole}", *others, f"{WHERE}/{File('a', EPOCH, 9, 9).name}"]) == sorted(
        [f"{WHERE}/{whole}", *others]
    )


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2**32)), max_size=12))
def test_each_segment_is_read_once_however_often_and_by_whom_it_was_compacted(
    segments: int, compactions: list[tuple[int, int]]
) -> None:
    """A compaction joins what counts in a listing from its first file on; members go later, or never."""
    files = {File("a", EPOCH, number, number) for number in range(1, segments + 1)}
    for upto, seed in compactions:
        chance = random.Random(seed)
        seen = sorted(File.of(name.rpartition("/")[2]) or File("", "", 0, 0) for name in counted(e.name for e in files))
        joined = seen[: upto + 1]
        if len(joined) > 1:
            files.add(File("a", EPOCH, joined[0].first, joined[-1].last))
            files -= {each for each in joined if chance.random() < 0.5}
        left = [File.of(name) for name in counted(each.name for each in files)]
        covered = sorted(number for each in left if each is not None for number in range(each.first, each.last + 1))
        assert covered == list(range(1, segments + 1))
