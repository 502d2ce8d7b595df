"""A pod of a batch as a process: its exit code, its message, and its log."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from sklearn.linear_model import LogisticRegression

from modelward_batch import progress
from modelward_batch.__main__ import main

from .worlds import DEADLINE, World, bundle_of

LINES = Draft202012Validator(json.loads((Path(__file__).parents[3] / "docs/logs.schema.json").read_text()))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = frame(200)
    model = LogisticRegression().fit(rows[["a", "b"]], rows["a"] > 0)
    return bundle_of(model, tmp_path_factory.mktemp("bundle"))


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "id": range(rows)})


@pytest.fixture
def world(bundle: Path, tmp_path: Path) -> World:
    made = World(tmp_path, bundle, pods=2)
    pq.write_table(pa.Table.from_pandas(frame(200), preserve_index=False), made.input / "a.parquet", row_group_size=50)
    return made


def log_of(world: World, index: int = 0) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (world.root / f"log-{index}").read_text().splitlines()]
    for each in found:
        LINES.validate(each)
        assert each["component"] == "batch"
    return found


def test_pods_end_well_and_tell_what_they_did(world: World) -> None:
    assert [world.start(index).wait(DEADLINE) for index in (0, 1, 0)] == [0, 0, 0]
    first, second = world.message(0), world.message(1)
    assert second.keys() == {"rows", "rejected", "units", "seconds", "complete"}
    assert all(type(second[name]) is int for name in ("rows", "rejected", "units", "seconds"))
    assert (first["rows"], first["units"], first["complete"]) == (100, 2, True)  # of the second time
    assert (second["rows"], second["units"], second["complete"]) == (100, 2, True)
    assert "the run is complete" in log_of(world, 1)[-1]["message"]


def test_what_people_have_to_mend_is_said_in_the_message(world: World) -> None:
    world.asked["keys"] = ["customer"]
    assert world.start().wait(DEADLINE) == progress.INCURABLE
    message = world.message()
    assert message["problem"].startswith("a.parquet has no column 'customer', which keys names; it has")
    assert message["problem"].endswith("Name one of these in keys, spelled alike, or add it")
    assert (message["rows"], message["complete"]) == (0, False)
    assert log_of(world)[-1]["message"] == message["problem"]


@pytest.mark.parametrize(("settings", "words"), [
    ({"BUNDLE_DIR": "/nowhere"}, "/nowhere/model.json does not exist; `fetch` has to run before"),
    ({"MODEL_ALLOWED_FORMATS": "onnx magic"}, "MODEL_ALLOWED_FORMATS names magic"),
    ({"MODELWARD_BATCH": "{"}, "MODELWARD_BATCH is no JSON"),
    ({"ARTIFACT_DIR": "/nowhere"}, "/nowhere"),
])  # fmt: skip
def test_a_pod_that_is_set_up_wrong_says_so(world: World, settings: dict[str, str], words: str) -> None:
    assert main(["--allow", str(world.root)], {**world.environment(), **settings}) == progress.INCURABLE
    assert words in world.message()["problem"]


def test_a_pod_that_is_told_to_end_keeps_what_it_had_done_and_may_begin_again(world: World) -> None:
    rows = frame(60_000)
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), world.input / "a.parquet", row_group_size=50)
    world.pods = 1
    pod = world.start()
    end = time.monotonic() + DEADLINE
    while world.count() < 6:
        assert pod.poll() is None
        assert time.monotonic() < end
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(DEADLINE) == progress.AGAIN
    text = (world.root / "message-0").read_text().splitlines()
    assert text[0] == "the pod was told to end; what it had done is kept, and another one goes on"
    assert "problem" not in world.message()
    assert 0 < world.message()["units"] == world.message()["rows"] // 50


def test_a_store_that_is_away_may_come_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelward_batch.folders import FolderOutput

    def away(self: object, name: str) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(FolderOutput, "get", away)
    assert main(["--allow", str(world.root)], world.environment()) == progress.AGAIN
    assert "Stale file handle" in (world.root / "message-0").read_text().splitlines()[0]


@pytest.mark.parametrize(("error", "code", "words"), [
    (MemoryError(), progress.INCURABLE, "raise the memory limit"),
    (KeyError("odd"), progress.AGAIN, "KeyError: 'odd'. See the container's log"),
])  # fmt: skip
def test_what_nobody_foresaw_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    from modelward_batch.scoring import Scorer

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Scorer, "score", fail)
    assert main(["--allow", str(world.root)], world.environment()) == code
    assert words in (world.root / "message-0").read_text()


@pytest.mark.parametrize("code", [progress.DONE, progress.AGAIN, progress.INCURABLE])
@pytest.mark.parametrize("problem", ["", "x" * 10_000, "é\n" * 5_000, "\u2028" * 5000])
def test_a_message_is_within_what_the_kubelet_keeps_and_ends_with_json(code: int, problem: str) -> None:
    text = progress.message(progress.Told(7, 1, 2, True), 3.6, code, problem)
    assert len(text.encode()) < 4096
    found = json.loads(text.split("\n")[-1])
    assert (found["rows"], found["seconds"], found["complete"]) == (7, 4, True)
    assert ("problem" in found) is (code == progress.INCURABLE)
