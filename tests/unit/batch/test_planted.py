"""What somebody who writes to a run's claims plants there: no file of the pod is read by it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelward_batch.errors import FileChanged, Incurable
from modelward_batch.folders import FolderInput, FolderOutput

from .worlds import World, bundle_of

ROWS = "id,a,b\n1,0.5,0.25\n2,0.5,0.75\n"
SECRET = "id,a,b\n8,0.5,0.25\n9,0.5,0.75\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = pd.DataFrame({"a": np.linspace(-1, 1, 20), "b": np.linspace(0, 1, 20)})
    return bundle_of(LogisticRegression().fit(rows, rows["a"] > 0), tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def world(bundle: Path, tmp_path: Path) -> World:
    """A run whose plan is there, of which a second pod's part is left. `../secret.csv` is not of the input."""
    made = World(tmp_path, bundle, pods=2)
    (made.input / "rows.csv").write_text(ROWS)
    (made.root / "secret.csv").write_text(SECRET)
    os.utime(made.root / "secret.csv", ns=(0, 0))
    return made


@pytest.mark.parametrize("name", ["../secret.csv", "{root}/secret.csv", "sub/../../secret.csv", "./../secret.csv", ""])
def test_a_planted_plan_leads_out_of_no_input(world: World, name: str) -> None:
    world.run(1)
    plan = world.run_folder / "_plan.json"
    document = json.loads(plan.read_bytes())
    secret = (world.root / "secret.csv").stat()
    named = name.format(root=world.root)
    document["files"][0] |= {"name": named, "size": secret.st_size, "tag": str(secret.st_mtime_ns)}
    plan.write_text(json.dumps(document))
    with pytest.raises(Incurable, match="is no file below the input"):
        world.run(0)
    assert world.parts() == []


@pytest.mark.parametrize("unit", [{"file": -1}, {"file": 7}, {"number": -1}, {"number": "../x"}])
def test_a_planted_unit_is_none(world: World, unit: dict[str, Any]) -> None:
    world.run(1)
    plan = world.run_folder / "_plan.json"
    document = json.loads(plan.read_bytes())
    document["units"][0] |= unit
    plan.write_text(json.dumps(document))
    with pytest.raises(Incurable, match="can't be read"):
        world.run(0)


def test_a_file_that_becomes_a_link_after_the_plan_is_not_followed(world: World) -> None:
    """Of the same size and the same time, so that nothing else tells it from the file that was planned."""
    world.run(1)
    planned = (world.input / "rows.csv").stat()
    secret = world.root / "secret.csv"
    os.utime(secret, ns=(planned.st_mtime_ns, planned.st_mtime_ns))
    (world.input / "rows.csv").unlink()
    (world.input / "rows.csv").symlink_to(secret)
    with pytest.raises((Incurable, FileChanged), match="no file of its folder"):
        world.run(0)
    assert world.parts() == []


def test_a_link_in_the_place_of_a_plan_is_not_read(world: World) -> None:
    world.run_folder.mkdir(parents=True)
    (world.run_folder / "_plan.json").symlink_to("/proc/self/environ")
    with pytest.raises(Incurable, match="no file of its folder"):
        world.run(0)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    for folder in ("in", "out/r1"):
        (tmp_path / folder).mkdir(parents=True)
        os.mkfifo(tmp_path / folder / "rows.csv")
    with pytest.raises(Incurable, match="no file of its folder"):
        FolderOutput(tmp_path / "out", "r1", [tmp_path]).get("rows.csv")
    (tmp_path / "in" / "rows.csv").unlink()
    (tmp_path / "in" / "rows.csv").write_text(ROWS)
    source = FolderInput(tmp_path / "in", [tmp_path])
    (found,) = source.files()
    (tmp_path / "in" / "rows.csv").unlink()
    os.mkfifo(tmp_path / "in" / "rows.csv")
    with pytest.raises(Incurable, match="no file of its folder"):
        source.open(found)
