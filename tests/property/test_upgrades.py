"""Another platform around the operator's own Reconciler: pods made anew in place, put back, held, and adopted."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from modelward.api import names
from modelward.facts import Judgement
from modelward.kube.cache import Key
from modelward.kube.client import ApiError
from modelward.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, DEPLOYMENTS, MODEL_DEPLOYMENTS, PODS, SERVICES
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.fleet_rules import turns
from modelward.revisions.health.diagnosis import PATIENCE
from modelward.revisions.update import Phase

from .cluster_world import ClusterWorld, Json

OLD, NEW = "inference:1", "inference:2"


def image_of(world: ClusterWorld, name: str) -> str:
    return str(world.objects[DEPLOYMENTS, name]["spec"]["template"]["spec"]["containers"][0]["image"])


def reasons(world: ClusterWorld) -> list[str]:
    return [reason for _, reason, _ in world.events]


async def served(**spec: Any) -> ClusterWorld:
    world = ClusterWorld()
    world.ask_for(1, **spec)
    await world.run(6)
    assert world.condition("PlatformCurrent")["reason"] == "UpToDate"
    return world


async def test_another_image_makes_no_revision_and_no_rollout() -> None:
    world = await served(replicas=2)
    stable = world.stable
    world.start(NEW)
    for _ in range(6):
        await world.step()
        assert world.shares() == {stable: 100}
        assert world.condition("Servable")["status"] == world.condition("Ready")["status"] == "True"
        world.settle()
    assert image_of(world, stable) == NEW
    assert "rollout" not in world.status
    assert [reason for reason in reasons(world) if reason.startswith("Platform")] == [
        "PlatformUpdating", "PlatformUpdated",
    ]  # fmt: skip
    record = world.objects[CONTROLLER_REVISIONS, stable]
    assert record["data"]["template"] == world.objects[DEPLOYMENTS, stable]["spec"]["template"]
    writes = world.writes
    world.start(NEW)
    await world.run(4)
    assert world.writes == writes


async def test_the_routers_pods_are_part_of_it() -> None:
    world = await served()
    world.start(OLD, at_a_time=0, router_image="envoy:2")
    await world.run(4)
    assert image_of(world, "fraud-router") == "envoy:1"
    world.start(OLD, router_image="envoy:2")
    await world.run(4)
    assert image_of(world, "fraud-router") == "envoy:2"
    assert world.condition("PlatformCurrent")["status"] == "True"


async def test_what_a_user_changes_of_the_router_begins_at_once() -> None:
    world = await served()
    world.start(OLD, at_a_time=0, router_image="envoy:2")
    await world.run(2)
    world.ask_for(1, router={"replicas": 1, "resources": {"limits": {"memory": "512Mi"}}})
    await world.run(4)
    template = world.objects[DEPLOYMENTS, "fraud-router"]["spec"]["template"]
    assert template["spec"]["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}


async def failed() -> ClusterWorld:
    world = await served()
    world.refused = {NEW}
    world.start(NEW, router_image="envoy:2")
    await world.run(6)
    return world


async def test_pods_that_do_not_come_up_go_back_and_nothing_tries_them_again() -> None:
    world = await failed()
    told = world.condition("PlatformCurrent")
    assert (told["status"], told["reason"]) == ("False", "UpdateFailed")
    assert "no libm" in told["message"]
    assert f"{names.ANNOTATION_PLATFORM}=retry" in told["message"]
    assert (image_of(world, world.stable), image_of(world, "fraud-router")) == (OLD, "envoy:1"), "the model as a whole"
    assert world.condition("Ready")["status"] == "True"
    assert reasons(world).count("PlatformUpdateFailed") == 1
    assert world.fleet.counts()["failed"] == 1
    writes = world.writes
    world.start(NEW, router_image="envoy:2")
    await world.run(6)
    assert world.writes == writes
    assert world.fleet.counts()["failed"] == 1


def command(world: ClusterWorld, value: str) -> None:
    world.annotate(MODEL_DEPLOYMENTS, "fraud", names.ANNOTATION_PLATFORM, value)


async def test_somebody_may_try_once_more() -> None:
    world = await failed()
    world.refused = set()
    command(world, "retry")
    await world.run(6)
    assert (image_of(world, world.stable), image_of(world, "fraud-router")) == (NEW, "envoy:2")
    assert names.ANNOTATION_PLATFORM not in world.objects[MODEL_DEPLOYMENTS, "fraud"]["metadata"]["annotations"]


async def test_somebody_may_leave_a_model_as_it_is_until_the_platform_changes_again() -> None:
    world = await failed()
    command(world, "skip")
    for _ in range(2):
        await world.run(4)
        assert image_of(world, world.stable) == OLD
        assert world.condition("PlatformCurrent")["reason"] == "Skipped"
        assert (world.fleet.counts()["failed"], world.fleet.counts()["skipped"]) == (0, 1)
        world.start(NEW, router_image="envoy:2")
    world.start("inference:3")
    await world.run(6)
    assert image_of(world, world.stable) == "inference:3"


@pytest.mark.parametrize("image", ["inference:3", OLD])
async def test_the_next_platform_begins_anew_and_the_one_before_is_a_way_back(image: str) -> None:
    world = await failed()
    world.start(image)
    await world.run(6)
    assert image_of(world, world.stable) == image
    assert world.condition("PlatformCurrent")["status"] == "True"


@pytest.mark.parametrize("value", ["later", ""])
async def test_what_is_no_command_is_told_and_taken_away(value: str) -> None:
    world = await failed()
    command(world, value)
    await world.run(2)
    assert "UnknownCommand" in reasons(world)
    assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed"
    assert names.ANNOTATION_PLATFORM not in world.objects[MODEL_DEPLOYMENTS, "fraud"]["metadata"]["annotations"]


async def test_another_spec_goes_its_own_way() -> None:
    world = await failed()
    world.refused = set()
    world.ask_for(2)
    await world.run(8)
    assert world.status["rollout"]["phase"] == "Progressing"
    assert image_of(world, world.status["rollout"]["revision"]) == NEW


@pytest.mark.parametrize("resource", [CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES, PODS])
async def test_what_somebody_deletes_in_the_middle_comes_back_and_the_update_ends(resource: Any) -> None:
    world = await served()
    stable = world.stable
    world.start(NEW)
    await world.step()
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    world.remove(resource, f"{stable}-0" if resource is PODS else stable)
    await world.run(8)
    assert world.stable == stable
    assert image_of(world, stable) == NEW
    assert world.condition("Ready")["status"] == world.condition("PlatformCurrent")["status"] == "True"


async def test_a_model_of_which_nothing_comes_up_need_not_wait() -> None:
    """As with a wrong image at the installation, that somebody has corrected."""
    world = ClusterWorld()
    world.ask_for(1)
    await world.step()
    world.settle()
    for resource, name in list(world.objects):
        if resource is PODS and not name.startswith("fraud-router"):
            waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "inference:1"'}}
            status = {
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "server", "ready": False, "state": waiting}],
            }
            world.change(PODS, name, lambda body, status=status: body["status"].update(status))
    world.stays_unready = True
    world.settle()
    await world.step()
    (stable,) = (name for resource, name in world.objects if resource is DEPLOYMENTS and name != "fraud-router")
    world.start(NEW, at_a_time=0)
    await world.run(2)
    assert image_of(world, stable) == NEW


async def test_what_is_paused_keeps_its_pods() -> None:
    world = await served()
    world.ask_for(2)
    await world.run(5)
    world.command("pause")
    await world.run(3)
    before = {name: image_of(world, name) for name in world.shares()}
    assert len(before) == 2
    world.start(NEW)
    await world.run(4)
    assert {name: image_of(world, name) for name in before} == before
    assert world.condition("PlatformCurrent")["reason"] == "NotAtRest"
    assert world.fleet.counts()["waiting"] == 1


async def test_the_stable_beside_a_rejected_version_is_updated_by_what_its_record_has_of_it() -> None:
    world = await served(resources={"limits": {"memory": "3Gi"}}, monitor={}, server={"maxRows": 7})
    stable, before = world.stable, containers_of(world, world.stable)
    world.ask_for(2)
    await world.run(5)
    world.command("abort")
    await world.run(5)
    assert world.shares() == {stable: 100}
    world.start(NEW)
    await world.run(5)
    assert world.shares() == {stable: 100}
    assert world.status["rollout"]["phase"] == "Aborted"
    assert world.condition("PlatformCurrent")["status"] == "True"
    assert containers_of(world, stable) == json.loads(json.dumps(before).replace(OLD, NEW))
    world.refused = {"inference:3"}
    world.start("inference:3")
    await world.run(6)
    assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed"
    assert image_of(world, stable) == NEW
    world.ask_for(1, resources={"limits": {"memory": "3Gi"}}, monitor={}, server={"maxRows": 7})
    await world.run(4)
    assert world.stable == stable, "spec set back to what it was"


async def test_earlier_revisions_that_keep_running_are_updated_too() -> None:
    world = await served(revisionHistoryLimit=1)
    first = world.stable
    world.ask_for(2, revisionHistoryLimit=1, rollout={"strategy": "Immediate"})
    await world.run(12)
    assert [each["revision"] for each in world.status["history"]] == [first]
    world.start(NEW)
    await world.run(6)
    assert {image_of(world, first), image_of(world, world.stable)} == {NEW}
    assert world.condition("PlatformCurrent")["status"] == "True"


def containers_of(world: ClusterWorld, name: str) -> Any:
    pod = world.objects[DEPLOYMENTS, name]["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def as_an_earlier_operator_made_it(world: ClusterWorld, name: str, *, recorded: bool) -> str:
    """Its revision under another name, as a hash of pods was; no router's record, nothing of intents or templates."""
    earlier = "fraud-0123456789"

    def renamed(body: Json) -> Json:
        return dict(json.loads(json.dumps(body).replace(name, earlier)))

    for (resource, key), body in list(world.objects.items()):
        if resource in (DEPLOYMENTS, SERVICES, CONTROLLER_REVISIONS, PODS, CONFIG_MAPS) and name in json.dumps(body):
            del world.objects[resource, key]
            made = renamed(body)
            world.objects[resource, made["metadata"]["name"]] = made
    for (resource, _), body in world.objects.items():
        annotations = body["metadata"].get("annotations") or {}
        for each in (names.ANNOTATION_INTENT, names.ANNOTATION_MADE_OF):
            annotations.pop(each, None)
        if resource is CONFIG_MAPS and names.ANNOTATION_ROUTES in annotations:
            routes = json.loads(annotations[names.ANNOTATION_ROUTES])
            annotations[names.ANNOTATION_ROUTES] = json.dumps({key: routes[key] for key in routes if key != "sum"})
    world.objects.pop((CONTROLLER_REVISIONS, "fraud-router"))
    if not recorded:
        world.objects.pop((CONTROLLER_REVISIONS, earlier))
    status = world.objects[MODEL_DEPLOYMENTS, "fraud"]
    status["status"] = renamed(copy.deepcopy(status["status"]))
    return earlier


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("rolled_out", [False, True])
async def test_what_an_earlier_operator_named_by_its_pods_stays_what_spec_asks_for(
    rolled_out: bool, recorded: bool
) -> None:
    world = await served()
    if rolled_out:
        world.ask_for(2, rollout={"strategy": "Immediate"})
        await world.run(10)
        assert world.status["rollout"]["phase"] == "Promoted"
    earlier = as_an_earlier_operator_made_it(world, world.stable, recorded=recorded)
    world.start(NEW, at_a_time=0)
    await world.run(4)
    assert world.shares() == {earlier: 100}
    assert image_of(world, earlier) == OLD
    assert world.condition("PlatformCurrent")["reason"] == "InLine"
    version = 2 if rolled_out else 1
    world.ask_for(version, replicas=2, rollout={"strategy": "Immediate"})
    world.start(NEW)
    await world.run(8)
    assert world.shares() == {earlier: 100}, "nor by a change that shapes no pod"
    assert image_of(world, earlier) == NEW
    world.ask_for(3, rollout={"strategy": "Immediate"})
    await world.run(12)
    assert world.stable != earlier
    assert "MetadataRepaired" not in reasons(world)


