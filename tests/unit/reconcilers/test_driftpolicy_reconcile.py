"""The policy's reconcile around a trigger that is no Job: what is told to the other side, and when."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from modelward import telemetry
from modelward.api import driftpolicy, names
from modelward.kube.client import ApiError
from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.quality.parity_found import ParityFound, ParityKept
from modelward.quality.parity_job import parity_basis
from modelward.reconcilers.driftpolicy.elsewhere import STOP_WITHIN
from modelward.reconcilers.driftpolicy.reconcile import RESULTS
from modelward.retraining.lifecycle.run import ASKED, BROKE, SUCCEEDED, WAITS, WORKING, Outcome
from modelward.retraining.persistence.going import read_going
from modelward.retraining.triggers.trigger import Order
from property.retraining_world import BY_WEBHOOK, RETRAIN, World


class OtherSystem:
    """A webhook's other side; in memory, since tests/unit/retraining/test_triggers_webhook.py has the real one."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str | None]] = []
        self.at_start: Callable[[], None] = lambda: None
        self.goes = Outcome(WORKING)
        self.answers_stop: Outcome | None = Outcome(SUCCEEDED)

    async def start(self, _order: Order) -> Outcome:
        self.at_start()
        return Outcome(WORKING, handle="https://ci/runs/7")

    async def poll(self, _order: Order) -> Outcome:
        return self.goes

    async def cancel(self, order: Order) -> Outcome | None:
        self.cancelled.append((order.run.name, order.run.handle))
        return self.answers_stop


def by_webhook() -> tuple[World, OtherSystem]:
    world, other = World(), OtherSystem()
    webhook = {"url": "https://ci/retrain", "secretRef": {"name": "key"}}
    world.edit("drift", retrain={"cooldown": "1h", "webhook": webhook})
    world.edit("nightly", suspend=True)
    world.operator._triggers["Webhook"] = other
    return world, other


def followed_by_another(world: World) -> OtherSystem:
    """An operator that remembers nothing; what the other system hears of it."""
    world.take_over()
    other = OtherSystem()
    world.operator._triggers["Webhook"] = other
    return other


def its_traces_go(world: World) -> None:
    """All that a policy's run is recorded in, but the policy itself and what the operator remembers."""
    for resource in (RETRAINING_RUNS, CONFIG_MAPS):
        for each in list(world.store[resource]):
            world.remove(resource, each)


def started(world: World) -> str:
    world.request("drift", "please")
    world.settle()
    (run,) = world.active()
    assert run["status"]["phase"] == "Running"
    return str(run["metadata"]["name"])


def test_deleting_a_run_cancels_it_elsewhere_once() -> None:
    world, other = by_webhook()
    name = started(world)
    world.remove(RETRAINING_RUNS, name)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert (world.active(), world.memories()["drift"]["runs"][0]["result"]) == ([], "Deleted")


def test_metrics_tell_of_no_target_that_is_gone_and_of_no_policy() -> None:
    def failed() -> float | None:
        labels = {"namespace": "ml", "policy": "nightly", "result": "Failed"}
        return REGISTRY.get_sample_value("modelward_retraining_runs_total", labels)

    world, _ = by_webhook()
    telemetry.forget_policy("ml", "nightly", RESULTS)
    world.settle()
    assert failed() == 0.0, "shown before one fails"
    world.end_window(drifts=True)
    world.settle()
    assert {name: [each.model for each in told] for (_, name), told in world.operator.shown().items()} == {
        "drift": ["fraud"], "nightly": ["fraud"],
    }  # fmt: skip
    world.remove(MODEL_DEPLOYMENTS, "fraud")
    world.remove(DRIFT_POLICIES, "nightly")
    world.settle()
    world.reconcile("nightly")
    assert (world.operator.shown(), failed()) == ({("ml", "drift"): ()}, None)


def test_metrics_tell_nothing_of_what_spec_parity_asked_for_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Jobs that compare are tests/unit/reconcilers/test_evaluations.py's; here is what the last one said."""
    world, _ = by_webhook()
    asked: dict[str, Any] = {"features": {"uri": "s3://lake/f", "time": "since"}}
    world.edit("drift", parity=asked)
    spec = driftpolicy.parse(world.store[DRIFT_POLICIES]["drift"]).spec
    kept = ParityKept(basis=parity_basis(spec), found=ParityFound("r1", 1, {}, 1, 0, ()))

    async def step(*_: object) -> tuple[ParityKept, None]:
        return kept, None

    monkeypatch.setattr(world.operator._parity, "step", step)

    def told() -> list[ParityKept | None]:
        return [each.parity for each in world.operator.shown()["ml", "drift"]]

    world.settle()
    assert told() == [kept]
    world.edit("drift", parity={**asked, "threshold": "0.3"})
    world.settle()
    assert told() == [None]


