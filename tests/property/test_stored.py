"""What the operator stored, after anybody at all has edited it: it reads as what it was, or as nothing.

ConfigMaps and annotations have no schema, so every value in them may be of any type, missing, or nested without end.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import owner
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.api.modeldeployment import Monitor, MonitorWindow
from modelward.drift.verdicts import DRIFTED, Judged, Recent, Verdict
from modelward.facts import Arm, Match, ModelFacts, Progress, Promotion, RouteTable
from modelward.monitoring import pooling, store, windows
from modelward.monitoring.windows import WindowSettings
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.persistence.memory import DATA, load_memory, memory_manifest
from modelward.retraining.target import Answered, Ended, Memory, Rejected
from modelward.revisions import deployment
from modelward.routing.stored import dump_routes, load_routes
from nodeless.monitors import reference

REFERENCE = reference()
MODEL = Artifact("s3://models/fraud/1/fraud.tar", "sha256:1")
POLICY: DriftPolicy = parse(
    {"metadata": {"namespace": "ml", "name": "p", "uid": "p", "generation": 1}, "spec": {"target": {"name": "fraud"}}}
)
VERDICT = Verdict(
    DRIFTED, "amount drifts", "fraud-a", Judged(0.0, 3600.25, 900, "sha256:2"), 3, ("amount",),
    ({"name": "amount", "value": "0.3"},), (Recent(3600.25, ("amount",)), Recent(1800.0, ())),
)  # fmt: skip
MEMORY = Memory(
    "fraud", "t", VERDICT, 100.0, "please", 2, Answered("fraud-a", ("amount",), "fraud-0", "RolledBack"),
    (Rejected(MODEL, "too slow"),),
    Run("fraud-1", "k", "Job", "Drift", "", 5000.5, "", Artifact(""), 2, handle="/r", target="fraud", target_uid="t"),
    (Ended("fraud-0", "Drift", "then", 1, "RolledBack", 3000.0, 4000.0, "too slow"),),
)  # fmt: skip
ROUTES = RouteTable("a", (Arm("candidate", "b", 20, 5),), ("c",), (Match("x-user", "me", "b"),))
PROGRESS = Progress("b", 2, "Paused", "ByPerson", "so be it", 3, "f00")
PROMOTION = Promotion(7, 5000.5)
FACTS = ModelFacts("s3://models/fraud/1/fraud.tar", "onnx", "sha256:1", "3", {"commit": "abc"})


def watched() -> dict[str, Any]:
    """What is stored of a revision's monitors, with a window that has ended."""
    pool = pooling.opened(REFERENCE)
    book = windows.advanced(windows.opened(pool, 0.0), pool, WindowSettings(10.0, 0), "fraud-a", 20.0)
    made = owner(monitor=Monitor(window=MonitorWindow("1h", 500)))
    return store.store(made, "fraud-a", pool, {"own": book})


def monitors(key: str) -> Callable[[str], Any]:
    """Reads the ConfigMap with another text at `key`; the counts as plain values, so that they can be compared."""

    def read(text: str) -> Any:
        body = watched()
        body["data"][key] = text
        found = store.restored(body, REFERENCE)
        return found and (pooling.dump(found[0]), {name: windows.dump(book) for name, book in found[1].items()})

    return read


CASES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a policy's memory": (
        memory_manifest(POLICY, MEMORY)["data"][DATA],
        lambda text: load_memory({"data": {DATA: text}}, forgiven=False),
    ),
    "a pool of counts": (watched()["data"]["pool.json"], monitors("pool.json")),
    "a reader's windows": (watched()["data"]["window.own.json"], monitors("window.own.json")),
    "a router's routes": (dump_routes(ROUTES, "v1", PROGRESS), load_routes),
    "a promotion": (deployment.dump_promotion(PROMOTION), deployment.load_promotion),
    "a revision's model": (deployment.dump_model(FACTS), deployment.load_model),
}
WITHOUT_SUM = json.dumps(
    {name: value for name, value in json.loads(CASES["a router's routes"][0]).items() if name != "sum"}
)
"""As an operator before the sum wrote them."""
CASES["routes of an earlier operator"] = (WITHOUT_SUM, load_routes)

NASTY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just(2**70), st.just(-1),
    st.just([]), st.just({}), st.just([None]), st.just({"a": []}), st.just("Infinity"), st.just("0001-01-01"),
    st.just("9999-12-31T23:59:59-23:59"), st.just([[[[1]]]]),
)  # fmt: skip


def is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """To everything within it."""
    yield before
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from paths(each, (*before, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    made = copy.deepcopy(value)
    *way, last = path
    place = made
    for key in way:
        place = place[key]
    place[last] = new
    return made


@pytest.mark.parametrize("case", CASES)
def test_what_was_stored_is_read(case: str) -> None:
    text, read = CASES[case]
    assert read(text)


def test_they_are_what_they_were() -> None:
    assert load_memory({"data": {DATA: CASES["a policy's memory"][0]}}, forgiven=False) == MEMORY
    assert load_routes(CASES["a router's routes"][0]) == (ROUTES, "v1", PROGRESS)
    assert load_routes(WITHOUT_SUM) == (ROUTES, "v1", PROGRESS)
    assert deployment.load_promotion(CASES["a promotion"][0]) == PROMOTION
    assert deployment.load_model(CASES["a revision's model"][0]) == FACTS


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_one_value_of_another_kind_reads_as_nothing_or_as_a_value_of_its_type(case: str, data: st.DataObject) -> None:
    text, read = CASES[case]
    stored = json.loads(text)
    path = data.draw(st.sampled_from(list(paths(stored))))
    edited = json.dumps(put(stored, path, data.draw(NASTY)))
    found = read(edited)
    assert_typed(found)


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_field_of_a_later_version_changes_nothing(case: str, data: st.DataObject) -> None:
    text, read = CASES[case]
    stored = json.loads(text)
    if "sum" in stored:
        stored.pop("sum")  # it covers what a later version adds, too
    places = [
        path for path in paths(stored) if isinstance(at(stored, path), dict) and not {"features", "lineage"} & set(path)
    ]
    path = data.draw(st.sampled_from([each for each in places if each[-1:] != ("pods",)]))
    assert read(json.dumps(put(stored, (*path, "addedLater"), data.draw(NASTY.filter(is_json))))) == read(text)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "7", '"x"', "NaN", "[" * 100_000, '{"a":' * 100_000, '{"name": 1e999}', "\x00"]
)
def test_what_is_none_of_ours_reads_as_nothing(case: str, text: str) -> None:
    _, read = CASES[case]
    found = read(text)
    if case == "a reader's windows":
        assert found is None or found[1] == {}
    else:
        assert not found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def assert_typed(found: Any) -> None:
    """Of what was read, every part can be stored again: nothing of a strange type has come through."""
    match found:
        case None:
            pass
        case Memory():
            again = load_memory(memory_manifest(POLICY, replace(found, name="fraud")), forgiven=False)
            assert again is not None
        case (RouteTable() as routes, str(), progress):
            assert load_routes(dump_routes(routes, "v1", progress)) == (routes, "v1", progress)
            assert all(type(arm.weight) is int for arm in routes.arms)
        case Promotion():
            assert {type(each) for each in asdict(found).values()} <= {int, float}
        case ModelFacts():
            assert type(found.lineage) is dict
            assert {type(each) for each in asdict(replace(found, lineage="")).values()} <= {str, type(None)}
        case _:
            json.dumps(found)
