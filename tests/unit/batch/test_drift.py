"""Drift of a run's rows: the counts are those of a server's monitor, of each row once, whoever is killed."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_batch import drift, progress
from modelward_batch.accounts import Receipt
from modelward_batch.drift import TOLD, DriftFound, Pool, UnitCounter, UnitCounts
from modelward_batch.plan import Plan
from modelward_batch.planning import Sizes
from modelward_batch.progress import Told
from modelward_batch.run import POOLED, Loaded
from modelward_batch.spec import Asked
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference import make_reference
from modelward_inference.capture.wire import Batch
from modelward_monitor.counting import counter
from modelward_monitor.counting.arrivals import Arrival
from unit.inference.models import case, customers

from .worlds import Dying, Killed, World, bundle_of

BY_NAME = "columns by name"
ROWS, GROUP = 1200, 200
RULES: dict[str, Any] = {"window": {"duration": "24h", "minSamples": 300}}
SMALL = Sizes(rows=64)


def people(rows: int, seed: int) -> pd.DataFrame:
    """As in training."""
    frame, _ = customers()
    return frame.sample(rows, replace=True, random_state=seed).reset_index(drop=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that has a reference of its inputs and its answers."""
    made = bundle_of(case(BY_NAME).model, tmp_path_factory.mktemp("bundle"))
    reference = make_reference(people(5000, 0), model=case(BY_NAME).model, warn=lambda _: None)
    (made / FILE).write_text(json.dumps(reference.to_dict()))
    return made