def finalizers(world: World) -> list[str]:
    return list(world.store[DRIFT_POLICIES]["drift"]["metadata"].get("finalizers") or ())


def test_a_policy_is_held_only_while_a_run_of_it_is_under_way_elsewhere() -> None:
    world, other = by_webhook()
    world.settle()
    assert finalizers(world) == []
    body = world.store[DRIFT_POLICIES]["drift"]
    world._put(DRIFT_POLICIES, "drift", {**body, "metadata": {**body["metadata"], "finalizers": ["theirs"]}})
    held_at_start: list[list[str]] = []
    other.at_start = lambda: held_at_start.append(finalizers(world))
    started(world)
    assert held_at_start[0] == ["theirs", names.FINALIZER_RUN], "before anything is started"
    other.goes = Outcome(BROKE, "no data")
    world.settle()
    assert finalizers(world) == ["theirs"]


def test_an_operator_without_the_right_to_hold_a_policy_runs_it_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any) -> None:
        raise ApiError(403, "Forbidden", "cannot patch driftpolicies")

    world, _ = by_webhook()
    monkeypatch.setattr(world, "merge", refused)
    started(world)
    assert finalizers(world) == []


def test_a_policy_that_can_not_be_read_any_more_is_held_by_nobody() -> None:
    world, _ = by_webhook()
    started(world)
    body = world.store[DRIFT_POLICIES]["drift"]
    world._put(DRIFT_POLICIES, "drift", {**body, "spec": {"target": 5}})
    world.reconcile("drift")
    assert finalizers(world) == [names.FINALIZER_RUN], "it may be mended"
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    world.reconcile("drift")
    assert "drift" not in world.store[DRIFT_POLICIES]


def test_a_policy_whose_run_is_a_job_is_never_held() -> None:
    world = World()
    world.request("drift", "please")
    world.settle()
    assert (len(world.running()), finalizers(world)) == (1, [])


def test_deleting_a_policy_stops_its_run_elsewhere_and_then_it_goes() -> None:
    world, other = by_webhook()
    name = started(world)
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert "drift" not in world.store[DRIFT_POLICIES]
    assert ("Normal", "RetrainingStopped") in world.events