async def test_a_rejected_version_of_an_earlier_operator_stays_rejected() -> None:
    world = await served()
    world.ask_for(2)
    await world.run(5)
    world.judgement = Judgement(failed="errorRate: 20 of 20 failed", passed=False)
    await world.run(3)
    world.judgement = None
    stable = as_an_earlier_operator_made_it(world, world.stable, recorded=True)
    world.start(NEW)
    await world.run(6)
    assert world.shares() == {stable: 100}
    assert world.status["rollout"]["phase"] == "RolledBack"


@pytest.mark.parametrize(
    ("known", "at_a_time", "complete", "expected"),
    [
        ({"c": "ready", "a": "ready", "b": "ready"}, 2, True, "ab"),
        ({"a": "current", "b": "ready", "c": "updating", "d": "ready"}, 2, True, "bc"),
        ({"a": "ready", "b": "updating", "c": "updating"}, 1, True, "bc"),
        ({"a": "ready", "b": "updating", "c": "failed"}, 5, True, "b"),
        ({"a": "ready", "b": "updating", "c": "skipped", "d": "refused"}, 5, True, "ab"),
        ({"a": "ready", "b": "updating"}, 0, True, "b"),
        ({"a": "ready", "b": "updating"}, 5, False, "b"),
        ({"a": "waiting", "b": "current"}, 5, True, ""),
        ({}, 5, True, ""),
    ],
)
def test_whose_turn_it_is(known: dict[str, str], at_a_time: int, complete: bool, expected: str) -> None:
    by_phase = {phase: {("ml", name) for name, each in known.items() if each == phase} for phase in Phase}
    assert "".join(sorted(name for _, name in turns(by_phase, at_a_time, complete=complete))) == expected


