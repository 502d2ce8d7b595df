"""What a reconcile tells of: each event once, whatever comes between, and none of who may not be told of."""

import copy
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelward.kube.cache import Cache, Key
from modelward.kube.resources import DEPLOYMENTS, DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.lineage.events import Event
from modelward.reconcilers.lineage import Book, Telling
from modelward.reconcilers.modeldeployment.reconcile import Outcome

KEY, POLICY = Key("ml", "fraud"), Key("ml", "drift", "DriftPolicy")
NOW = datetime(2026, 1, 1, 2, tzinfo=UTC)
STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


class Sent:
    """Instead of an outbox."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.namespaces: list[str] = []

    def put(self, namespace: str, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            self.namespaces.append(namespace)

    def types(self) -> list[str]:
        return [each.type for each in self.events]


class World:
    """A cache, and a book about it."""

    def __init__(self, namespaces: tuple[str, ...] = ("*",)) -> None:
        self.cache = Cache()
        self.namespaces = namespaces
        self.version = 0
        self.now = NOW
        self.start_anew()

    def start_anew(self) -> None:
        """Another process, with the same cluster."""
        self.sent = Sent()
        self.book = Book(self.cache, self.sent, "prod", self.namespaces, lambda: self.now)

    def model(self, **status: Any) -> dict[str, Any]:
        self.version += 1
        metadata = {
            "namespace": "ml", "name": "fraud", "uid": "uid-1", "resourceVersion": str(self.version),
            "creationTimestamp": STARTED,
        }  # fmt: skip
        body = {"metadata": metadata, "spec": {"model": {"uri": "s3://m/7"}}, "status": copy.deepcopy(status)}
        self.cache.upsert(MODEL_DEPLOYMENTS, body)
        return body

    def promoted(self, revision: str, number: int) -> None:
        """The record of a promotion, on the revision's Deployment."""
        self.version += 1
        annotations = {"modelward.io/promoted": json.dumps({"number": number, "at": 0.0})}
        owner = {"apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "name": "fraud", "uid": "uid-1"}
        metadata = {
            "namespace": "ml", "name": revision, "uid": f"uid-{revision}", "resourceVersion": str(self.version),
            "annotations": annotations, "ownerReferences": [owner],
        }  # fmt: skip
        self.cache.upsert(DEPLOYMENTS, {"metadata": metadata})

    def run(self, name: str, phase: str, **status: Any) -> dict[str, Any]:
        self.version += 1
        owner = {"apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "name": "drift", "uid": "uid-p"}
        metadata = {
            "namespace": "ml", "name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version),
            "ownerReferences": [owner],
        }  # fmt: skip
        target = {"name": "fraud", "uid": "uid-1", "revision": "fraud-a", "model": {"uri": "s3://m/6"}}
        spec = {"target": target, "trigger": "Drift", "kind": "Job", "key": name, "requestedAt": STARTED}
        body = {"metadata": metadata, "spec": spec, "status": {"phase": phase, **status}}
        self.cache.upsert(RETRAINING_RUNS, body)
        return body


def rollout(revision: str = "fraud-b", phase: str = "Progressing", began: str = STARTED) -> dict[str, Any]:
    told = {"revision": revision, "attempt": 1, "uri": "s3://m/7", "phase": phase, "startedAt": began, "message": "x"}
    return told | ({"endedAt": ENDED} if phase in ("Promoted", "RolledBack", "Aborted") else {})


def test_each_event_is_told_once_and_a_new_process_tells_the_same() -> None:
    world = World()
    world.model(rollout=rollout())
    world.book.look(KEY)
    world.book.look(KEY)
    world.model(rollout=rollout() | {"step": 2})
    world.book.look(KEY)
    assert world.sent.types() == ["START"]
    world.model(rollout=rollout(phase="Promoted"))
    world.book.look(KEY)
    assert world.sent.types() == ["START", "COMPLETE"]
    before = [each.body() for each in world.sent.events]
    world.start_anew()
    world.book.look(KEY)
    ids = [(json.loads(each)["run"]["runId"], json.loads(each)["eventTime"]) for each in before]
    assert [(each.run, each.document["eventTime"]) for each in world.sent.events] == ids


def test_what_happened_long_ago_is_not_told_by_an_operator_that_starts() -> None:
    world = World()
    world.model(rollout=rollout(phase="Promoted"))
    world.now = NOW + timedelta(days=2)
    world.book.look(KEY)
    assert world.sent.events == []
    world.model(rollout=rollout("fraud-c", began="2026-01-03T01:00:00Z"))
    world.book.look(KEY)
    assert world.sent.types() == ["START"]


def test_a_rollout_that_another_one_replaced_has_an_end() -> None:
    world = World()
    world.model(rollout=rollout("fraud-b"))
    world.book.look(KEY)
    world.model(rollout=rollout("fraud-c", began=ENDED))
    world.book.look(KEY)
    first, end, second = world.sent.events
    assert (first.type, end.type, second.type) == ("START", "ABORT", "START")
    assert end.run == first.run != second.run
    assert "replaced" in end.document["run"]["facets"]["errorMessage"]["message"]
    world.model(stable={"revision": "fraud-a"})
    world.promoted("fraud-a", 2)
    world.book.look(KEY)
    assert world.sent.types()[3:] == ["ABORT"], "spec went back to what serves"


def test_a_model_that_is_deleted_in_a_rollout_ends_it() -> None:
    world = World()
    body = world.model(rollout=rollout())
    world.book.look(KEY)
    world.cache.remove(MODEL_DEPLOYMENTS, body)
    world.book.look(KEY)
    world.book.look(KEY)
    assert world.sent.types() == ["START", "ABORT"]
    assert "deleted" in world.sent.events[-1].document["run"]["facets"]["errorMessage"]["message"]


def test_the_first_deployment_waits_until_it_is_known_to_be_the_first() -> None:
    world = World()
    ready = [{"type": "Ready", "status": "True", "lastTransitionTime": ENDED}]
    world.model(stable={"revision": "fraud-a", "uri": "s3://m/6"})
    world.book.look(KEY)
    assert world.sent.events == []
    world.promoted("fraud-a", 1)
    world.book.look(KEY)
    world.model(stable={"revision": "fraud-a", "uri": "s3://m/6"}, conditions=ready)
    world.book.look(KEY)
    assert world.sent.types() == ["START", "COMPLETE"]
    world = World()
    world.promoted("fraud-a", 2)
    world.model(stable={"revision": "fraud-a", "uri": "s3://m/6"}, conditions=ready)
    world.book.look(KEY)
    assert world.sent.events == [], "what was promoted later is no first deployment"


def test_of_what_has_ended_no_event_is_kept_in_memory() -> None:
    world = World()
    world.model(rollout=rollout())
    world.book.look(KEY)
    assert len(world.book._open[KEY]) == 1
    world.model(rollout=rollout(phase="Promoted"))
    world.book.look(KEY)
    assert (world.book._open[KEY], len(world.book._told[KEY])) == ((), 2)


def test_a_broken_status_ends_nothing() -> None:
    world = World()
    world.model(rollout=rollout())
    world.book.look(KEY)
    world.model(rollout=rollout(began="soon"))
    world.book.look(KEY)
    world.model(rollout=rollout(phase="Promoted"))
    world.book.look(KEY)
    assert world.sent.types() == ["START", "COMPLETE"]


def test_runs_of_a_policy() -> None:
    world = World()
    world.run("one", "Running")
    gone = world.run("two", "Running")
    world.book.look(POLICY)
    world.run("one", "Promoted", finishedAt=ENDED, model={"uri": "s3://m/8"})
    world.cache.remove(RETRAINING_RUNS, gone)
    world.book.look(POLICY)
    told = [(each.type, each.document["job"]["name"]) for each in world.sent.events]
    name = "ml/fraud/retraining"
    assert told == [("START", name), ("START", name), ("ABORT", name), ("COMPLETE", name)]
    broken = world.run("three", "Running")
    world.book.look(POLICY)
    broken = {**broken, "spec": {"key": 7}, "metadata": {**broken["metadata"], "resourceVersion": "99"}}
    world.cache.upsert(RETRAINING_RUNS, broken)
    world.book.look(POLICY)
    assert world.sent.types()[4:] == ["START"], "it is there, and nobody knows how it goes"


@pytest.mark.parametrize(
    ("patterns", "told"), [(("*",), True), (("ml",), True), (("team-*", "m?"), True), (("team-*",), False), ((), False)]
)
def test_only_namespaces_that_the_installation_names_are_told_of(patterns: tuple[str, ...], told: bool) -> None:
    world = World(patterns)
    world.model(rollout=rollout())
    world.run("one", "Running")
    world.book.look(KEY)
    world.book.look(POLICY)
    assert bool(world.sent.events) is told


async def test_a_reconcile_is_told_of_before_and_after_and_never_fails_by_it() -> None:
    world = World()
    world.model(rollout=rollout("fraud-b"))

    class Inner:
        async def reconcile(self, _: Key) -> Outcome:
            world.model(rollout=rollout("fraud-c", began=ENDED))
            return Outcome(again_in=7)

        def forget(self, _: Key) -> None:
            world.version = -1

    telling = Telling(Inner(), world.book)
    assert await telling.reconcile(KEY) == Outcome(again_in=7)
    assert world.sent.types() == ["START", "ABORT", "START"], "of what this reconcile has replaced, too"
    world.sent.put = lambda *_: 1 / 0  # type: ignore[assignment, return-value]
    world.version = 10
    world.model(rollout=rollout("fraud-d"))
    assert await telling.reconcile(KEY) == Outcome(again_in=7)
    telling.forget(KEY)
    assert world.version == -1
    assert DRIFT_POLICIES.kind == POLICY.kind