def test_a_policy_whose_runs_objects_went_first_stops_its_run_all_the_same() -> None:
    """As the end of a namespace may have it, and a deletion in the foreground."""
    world, other = by_webhook()
    name = started(world)
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    its_traces_go(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert "drift" not in world.store[DRIFT_POLICIES]


def test_a_run_of_which_every_trace_is_deleted_is_stopped_and_its_policy_freed() -> None:
    world, other = by_webhook()
    name = started(world)
    world.edit("drift", suspend=True)
    its_traces_go(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert finalizers(world) == []


def test_a_run_of_a_kind_that_nobody_knows_holds_up_no_policy() -> None:
    """A later operator's, or somebody's who wrote it by hand; deleted without a trace, it is told of at the end."""
    world, other = by_webhook()
    name = started(world)
    body = world.store[RETRAINING_RUNS][name]
    world._put(RETRAINING_RUNS, name, {**body, "spec": {**body["spec"], "kind": "Another"}})
    world.settle()
    assert world.store[RETRAINING_RUNS][name]["status"]["phase"] == "Failed"
    assert "no runs of kind 'Another'" in world.store[RETRAINING_RUNS][name]["status"]["message"]
    assert (other.cancelled, finalizers(world)) == ([], [])


def test_a_policy_that_cannot_be_read_any_more_goes_when_it_is_deleted() -> None:
    world, _ = by_webhook()
    started(world)
    body = world.store[DRIFT_POLICIES]["drift"]
    world._put(DRIFT_POLICIES, "drift", {**body, "spec": {**body["spec"], "target": 7}})
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    world.settle()
    assert "drift" not in world.store[DRIFT_POLICIES]


def test_an_operator_that_starts_anew_stops_the_run_of_a_policy_that_is_being_deleted() -> None:
    world, _ = by_webhook()
    name = started(world)
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    other = followed_by_another(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert "drift" not in world.store[DRIFT_POLICIES]


def everything_of_it_goes_first(world: World) -> None:
    """The policy is deleted in the foreground: what it owns is gone before anything is told of that."""
    if "drift" in world.store[DRIFT_POLICIES]:
        world.ask_to_delete(DRIFT_POLICIES, "drift")
    its_traces_go(world)


def test_an_operator_that_never_saw_the_run_of_a_policy_deleted_in_the_foreground_stops_it() -> None:
    world, _ = by_webhook()
    name = started(world)
    everything_of_it_goes_first(world)
    other = followed_by_another(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert "drift" not in world.store[DRIFT_POLICIES]
    assert ("Normal", "RetrainingStopped") in world.events


def test_an_operator_that_never_saw_a_run_stops_it_where_every_trace_of_it_but_its_policy_is_deleted() -> None:
    world, _ = by_webhook()
    name = started(world)
    world.edit("drift", suspend=True)
    its_traces_go(world)
    other = followed_by_another(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert (finalizers(world), noted(world)) == ([], {})


def test_what_is_noted_on_a_policy_goes_with_the_end_of_its_run_and_leaves_what_is_somebody_elses() -> None:
    world, other = by_webhook()
    name = started(world)
    assert list(noted(world)) == [name]
    other.goes = Outcome(BROKE, "no data")
    world.settle()
    annotations = world.store[DRIFT_POLICIES]["drift"]["metadata"]["annotations"]
    assert annotations == {names.ANNOTATION_RETRAIN: "please"}


def test_a_note_that_holds_no_policy_is_taken_away_and_nobody_told_to_stop() -> None:
    """As an operator of an earlier version leaves it, which knows of the finalizer alone."""
    world, other = by_webhook()
    name = started(world)
    note = world.store[DRIFT_POLICIES]["drift"]["metadata"]["annotations"][names.ANNOTATION_GOING]
    other.goes = Outcome(BROKE, "no data")
    world.settle()
    body = world.store[DRIFT_POLICIES]["drift"]
    annotations = {**body["metadata"]["annotations"], names.ANNOTATION_GOING: note}
    body = world._put(DRIFT_POLICIES, "drift", {**body, "metadata": {**body["metadata"], "annotations": annotations}})
    assert list(noted(world)) == [name]
    world.take_over()
    world.operator._triggers["Webhook"] = other
    world.settle()
    assert (other.cancelled, noted(world)) == ([], {})


def noted(world: World) -> dict[str, Any]:
    return dict(read_going(world.store[DRIFT_POLICIES]["drift"]["metadata"]))


def test_where_a_run_goes_on_is_noted_before_its_status_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = by_webhook()
    world.request("drift", "please")
    world.reconcile("drift")
    (run,) = world.active()
    apply = world.apply

    async def overloaded(resource: Any, *rest: Any, **others: Any) -> dict[str, Any]:
        if resource is RETRAINING_RUNS:
            raise ApiError(503, "ServiceUnavailable", "later")
        return await apply(resource, *rest, **others)

    monkeypatch.setattr(world, "apply", overloaded)
    with pytest.raises(ApiError):
        world.reconcile("drift")
    monkeypatch.undo()
    everything_of_it_goes_first(world)
    other = followed_by_another(world)
    world.settle()
    assert other.cancelled == [(run["metadata"]["name"], "https://ci/runs/7")]


@pytest.mark.parametrize("trace", ["left", "deleted"])
@pytest.mark.parametrize("write", range(1, 6))
@pytest.mark.parametrize("step", range(5))
def test_wherever_an_operator_dies_the_run_of_a_deleted_policy_is_stopped_or_somebody_is_told(
    step: int, write: int, trace: str
) -> None:
    world = World()
    world.edit("drift", retrain={**RETRAIN, **BY_WEBHOOK})
    world.edit("nightly", suspend=True)
    world.request("drift", "please")
    for _ in range(step):
        world.reconcile("drift")
    world.reconcile("drift", dies_after=write)
    going = set(world.other.going)
    if trace == "deleted":
        everything_of_it_goes_first(world)
    else:
        world.ask_to_delete(DRIFT_POLICIES, "drift")
    world.take_over()
    world.settle()
    assert "drift" not in world.store[DRIFT_POLICIES]
    assert set(world.other.going) <= world.other.untold
    told = {reason for _, reason in world.events} & {"RetrainingStopped", "RetrainingNotStopped"}
    assert told or not going


@pytest.mark.parametrize("write", range(1, 6))
def test_wherever_an_operator_dies_a_run_that_has_ended_elsewhere_is_not_told_to_stop(write: int) -> None:
    world, _ = by_webhook()
    started(world)
    other = OtherSystem()
    other.goes = Outcome(BROKE, "no data")
    world.operator._triggers["Webhook"] = other
    world.reconcile("drift", dies_after=write)
    world.take_over()
    world.operator._triggers["Webhook"] = other
    world.settle()
    assert (other.cancelled, finalizers(world), noted(world)) == ([], [], {})
    assert world.memories()["drift"]["runs"][0]["result"] == "Failed"


def test_the_run_of_a_model_that_is_gone_is_told_to_stop_once_a_step_though_another_has_its_name() -> None:
    world, other = by_webhook()
    started(world)
    other.answers_stop = Outcome(WAITS, "no answer")
    world.make_target_anew()
    world.watch()
    world.reconcile("drift")
    assert len(other.cancelled) == 1, "its own step does that; nobody has lost sight of it"


def test_a_run_without_an_address_that_somebody_deleted_is_known_to_have_begun() -> None:
    world, _ = by_webhook()
    other = world.other
    world.operator._triggers["Webhook"] = other
    name = started(world)
    body = world.store[RETRAINING_RUNS][name]
    status = {key: value for key, value in body["status"].items() if key != "handle"}
    world._put(RETRAINING_RUNS, name, {**body, "status": status})
    metadata = world.store[DRIFT_POLICIES]["drift"]["metadata"]
    metadata["annotations"].pop(names.ANNOTATION_GOING)
    world.take_over()
    world.settle()
    world.remove(RETRAINING_RUNS, name)
    world.take_over()
    world.settle()
    assert "may go on there: its answer was lost" in world.memories()["drift"]["runs"][0]["message"]


@pytest.mark.parametrize("answer", [Outcome(WAITS, "no answer"), Outcome(ASKED)], ids=["dead", "mute"])
def test_a_dead_system_holds_no_policy_for_longer_than_is_borne(answer: Outcome) -> None:
    world, other = by_webhook()
    name = started(world)
    other.answers_stop = answer
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    for _ in range(3):
        world.reconcile("drift")
        world.time += STOP_WITHIN / 4
    assert "drift" in world.store[DRIFT_POLICIES], "it may come back"
    world.time += STOP_WITHIN / 2
    world.settle()
    assert "drift" not in world.store[DRIFT_POLICIES]
    assert ("Warning", "RetrainingNotStopped") in world.events
    assert len(other.cancelled) >= 4
    assert set(other.cancelled) == {(name, "https://ci/runs/7")}


def test_what_refuses_to_stop_holds_nobody() -> None:
    world, other = by_webhook()
    started(world)
    other.answers_stop = Outcome(BROKE, "https://ci/runs/7 answered 405")
    world.ask_to_delete(DRIFT_POLICIES, "drift")
    world.settle()
    assert "drift" not in world.store[DRIFT_POLICIES]
    assert len(other.cancelled) == 1
    assert ("Warning", "RetrainingNotStopped") in world.events


def test_a_run_at_its_deadline_is_told_to_stop_until_it_is_told_or_that_is_given_up() -> None:
    world, other = by_webhook()
    started(world)
    other.answers_stop = Outcome(WAITS, "no answer")
    world.time += 7 * 3600
    world.settle()
    assert [run["status"]["phase"] for run in world.runs("drift")] == ["Running"]
    world.time += STOP_WITHIN
    world.settle()
    (run,) = world.ended()
    assert run["status"]["phase"] == "Failed"
    assert "could not be told to stop it, so it may go on there: no answer" in run["status"]["message"]


def test_a_deleted_run_is_told_to_stop_until_it_is_told_or_that_is_given_up() -> None:
    world, other = by_webhook()
    name = started(world)
    other.answers_stop = Outcome(WAITS, "no answer")
    world.remove(RETRAINING_RUNS, name)
    world.settle()
    assert world.memories()["drift"]["run"]["name"] == name
    other.answers_stop = Outcome(SUCCEEDED)
    world.settle()
    assert world.memories()["drift"]["runs"][0]["result"] == "Deleted"
    assert "may go on" not in world.memories()["drift"]["runs"][0]["message"]


def test_an_operator_that_never_saw_the_run_cancels_it_elsewhere_too() -> None:
    world, _ = by_webhook()
    name = started(world)
    world.remove(RETRAINING_RUNS, name)
    other = followed_by_another(world)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]


def test_a_lost_memory_asks_for_nothing_again() -> None:
    world, _ = by_webhook()
    world.request("drift", "please")
    world.settle()
    (run,) = world.active()
    failed: dict[str, Any] = {
        **run,
        "status": {**run["status"], "phase": "Failed", "finishedAt": "2025-10-09T09:00:00Z"},
    }
    world._put(RETRAINING_RUNS, run["metadata"]["name"], failed)
    world.settle()
    for name in list(world.store[CONFIG_MAPS]):
        world.remove(CONFIG_MAPS, name)
    world.settle()
    assert [each["metadata"]["name"] for each in world.runs("drift")] == [run["metadata"]["name"]]


def test_a_model_that_is_made_anew_under_its_name_ends_the_formers_run_and_is_watched_at_once() -> None:
    world, other = by_webhook()
    name, former = started(world), world.target
    world.remove(MODEL_DEPLOYMENTS, "fraud")
    world._put(MODEL_DEPLOYMENTS, "fraud", {**former, "metadata": {**former["metadata"], "uid": "a-new-one"}})
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert world.memories()["drift"]["uid"] == "a-new-one"
    # It is for the new one, which has not been asked for by this value yet.
    assert [each["spec"]["target"]["uid"] for each in world.active()] == ["a-new-one"]
    assert [each["metadata"]["name"] for each in world.ended()] == [], "runs of a model that is gone go, too"


def test_five_hundred_models_that_drift_at_once_are_all_retrained_by_one_policy() -> None:
    world = World()
    world.edit("nightly", suspend=True)
    for number in range(500):
        body = copy.deepcopy(world.target)
        body["metadata"] |= {"name": f"m{number}", "uid": f"uid-{number}", "labels": {"team": "risk"}}
        world._put(MODEL_DEPLOYMENTS, f"m{number}", body)
    world.edit("drift", target={"selector": {"matchLabels": {"team": "risk"}}})
    world.end_window(drifts=True)
    for _ in range(3):
        world.reconcile("drift")
    assert (len(world.active()), len(world.running())) == (500, 500)
    assert set(world.made.values()) == {1}
    status = world.store[DRIFT_POLICIES]["drift"]["status"]
    assert (status["counts"]["running"], len(status["targets"])) == (500, 10)
    assert len(json.dumps(status)) < 64 * 1024


def test_what_somebody_has_made_of_a_memory_is_told_once_and_starts_nothing_anew() -> None:
    world, _ = by_webhook()
    name = started(world)
    (memory,) = (each for each in world.store[CONFIG_MAPS] if each.startswith("drift-"))
    body = world.store[CONFIG_MAPS][memory]
    world._put(CONFIG_MAPS, memory, {**body, "data": {"memory": '{"name": "fraud", "failures": "many"}'}})
    world.settle()
    (told,) = (each["message"] for each in world.told if each["reason"] == "MemoryUnreadable")
    assert f"somebody else has edited ConfigMap {memory}" in told
    assert [each["metadata"]["name"] for each in world.active()] == [name]
    assert world.memories()["drift"]["run"]["name"] == name


@pytest.mark.parametrize(
    ("retrain", "kind", "held"),
    [
        ({"jenkins": {"url": "https://ci", "job": "retrain", "secretRef": {"name": "key"}}}, "Jenkins", True),
        ({"argoWorkflow": {"template": "retrain"}}, "ArgoWorkflow", False),
    ],
)
def test_a_policy_is_held_by_runs_elsewhere_and_not_by_objects_of_this_cluster(
    retrain: dict[str, Any], kind: str, held: bool
) -> None:
    """A Workflow is owned by its run, and goes with it; of a build nobody would be told."""
    world, other = World(), OtherSystem()
    world.edit("drift", retrain={"cooldown": "1h", **retrain})
    world.edit("nightly", suspend=True)
    world.operator._triggers[kind] = other
    name = started(world)
    (run,) = world.active()
    assert run["spec"]["kind"] == kind
    policy = world.store[DRIFT_POLICIES]["drift"]
    assert bool(policy["metadata"].get("finalizers")) is held
    world.remove(RETRAINING_RUNS, name)
    world.settle()
    assert [run for run, _ in other.cancelled] == [name]
    assert not world.store[DRIFT_POLICIES]["drift"]["metadata"].get("finalizers")