def keys(names: str) -> dict[str, Key]:
    return {name: Key("ml", name) for name in names}


def test_nothing_begins_before_each_model_was_looked_at_and_nobody_waits_for_one_that_is_gone() -> None:
    there, woken = {("ml", name) for name in "abcd"}, []
    fleet, key = Fleet(lambda: there, lambda each: woken.append(each.name), 2), keys("abcd")
    for name in "ba":
        fleet.tell(key[name], Phase.READY)
    fleet.leave_out(key["c"])
    assert not fleet.is_turn_of(key["a"])
    there.remove(("ml", "d"))
    fleet.leave_out(key["d"], gone=True)
    assert fleet.is_turn_of(key["a"])
    assert woken == ["a", "b"]
    fleet.tell(key["a"], Phase.FAILED)
    fleet.tell(key["b"], Phase.CURRENT)
    fleet.tell(key["c"], Phase.READY)
    assert not fleet.is_turn_of(key["c"])
    there.remove(("ml", "a"))
    fleet.leave_out(key["a"], gone=True)
    assert fleet.is_turn_of(key["c"]), "the model that failed was deleted"
    assert fleet.counts() == {
        "current": 1, "waiting": 0, "ready": 1, "updating": 0, "failed": 0, "refused": 0, "skipped": 0,
    }  # fmt: skip