@pytest.fixture(scope="module")
def ready(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return World(tmp_path_factory.mktemp("world"), bundle).loaded()


def reference_of(bundle: Path) -> Reference:
    return Reference.from_dict(json.loads((bundle / FILE).read_text()))


def world_of(root: Path, bundle: Path, frame: pd.DataFrame, **rules: Any) -> World:
    made = World(root, bundle, {"drift": {**RULES, **rules}}, pods=2, sizes=SMALL)
    table = pa.Table.from_pandas(frame.assign(id=range(len(frame))), preserve_index=False)
    pq.write_table(table, made.input / "a.parquet", row_group_size=GROUP)
    return made


def of_run(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.manifest_of_run()["drift"]
    assert {**json.loads((world.run_folder / "_drift.json").read_bytes()), "features": ..., "schema": ...} == {
        **found, "features": ..., "schema": ...,
    }  # fmt: skip
    return found


def pooled(world: World, reference: Reference) -> list[list[list[int]]]:
    """The counts in the run's folder, added up by hand."""
    documents = [json.loads(path.read_bytes()) for path in sorted(world.run_folder.glob("_counts/*.json"))]
    sums = [[np.zeros(len(cells), int) for cells in each] for each in documents[0]["counts"]]
    for document in documents:
        assert document["reference"] == reference.digest
        for total, each in zip(sums, document["counts"], strict=True):
            for place in (0, 1):
                total[place] += each[place]
    return [[cells.tolist() for cells in each] for each in sums]


def test_rows_as_in_training_are_no_drift(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    world = world_of(tmp_path, bundle, people(ROWS, 1))
    told = [world.run(index, load=lambda: ready) for index in (0, 1)]
    found = of_run(world)
    assert (found["verdict"], found["reason"], found["rows"], found["drifted"]) == ("NoDrift", "NoDrift", ROWS, 0)
    assert found["reference"] == reference_of(bundle).digest
    assert found["judged"] == len(reference_of(bundle).features)
    assert [each.drift for each in told] == [None, found], "the pod that ends the run tells it"


def test_what_is_missing_is_told_with_how_much_it_was(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    frame = people(ROWS, 1)
    frame.loc[: int(0.4 * ROWS), "age"] = np.nan
    world = world_of(tmp_path, bundle, frame, features={"dataQuality": {"missing": "5%"}})
    for index in (0, 1):
        world.run(index, load=lambda: ready)
    found = of_run(world)
    assert found["verdict"] == "Drifted"
    assert "40 % are missing, before 0 %" in found["message"]
    by_name = {each["name"]: each for each in found["features"]}
    assert by_name["age"]["outcome"] == by_name["quality:missing:age"]["outcome"] == "Drifted"
    assert by_name["quality:missing:age"]["cause"] == "40 % are missing, before 0 %"
    assert by_name["quality:missing:age"]["value"] == pytest.approx(0.4, abs=0.01)
    assert by_name["city"]["outcome"] == "BelowThreshold"
    assert "cause" not in by_name["city"]
    assert found["drifted"] == sum(each["outcome"] == "Drifted" for each in found["features"])


def test_labels_that_training_never_had_are_told(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    frame = people(ROWS, 1)
    frame.loc[::4, "city"] = "Lima"
    world = world_of(tmp_path, bundle, frame, features={"outputs": "Ignore"})
    for index in (0, 1):
        world.run(index, load=lambda: ready)
    found = of_run(world)
    assert found["message"].startswith("city: psi ")
    assert "25 % are new categories, which the reference does not keep" in found["message"]
    assert not any(each["name"].startswith("output:") for each in found["features"])


def test_the_counts_are_those_of_a_monitor_that_saw_the_same_rows(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    """However the rows are cut: here into six units by batches of 64, there into one batch of a server."""
    frame, reference = people(ROWS, 1), reference_of(bundle)
    frame.loc[::9, "income"] = np.nan
    world = world_of(tmp_path, bundle, frame)
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    predict = ready.model.predict

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(ready.model, name)

        def predict(self, inputs: Any, outputs: Any) -> Any:
            answers = predict(inputs, outputs)
            seen.append((dict(inputs), dict(answers)))
            return answers

    model: Any = Watched()
    watched = Loaded(ready.manifest, model, ready.reference)
    for index in (0, 1):
        world.run(index, load=lambda: watched)
    inputs, outputs = (
        {name: np.concatenate([each[side][name] for each in seen]) for name in seen[0][side]} for side in (0, 1)
    )
    arrival = Arrival(Batch("run", 1, ROWS, inputs, outputs))
    state = counter.take(counter.begin("epoch", reference), [arrival], counter.Plan())
    assert pooled(world, reference) == [[each.cells.tolist(), each.quality.tolist()] for each in state.counts]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_write_counts_each_row_once(bundle: Path, ready: Loaded, tmp_path: Path, after: bool) -> None:
    frame = people(240, 1)
    frame.loc[::3, "age"] = np.nan
    reference, at, killed = reference_of(bundle), 0, True
    wanted: Any = None
    while killed:
        world = world_of(tmp_path / str(at), bundle, frame, window={"minSamples": 100})
        world.pods, killed = 1, False
        try:
            # The first one is not killed: it says what is to come out.
            world.run(around=partial(Dying, at=at, after=after) if at else lambda output: output, load=lambda: ready)
        except Killed:
            killed = True
        told = world.run(load=lambda: ready)
        found = (pooled(world, reference), of_run(world), told.drift, told.rows)
        wanted = wanted or found
        assert found == wanted, at
        killed, at = killed or at == 0, at + 1
    assert at > 9, "plan, two units of three writes, the verdict, the manifest, and one that was not killed"


def test_a_complete_run_tells_it_again_without_its_model(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    world = world_of(tmp_path, bundle, people(ROWS, 1))
    told = [world.run(index, load=lambda: ready) for index in (0, 1)]

    def load() -> Loaded:
        raise AssertionError("nothing is left to score")

    assert world.run(0, load=load).drift == told[1].drift


def test_of_what_a_manifest_says_of_drift_texts_and_numbers_are_told(
    bundle: Path, ready: Loaded, tmp_path: Path
) -> None:
    """Whoever may write into the output may have written another one; the run is as complete."""
    world = world_of(tmp_path, bundle, people(400, 1))
    for index in (0, 1):
        world.run(index, load=lambda: ready)
    path = world.run_folder / "_manifest.json"
    document = json.loads(path.read_bytes())
    features = [{"name": f"f{number}", "cause": "DEEP"} for number in range(5000)]
    for said, wanted in (
        (
            {"verdict": "Drifted", "message": "DEEP", "features": [*features, 7]},
            {"verdict": "Drifted", "features": [{"name": f"f{number}"} for number in range(TOLD)]},
        ),
        ("DEEP", None),
    ):
        written = json.dumps({**document, "drift": said}).replace('"DEEP"', "[" * 900 + "]" * 900)
        path.write_text(written)
        told = world.run(0, load=lambda: ready)
        assert (told.complete, told.drift) == (True, wanted)
        assert len(progress.message(told, 1.0, progress.DONE).encode()) <= progress.MAX_BYTES


def test_counts_of_very_many_features_stay_within_the_memory_of_a_pod(bundle: Path) -> None:
    reference = reference_of(bundle)
    counts = UnitCounter(reference).counted(0, Plan("run", "", (), {}, Asked("", "", "", "", ""), (), ())).counts
    one = len(UnitCounts(0, "", "", 1, counts).content) / len(counts)
    assert 10_000 * one * POOLED < 64e6


@pytest.mark.parametrize("damage", ["gone", "{", "too deep", "another unit's", "fewer rows"])
def test_counts_that_are_not_whole_are_no_verdict(bundle: Path, ready: Loaded, tmp_path: Path, damage: str) -> None:
    world = world_of(tmp_path, bundle, people(ROWS, 1))
    world.run(0, load=lambda: ready)
    counts = sorted(world.run_folder.glob("_counts/*.json"))
    if damage == "gone":
        counts[0].unlink()
    elif damage == "another unit's":
        shutil.copy(counts[1], counts[0])
    else:
        document = json.loads(counts[0].read_bytes())
        fewer = json.dumps({**document, "rows": document["rows"] - 1})
        counts[0].write_text({"{": "{", "too deep": "[" * 200_000}.get(damage, fewer))
    told = world.run(1, load=lambda: ready)
    assert told.complete, "the answers are as good"
    assert (told.drift["verdict"], told.drift["reason"]) == ("Unknown", "CountsMissing")
    assert "the counts of 1 of the run's units are not in its folder" in told.drift["message"]


@pytest.mark.parametrize(
    ("rules", "reason", "words"),
    [
        ({"features": {"overrides": [{"name": "agee"}]}}, "RulesUnfit", "names agee, which the reference does not"),
        ({"features": {"overrides": [{"name": "city", "metric": "ks"}]}}, "RulesUnfit", "ks needs an order"),
        ({"features": {"default": {"metric": "magic"}}}, "RulesUnfit", "magic"),
        ({"window": {"minSamples": ROWS + 1}}, "TooFewRows", f"{ROWS} rows were answered, of {ROWS + 1}"),
        (
            {"features": {"ignore": ["age", "income", "city", "plan"], "outputs": "Ignore"}}, "NothingJudged",
            "the rules ignore all of them",
        ),
    ],
)  # fmt: skip
def test_rules_by_which_nothing_can_be_judged_are_told(
    bundle: Path, ready: Loaded, tmp_path: Path, rules: dict[str, Any], reason: str, words: str
) -> None:
    world = world_of(tmp_path, bundle, people(ROWS, 1), **rules)
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert told.complete
    assert (told.drift["verdict"], told.drift["reason"]) == ("Unknown", reason)
    assert words in told.drift["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "the model's bundle has no reference"), ("{}", "can't be used"), ("{", "can't be used")],
)
def test_a_bundle_without_a_reference_is_told_and_is_no_green(
    bundle: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    other = tmp_path / "bundle"
    shutil.copytree(bundle, other)
    (other / FILE).unlink()
    if content is not None:
        (other / FILE).write_text(content)
    world = world_of(tmp_path / "world", other, people(400, 1))
    ready = world.loaded()
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert told.complete
    assert (told.drift["verdict"], told.drift["reason"], told.drift["rows"]) == ("Unknown", "NoReference", 400)
    assert words in told.drift["message"]
    assert not (world.run_folder / "_counts").exists()


def test_a_reference_of_another_model_is_told(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "bundle"
    shutil.copytree(bundle, other)
    stranger = make_reference({"weight": np.arange(500.0), "height": np.arange(500.0)})
    (other / FILE).write_text(json.dumps(stranger.to_dict()))
    world = world_of(tmp_path / "world", other, people(400, 1))
    ready = world.loaded()
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert told.complete
    assert (told.drift["verdict"], told.drift["reason"]) == ("Unknown", "ReferenceUnfit")
    assert "knows none of the inputs" in told.drift["message"]


def test_where_nobody_asks_nothing_is_counted(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    world = world_of(tmp_path, bundle, people(400, 1))
    world.asked = {}
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert (told.complete, told.drift) == (True, None)
    assert "drift" not in world.manifest_of_run()
    assert not list(world.run_folder.rglob("_counts")) + list(world.run_folder.rglob("_drift.json"))


def test_rows_that_the_model_refuses_are_not_counted(bundle: Path, ready: Loaded, tmp_path: Path) -> None:
    """As a server's monitor does not see what is answered with 400: how many there are is told by itself."""
    frame = people(ROWS, 1)
    frame.loc[::50, "age"] = np.inf
    world = world_of(tmp_path, bundle, frame).but(maxRejectedShare=0.1)
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert world.manifest_of_run()["rejected"] == ROWS // 50
    assert (told.drift["verdict"], told.drift["rows"]) == ("NoDrift", ROWS - ROWS // 50)


def test_counts_are_of_the_rows_that_the_receipt_tells_of(bundle: Path, tmp_path: Path) -> None:
    reference = reference_of(bundle)
    counting = UnitCounter(reference)
    frame = people(50, 1)
    inputs = {name: frame[name].to_numpy().reshape(-1, 1) for name in ("age", "income", "city", "plan")}
    plan = world_of(tmp_path, bundle, people(10, 1))
    plan.run(0)
    counting.add(inputs, {}, 50)
    counting.add({}, {}, 0)
    known = Plan.parse((plan.run_folder / "_plan.json").read_bytes())
    counted = counting.counted(0, known)
    whole, short = (Receipt(0, rows, refused, 0.1, known.digest) for rows, refused in ((53, 3), (53, 2)))
    assert UnitCounts.parse(counted.content, known, whole, reference) is not None
    assert UnitCounts.parse(counted.content, known, short, reference) is None, "a row is lost, or there twice"
    assert UnitCounts.parse(None, known, whole, reference) is None


def test_a_message_has_the_worst_features_and_never_half_a_verdict() -> None:
    features = tuple(
        {"name": f"f{number}" + "ä" * 60, "metric": "psi", "value": 1.0, "outcome": "Drifted", "cause": "x" * 90}
        for number in range(40)
    )
    found = DriftFound("Drifted", "Drifted", "word " * 400, 5, "sha256:0", 40, 40, features)
    assert [len(found.told["features"]), len(json.loads(found.content)["features"])] == [TOLD, 40]
    text = progress.message(Told(1, 0, 1, True, found.told), 1.0, progress.DONE)
    assert len(text.encode()) < 4096
    told = json.loads(text)["drift"]
    assert 0 < len(told["features"]) <= TOLD
    assert told["features"] == found.told["features"][: len(told["features"])]
    long = {**found.told, "message": "x" * 9000}
    assert "drift" not in json.loads(progress.message(Told(1, 0, 1, True, long), 1.0, progress.DONE))
    again = progress.message(Told(1, 0, 1, False, found.told), 1.0, progress.AGAIN, "why")
    assert "drift" not in json.loads(again.splitlines()[-1])
    assert "drift" not in json.loads(progress.message(Told(1, 0, 1, True, "strange"), 1.0, progress.DONE))


def test_nothing_pooled_is_too_few_rows(bundle: Path) -> None:
    assert Pool(reference_of(bundle)).judged(RULES).reason == "TooFewRows"


def test_a_fault_of_the_judge_is_no_fault_of_the_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(drift, "judge", fail)
    found = Pool(reference_of(bundle)).judged(RULES)
    assert (found.verdict, found.reason) == ("Unknown", "JudgingFailed")
    assert found.message == "judging failed: OverflowError: too large"


def test_a_fault_of_counting_is_no_fault_of_the_run(
    bundle: Path, ready: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("unhashable type: 'list'")

    monkeypatch.setattr(drift, "count_table", fail)
    world = world_of(tmp_path, bundle, people(400, 1))
    for index in (0, 1):
        told = world.run(index, load=lambda: ready)
    assert told.complete
    assert (told.drift["verdict"], told.drift["reason"]) == ("Unknown", "ReferenceUnfit")
    assert "counting failed: TypeError: unhashable type" in told.drift["message"]
