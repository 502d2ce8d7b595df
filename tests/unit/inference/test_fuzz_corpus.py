"""Every parser of files against what fuzzing has found, and fresh changes that are the same on each run."""

import random
from pathlib import Path

import pytest

from fuzz.loaders import LOADERS

CORPUS = Path(__file__).parents[2] / "fuzz/corpus"
FRESH = 40
"""Changes for each parser."""


SAVED = sorted(path for path in CORPUS.glob("*/*") if path.parent.name in LOADERS)


@pytest.mark.parametrize("saved", SAVED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_before_is_told_of(saved: Path) -> None:
    LOADERS[saved.parent.name].run(saved.read_bytes())


@pytest.mark.parametrize("name", LOADERS)
def test_a_good_file_and_bad_ones_made_of_it(name: str, tmp_path: Path) -> None:
    loader = LOADERS[name]
    seed = loader.seed()
    (tmp_path / loader.name).write_bytes(seed)
    loader.read(tmp_path)  # raises nothing: the changes begin with a file that is read
    for number in range(FRESH):
        loader.run(loader.change(seed, random.Random(f"{name} {number}")))