def test_a_model_that_cannot_begin_leaves_its_turn_to_the_next() -> None:
    """The API server refuses something of it, or it can't be read, whenever it is looked at."""
    woken: list[str] = []
    fleet, key = Fleet(lambda: {("ml", "a"), ("ml", "b")}, lambda each: woken.append(each.name), 1), keys("ab")
    for name in "ab":
        fleet.tell(key[name], Phase.READY)
    assert (fleet.is_turn_of(key["a"]), fleet.is_turn_of(key["b"])) == (True, False)
    fleet.leave_out(key["a"])
    assert (fleet.is_turn_of(key["a"]), fleet.is_turn_of(key["b"]), woken[-1]) == (False, True, "b")
    fleet.tell(key["b"], Phase.UPDATING)
    fleet.tell(key["a"], Phase.READY)
    assert (fleet.is_turn_of(key["a"]), fleet.is_turn_of(key["b"])) == (False, True)
    fleet.tell(key["b"], Phase.CURRENT)
    assert fleet.is_turn_of(key["a"])


def test_a_model_that_cannot_be_looked_at_for_a_while_keeps_its_place() -> None:
    fleet, key = Fleet(lambda: {("ml", "a")}, lambda _: None), keys("a")
    fleet.tell(key["a"], Phase.FAILED)
    fleet.leave_out(key["a"])
    assert fleet.counts()["failed"] == 1


