"""Whoever is killed, wherever: a run that is repeated has each row once, and the original library's own answers."""

import random
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier

from modelward_batch.planning import Sizes

from .worlds import DEADLINE, Dying, Killed, World, bundle_of, lost_and_doubled

NAMES = [f"c{place}" for place in range(6)]
PODS, KILLS = 3, 20


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    found = pd.DataFrame(rng.normal(size=(rows, len(NAMES))), columns=NAMES)
    return found.assign(id=np.arange(rows))


@pytest.fixture(scope="module")
def model() -> RandomForestClassifier:
    data = frame(500)
    return RandomForestClassifier(20, max_depth=6, random_state=0).fit(data[NAMES], data["c0"] + data["c1"] > 0)


@pytest.fixture(scope="module")
def bundle(model: RandomForestClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(model, tmp_path_factory.mktemp("bundle"))


def write(world: World, data: pd.DataFrame, group: int) -> None:
    """With a row in each group that the model refuses."""
    data.loc[7::group, "c3"] = 1e300
    world.asked = {"maxRejectedShare": 0.1}
    half = len(data) // 2
    for name, part in (("a", data[:half]), ("b", data[half:])):
        table = pa.Table.from_pandas(part, preserve_index=False)
        pq.write_table(table, world.input / f"{name}.parquet", row_group_size=group)


def check(world: World, data: pd.DataFrame, model: RandomForestClassifier) -> None:
    found = world.answers().to_pandas()
    refused = world.rejects()
    assert lost_and_doubled({"parts": found["id"].tolist(), "rejects": list(refused)}, data["id"].tolist()) == (0, 0)
    assert set(refused) == set(data["id"][data["c3"] == 1e300])
    good = data.set_index("id").loc[found["id"], NAMES]
    assert (found["output.predict"].to_numpy() == model.predict(good)).all()
    np.testing.assert_allclose(found["output.predict_proba[True]"], model.predict_proba(good)[:, 1], atol=1e-5)
    document = world.manifest_of_run()
    assert (document["rows"], document["rejected"]) == (len(data), len(refused))
    assert {part.name for part in world.parts()} == {each["name"] for each in document["files"]}
    assert not list(world.run_folder.rglob("*.part"))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_write_loses_and_doubles_nothing(
    bundle: Path, model: RandomForestClassifier, tmp_path: Path, after: bool
) -> None:
    """One pod of two is killed at its first write, at its second, …, and begins again; the other one does its part."""
    data = frame(240)
    model_of_run = World(tmp_path, bundle).loaded()
    at, killed = 0, True
    while killed:
        at += 1
        world = World(tmp_path / str(at), bundle, pods=2, sizes=Sizes(rows=16))
        write(world, data, 40)
        killed = False
        try:
            world.run(0, around=partial(Dying, at=at, after=after), load=lambda: model_of_run)
        except Killed:
            killed = True
        world.run(1, load=lambda: model_of_run)
        told = world.run(0, load=lambda: model_of_run)
        assert told.complete
        check(world, data, model)
    # The plan, and of three units answers, refused rows and a receipt each; another pod's is the manifest.
    assert at == 11


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_the_manifest_is_made_good_by_anybody(
    bundle: Path, model: RandomForestClassifier, tmp_path: Path, after: bool
) -> None:
    data = frame(240)
    world = World(tmp_path, bundle, pods=2, sizes=Sizes(rows=16))
    write(world, data, 40)
    world.run(0)
    with pytest.raises(Killed):
        world.run(1, around=partial(Dying, at=10, after=after))
    assert (world.run_folder / "_manifest.json").exists() is after
    assert world.run(0).complete
    check(world, data, model)


def test_twins_of_the_same_number_double_nothing(bundle: Path, model: RandomForestClassifier, tmp_path: Path) -> None:
    """As where a node is cut off: the pod on it goes on, and another one of its number begins."""
    data = frame(240)
    world = World(tmp_path, bundle, pods=1, sizes=Sizes(rows=16))
    write(world, data, 40)
    with pytest.raises(Killed):
        world.run(around=partial(Dying, at=4, after=False))
    processes = [world.start() for _ in range(2)]
    assert [process.wait(DEADLINE) for process in processes] == [0, 0]
    check(world, data, model)


@pytest.mark.timeout(900)  # twenty starts of a process, on a machine that may be busy
def test_pods_that_are_killed_at_random_twenty_times_lose_and_double_nothing(
    bundle: Path, model: RandomForestClassifier, tmp_path: Path
) -> None:
    """Processes, killed as soon as so many more files are there as chance says: in the middle of what they do."""
    data = frame(6000)
    world = World(tmp_path, bundle, pods=PODS)
    write(world, data, 50)
    chance = random.Random(3)
    end = time.monotonic() + 5 * DEADLINE
    pods = [world.start(index) for index in range(PODS)]
    try:
        for _ in range(KILLS):
            written = world.count() + chance.randrange(1, 8)
            while world.count() < written and any(pod.poll() is None for pod in pods):
                assert time.monotonic() < end
            index = chance.choice([index for index, pod in enumerate(pods) if pod.poll() is None])
            pods[index].send_signal(signal.SIGKILL)
            assert pods[index].wait() == -signal.SIGKILL, "it had ended before: give it more rows"
            pods[index] = world.start(index)
        for index, pod in enumerate(pods):
            if pod.wait(DEADLINE):
                raise AssertionError((world.root / f"log-{index}").read_text())
    finally:
        for pod in pods:
            pod.kill()
            pod.wait()
    # As the Job does: whoever ended first need not be the one that completes the run.
    assert any(world.message(index)["complete"] for index in range(PODS))
    assert sum(world.message(index)["rows"] for index in range(PODS)) == len(data)
    for path in world.run_folder.rglob(".*.part"):
        path.unlink()  # what a killed process had not finished: hidden, and no file of the run
    check(world, data, model)