async def test_a_model_is_ready_while_new_pods_wait_for_what_may_pass() -> None:
    world = await served()
    world.refused, world.waiting = {NEW}, {"reason": "ImagePullBackOff", "message": 'Back-off pulling "inference:2"'}
    world.start(NEW)
    await world.run(4)
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    assert (world.condition("Ready")["status"], world.condition("Stalled")["status"]) == ("True", "False")
    assert "MODELWARD_*_IMAGE" in world.condition("Reconciling")["message"]
    world.now += PATIENCE
    await world.run(4)
    assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed"
    assert image_of(world, world.stable) == OLD


async def test_a_container_that_fails_once_stops_nothing() -> None:
    world = await served()
    world.refused, world.restarts = {NEW}, 1
    world.start(NEW)
    await world.run(4)
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    world.refused = set()
    await world.run(4)
    assert world.condition("PlatformCurrent")["status"] == "True"
    assert image_of(world, world.stable) == NEW


async def updating_slowly(**spec: Any) -> ClusterWorld:
    """The new pods have not failed, and are not ready."""
    world = await served(**spec)
    world.refused, world.restarts, world.stays_unready = {NEW}, 0, True
    world.start(NEW)
    await world.run(3)
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    return world


def ends(world: ClusterWorld, pod: str) -> None:
    """Its container ends again and again."""
    server = {"name": "server", "ready": False, "restartCount": 7}
    server["state"] = {"terminated": {"exitCode": 1, "message": "no libm"}}
    unready = [{"type": "Ready", "status": "False"}]
    world.change(PODS, pod, lambda body: body["status"].update(conditions=unready, containerStatuses=[server]))


@pytest.mark.parametrize("again", [False, True])
async def test_a_fault_of_a_pod_from_before_the_update_is_none_of_the_update(again: bool) -> None:
    world = await updating_slowly(replicas=2)
    if again:
        ends(world, f"{world.stable}-surge")
        await world.run(4)
        assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed"
        # One of the first try may end for as long as its grace lasts: it is none of those from before.
        world.refused = set()
        world.settle()
        world.refused, world.restarts = {NEW}, 0
        command(world, "retry")
        await world.run(3)
    ends(world, f"{world.stable}-0")
    await world.run(4)
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    assert image_of(world, world.stable) == NEW
    ends(world, f"{world.stable}-surge")
    await world.run(2)
    assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed", "the new one's is"


@pytest.mark.parametrize("of", ["before", "now", "nobody"])
@pytest.mark.parametrize("made", [False, True])
async def test_it_matters_whose_pods_the_cluster_takes_no_more_of(of: str, made: bool) -> None:
    """A quota names the pod, and with it what makes it; a webhook need not."""
    world = await updating_slowly()
    stable = world.stable
    pods = {"before": f"{stable}-0", "now": f"{stable}-surge"}
    makers = {which: world.objects[PODS, pod]["metadata"]["ownerReferences"][0]["name"] for which, pod in pods.items()}
    if not made:
        world.remove(PODS, f"{stable}-surge")
    says = f'pods "{makers[of]}-x7k2p" is forbidden' if of in makers else "a policy denied the request"
    full = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": says}
    world.change(DEPLOYMENTS, stable, lambda body: body["status"].update(conditions=[full]))
    await world.step()
    failed = of == "now" or (of == "nobody" and not made)
    assert world.condition("PlatformCurrent")["reason"] == ("UpdateFailed" if failed else "Updating")


@pytest.mark.parametrize("name", ["", "fraud-router"])
async def test_pods_whose_record_somebody_deletes_are_current_only_once_they_have_proved_themselves(name: str) -> None:
    """Without a record nobody knows a way back: the fleet stops, and a person is told."""
    world = await served()
    world.refused, world.restarts, world.stays_unready = {NEW, "envoy:2"}, 0, True
    world.start(NEW, router_image="envoy:2")
    await world.run(2)
    name = name or world.stable
    world.remove(CONTROLLER_REVISIONS, name)
    for _ in range(2):
        await world.run(3)
        assert world.condition("PlatformCurrent")["reason"] == "Updating"
        world.start(NEW, router_image="envoy:2")
    ends(world, f"{name}-surge")
    await world.run(3)
    for tried in ("", "retry"):
        if tried:
            command(world, tried)
        await world.run(3)
        told = world.condition("PlatformCurrent")
        assert told["reason"] == "UpdateFailed"
        assert "record was deleted" in told["message"]
        assert world.fleet.counts()["failed"] == 1
    world.refused = set()
    world.settle()
    command(world, "retry")
    await world.run(6)
    assert world.condition("PlatformCurrent")["reason"] == "UpToDate"
    assert "PlatformUpdated" in reasons(world)
    writes = world.writes
    await world.run(3)
    assert (world.writes, world.fleet.counts()["current"]) == (writes, 1)


async def test_a_record_that_is_deleted_while_nothing_goes_on_is_made_again_and_that_is_all() -> None:
    world = await served()
    for name in (world.stable, "fraud-router"):
        world.remove(CONTROLLER_REVISIONS, name)
    for _ in range(3):
        await world.step()
        assert world.condition("PlatformCurrent")["reason"] == "UpToDate"
        world.settle()
    assert {(CONTROLLER_REVISIONS, world.stable), (CONTROLLER_REVISIONS, "fraud-router")} <= set(world.objects)


@pytest.mark.parametrize("seen", [True, False])
async def test_pods_that_are_not_ready_in_time_go_back(seen: bool) -> None:
    """By the Deployment's own word, where that is about the newest template."""
    world = await served()
    world.refused, world.restarts = {NEW}, 0
    world.start(NEW)
    await world.run(3)
    assert world.condition("PlatformCurrent")["reason"] == "Updating"
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}

    def tell(body: Json) -> None:
        body["status"]["conditions"] = [late]
        body["status"]["observedGeneration"] = body["metadata"]["generation"] - (not seen)

    world.change(DEPLOYMENTS, world.stable, tell)
    await world.step()
    assert (world.condition("PlatformCurrent")["reason"] == "UpdateFailed") == seen
    assert (image_of(world, world.stable) == OLD) == seen
    if seen:
        assert "not ready in time" in world.condition("PlatformCurrent")["message"]


async def test_pods_that_the_cluster_refuses_to_take_are_a_failure_and_hold_up_nothing_else() -> None:
    """A policy of the namespace knows the old image alone: the model goes back, and can be scaled as ever."""
    world = await served()

    def allow_list(resource: Any, body: Json) -> None:
        if resource is DEPLOYMENTS and NEW in json.dumps(body):
            raise ApiError(403, "Forbidden", "image not allowed here")

    world.mutate = allow_list
    world.start(NEW)
    await world.step()
    assert world.fleet.counts()["updating"] == 1, "nobody else begins before it is known to have failed"
    await world.run(4)
    told = world.condition("PlatformCurrent")
    assert (told["reason"], "image not allowed here" in told["message"]) == ("UpdateFailed", True)
    assert world.condition("Ready")["status"] == "True"
    world.ask_for(1, replicas=3)
    await world.run(4)
    assert world.objects[DEPLOYMENTS, world.stable]["spec"]["replicas"] == 3
    world.start(NEW)
    await world.run(2)
    assert world.fleet.counts()["failed"] == 1
    command(world, "retry")
    await world.run(4)
    assert world.condition("PlatformCurrent")["reason"] == "UpdateFailed", "it was tried, and refused once more"
    assert reasons(world).count("PlatformUpdateFailed") == 2
    world.mutate = lambda *_: None
    command(world, "retry")
    await world.run(6)
    assert (image_of(world, world.stable), world.condition("PlatformCurrent")["reason"]) == (NEW, "UpToDate")


async def test_routers_that_cannot_read_what_a_newer_operator_writes_are_made_anew_all_the_same() -> None:
    """An older Envoy refuses a configuration with a field that it does not know, and goes on with the one it has."""
    world = await served(replicas=2)
    reads = world.look

    def look(owner: Any, pods: Any, version: Any, ways: Any) -> Any:
        found = reads(owner, pods, version, ways)
        old = image_of(world, "fraud-router") == "envoy:1"
        return tuple(replace(each, config_version="before") for each in found) if old else found

    world.look = look  # type: ignore[method-assign]
    world.start(OLD, router_image="envoy:2")
    await world.run(8)
    assert image_of(world, "fraud-router") == "envoy:2"
    assert world.condition("PlatformCurrent")["reason"] == "UpToDate"
