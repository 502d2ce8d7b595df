"""What others do to a ModelDeployment's objects: put back or told, and never a reason to serve another model."""

import json
from typing import Any

import pytest

from modelward.api import names
from modelward.facts import Judgement
from modelward.kube.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)
from modelward.reconcilers.modeldeployment.apply import REAPPLY_AFTER
from modelward.revisions.deployment import pin_name

from .cluster_world import ClusterWorld, Json

BAD = Judgement(failed="errorRate: 20 of 20 failed", passed=False)


async def in_canary(world: ClusterWorld | None = None) -> ClusterWorld:
    world = world or ClusterWorld()
    world.ask_for(1)
    await world.run()
    world.ask_for(2)
    await world.run(5)
    assert sorted(world.shares().values()) == [10, 90]
    return world


async def ended(how: str, world: ClusterWorld | None = None) -> ClusterWorld:
    """Version 2 was tried beside version 1, and came to such an end."""
    world = await in_canary(world)
    if how == "RolledBack":
        world.judgement = BAD
    else:
        world.command({"Aborted": "abort", "Paused": "pause"}[how])
    await world.run()
    world.judgement = None
    assert world.status["rollout"]["phase"] == how
    return world


ENDS = ("RolledBack", "Aborted", "Paused")


@pytest.mark.parametrize("label", [names.LABEL_MANAGED_BY, names.LABEL_INSTANCE, names.LABEL_REVISION])
@pytest.mark.parametrize("value", ["Helm", None])
@pytest.mark.parametrize("resource", [DEPLOYMENTS, SERVICES, CONTROLLER_REVISIONS, CONFIG_MAPS])
async def test_a_label_that_somebody_changed_is_put_back_and_told(
    label: str, value: str | None, resource: Resource
) -> None:
    world = await in_canary()
    name = "fraud-router" if resource is CONFIG_MAPS else world.stable
    if resource is CONFIG_MAPS and label == names.LABEL_REVISION:
        return  # has none
    before, shares, status = world.objects[resource, name]["metadata"]["labels"], world.shares(), world.status
    world.relabel(resource, name, label, value)
    for _ in range(3):
        await world.step()
        assert world.shares() == shares
        assert world.condition("Servable")["status"] == "True"
    assert world.objects[resource, name]["metadata"]["labels"] == before
    assert world.status["rollout"]["stepStartedAt"] == status["rollout"]["stepStartedAt"]
    told = [message for kind, reason, message in world.events if (kind, reason) == ("Warning", "MetadataRepaired")]
    assert len(told) == 1
    assert f"{resource.kind} {name}" in told[0]
    assert label in told[0]


@pytest.mark.parametrize("router", [False, True])
@pytest.mark.parametrize("updating", [False, True])
async def test_a_deployment_that_somebody_paused_goes_on_and_that_is_told(*, router: bool, updating: bool) -> None:
    """As `kubectl rollout pause` does it: its pods would stay, and the fleet wait for them."""
    world = await in_canary()
    name = "fraud-router" if router else world.stable
    if updating:
        world.command("abort")
        await world.run(4)
        world.start("inference:2", router_image="envoy:2")
        await world.step()
        assert world.condition("PlatformCurrent")["reason"] == "Updating"
    world.change(DEPLOYMENTS, name, lambda body: body["spec"].update(paused=True))
    await world.step()
    assert not world.objects[DEPLOYMENTS, name]["spec"].get("paused")
    told = [message for kind, reason, message in world.events if (kind, reason) == ("Warning", "PauseLifted")]
    assert len(told) == 1
    assert told[0].startswith(f"Deployment {name}: ")
    writes = world.writes
    await world.step()
    assert world.writes == writes or updating


async def test_a_label_that_was_changed_and_changed_back_blinds_nobody() -> None:
    world = await in_canary()
    world.relabel(DEPLOYMENTS, world.stable, names.LABEL_MANAGED_BY, "Helm")
    world.relabel(DEPLOYMENTS, world.stable, names.LABEL_MANAGED_BY, "modelward")
    writes = world.writes
    await world.run(5)
    assert world.condition("Servable")["status"] == "True"
    assert world.writes == writes


@pytest.mark.parametrize("after", range(6))
async def test_what_is_on_its_way_out_is_found_again_though_its_record_and_its_label_are_gone(after: int) -> None:
    """Neither routes nor status name it any more; its pods do."""
    world = await in_canary()
    (leaving,) = (name for name, share in world.shares().items() if share == 10)
    world.ask_for(3)
    await world.run(after)
    for resource in (CONTROLLER_REVISIONS, SERVICES):
        if (resource, leaving) in world.objects:
            world.remove(resource, leaving)
    if (DEPLOYMENTS, leaving) in world.objects:
        world.relabel(DEPLOYMENTS, leaving, names.LABEL_MANAGED_BY, "Helm")
    await world.run(20)
    left = [f"{resource.kind} {name}" for resource, name in world.objects if name.startswith(leaving)]
    assert left == []


async def test_a_webhook_that_changes_labels_is_told_by_their_name_and_stops_nothing() -> None:
    def adopt(resource: Resource, body: Json) -> None:
        if resource is DEPLOYMENTS:
            body["metadata"]["labels"][names.LABEL_MANAGED_BY] = "Helm"

    world = ClusterWorld()
    world.mutate = adopt
    world.ask_for(1)
    await world.run()
    assert world.shares() == {world.stable: 100}
    assert world.condition("Servable")["status"] == "True"
    stalled = world.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "LabelsChanged")
    assert f"label {names.LABEL_MANAGED_BY} (Helm, not modelward)" in stalled["message"]


async def test_a_policy_that_rewrites_images_is_not_written_against_for_ever() -> None:
    """As one that puts a registry's mirror in front of them does."""

    def mirror(resource: Resource, body: Json) -> None:
        if resource is DEPLOYMENTS:
            for each in body["spec"]["template"]["spec"]["containers"]:
                each["image"] = "mirror/" + each["image"].removeprefix("mirror/")

    world = ClusterWorld()
    world.mutate = mirror
    world.ask_for(1)
    await world.run()
    assert image_of(world, world.stable) == "mirror/inference:1"
    writes = world.writes
    await world.run(10)
    assert world.writes == writes
    assert world.condition("Ready")["status"] == "True"
    world.change(DEPLOYMENTS, world.stable, lambda body: body["spec"].update(replicas=7))
    await world.run(2)
    assert world.objects[DEPLOYMENTS, world.stable]["spec"]["replicas"] == 1, "everything else is put back as ever"
    world.mutate = lambda *_: None
    world.now += REAPPLY_AFTER
    await world.run(2)
    assert image_of(world, world.stable) == "inference:1"


ANNOTATIONS = [
    (DEPLOYMENTS, names.ANNOTATION_MODEL), (DEPLOYMENTS, names.ANNOTATION_PROMOTED),
    (DEPLOYMENTS, names.ANNOTATION_APPLIED), (CONTROLLER_REVISIONS, names.ANNOTATION_PROMOTED),
    (CONFIG_MAPS, names.ANNOTATION_ROUTES),
]  # fmt: skip
GARBAGE = [None, "", "yes", "{", "null", "5", "[]", "{}", '{"stable": 5, "version": 1}', '{"uri": null}']


@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize(("resource", "annotation"), ANNOTATIONS)
async def test_an_annotation_that_is_gone_or_garbage_stops_nothing(
    resource: Resource, annotation: str, value: str | None
) -> None:
    world = await in_canary()
    stable = world.stable
    name = "fraud-router" if resource is CONFIG_MAPS else stable
    world.annotate(resource, name, annotation, value)
    await world.run(4)
    assert world.stable == stable
    assert world.status["stable"]["uri"].endswith("/1/model.onnx")
    assert sorted(world.shares().values()) == [10, 90]
    world.ask_for(3)
    await world.run(4)
    assert world.status["observedGeneration"] == 3
    assert world.status["candidate"]["uri"].endswith("/3/model.onnx")
    if value is not None and annotation != names.ANNOTATION_APPLIED:
        assert any(annotation in message for _, reason, message in world.events if reason == "MetadataRepaired")


async def test_routes_that_were_edited_by_hand_are_no_routes() -> None:
    world = await ended("RolledBack")
    stable, rejected = world.stable, world.status["rollout"]["revision"]
    routes = world.objects[CONFIG_MAPS, "fraud-router"]["metadata"]["annotations"][names.ANNOTATION_ROUTES]
    world.annotate(CONFIG_MAPS, "fraud-router", names.ANNOTATION_ROUTES, routes.replace(stable, rejected))
    await world.run(4)
    assert world.shares() == {stable: 100}
    assert world.status["rollout"]["phase"] == "RolledBack"


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    "gone", [(DEPLOYMENTS,), (SERVICES,), (DEPLOYMENTS, SERVICES), (DEPLOYMENTS, CONTROLLER_REVISIONS)]
)
async def test_what_was_rejected_or_paused_gets_nothing_of_a_stable_that_was_deleted(
    how: str, gone: tuple[Resource, ...]
) -> None:
    world = await ended(how)
    stable, shares = world.stable, world.shares()
    for resource in gone:
        world.remove(resource, stable)
    await world.step()
    assert world.condition("Servable")["status"] == "False"
    await world.run()
    assert world.shares()[stable] == shares[stable]
    assert (world.condition("Servable")["status"] == "True") == world.answers(stable)
    lost = CONTROLLER_REVISIONS in gone
    assert world.answers(stable) != lost
    if lost:
        assert world.condition("Stalled")["reason"] == "StableGone"
        assert "promote" in world.condition("Stalled")["message"]


async def test_a_person_may_let_a_rejected_version_take_the_place_of_one_that_is_gone() -> None:
    world = await ended("Aborted")
    stable = world.stable
    for resource in (DEPLOYMENTS, SERVICES, CONTROLLER_REVISIONS):
        world.remove(resource, stable)
    await world.run(3)
    world.command("promote")
    await world.run()
    assert world.shares() == {world.stable: 100}
    assert world.stable != stable
    assert world.condition("Ready")["status"] == "True"


async def test_a_model_that_was_detached_and_made_again_goes_on_where_it_was() -> None:
    world = await in_canary()
    stable = world.stable
    for resource, name in list(world.objects):
        if resource.kind in ("Deployment", "Service", "ConfigMap", "ControllerRevision"):
            world.change(resource, name, lambda body: body["metadata"].pop("ownerReferences"))
    world.remove(*next(key for key in world.objects if key[0].kind == "ModelDeployment"))
    world.start("inference:1")

    def reborn(resource: Resource, body: Json) -> None:
        if resource.kind == "ModelDeployment":
            body["metadata"]["uid"] = "md-2"

    world.mutate = reborn
    world.ask_for(3)
    for _ in range(6):
        await world.step()
        assert world.shares()[stable] >= 90
        assert world.answers(stable)
        world.settle()
    assert world.stable == stable
    deployments = [name for resource, name in world.objects if resource is DEPLOYMENTS]
    assert len(deployments) == 3, "the candidate that nobody asks for any more is gone"


def image_of(world: ClusterWorld, revision: str) -> str:
    return str(world.objects[DEPLOYMENTS, revision]["spec"]["template"]["spec"]["containers"][0]["image"])


def forget_intent(world: ClusterWorld) -> None:
    """As an operator wrote it that knew no intents and no sums."""
    routes = json.loads(world.objects[CONFIG_MAPS, "fraud-router"]["metadata"]["annotations"][names.ANNOTATION_ROUTES])
    written = {name: value for name, value in routes.items() if name not in ("intent", "sum")}
    world.annotate(CONFIG_MAPS, "fraud-router", names.ANNOTATION_ROUTES, json.dumps(written))


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("how", ENDS)
async def test_an_upgrade_of_the_operator_changes_nothing_about_what_was_decided(how: str, earlier: bool) -> None:
    world = await ended(how)
    shares, rollout = world.shares(), world.status["rollout"]
    if earlier:
        forget_intent(world)
    images = {name: image_of(world, name) for name in shares}
    told = len(world.events)
    world.start("inference:2")
    await world.run(10)
    world.start("inference:3")
    await world.run(10)
    assert world.shares() == shares
    assert world.status["rollout"] == rollout
    assert {name: image_of(world, name) for name in shares} == (
        images if how == "Paused" else dict.fromkeys(shares, "inference:3")
    ), "what serves beside a rejected version is at rest"
    assert [reason for _, reason, _ in world.events[told:] if not reason.startswith("PlatformUpdat")] == []


@pytest.mark.parametrize(("how", "command"), [("RolledBack", "retry"), ("Aborted", "retry"), ("Aborted", "promote")])
async def test_after_an_upgrade_a_person_gets_the_rejected_version_with_the_pods_of_now(how: str, command: str) -> None:
    world = await ended(how)
    rejected = world.status["rollout"]["revision"]
    world.start("inference:2")
    await world.run(3)
    world.command(command)
    await world.run()
    tried = world.status["rollout"]["revision"]
    assert tried == rejected, "the same model and the same settings are the same revision"
    assert image_of(world, tried) == "inference:2"
    assert world.shares()[tried] == (100 if command == "promote" else 10)


async def test_after_an_upgrade_a_paused_version_goes_on_when_it_is_resumed() -> None:
    world = await ended("Paused")
    candidate = world.status["rollout"]["revision"]
    world.start("inference:2")
    await world.run(3)
    world.command("resume")
    await world.run()
    assert world.shares()[candidate] == 10
    assert world.status["rollout"]["phase"] == "Progressing"
    world.command("promote")
    await world.run(3)
    assert world.shares() == {candidate: 100} or world.stable == candidate, "promoted as it was measured"
    await world.run()
    assert world.shares() == {candidate: 100}, "the upgrade makes no other revision"
    assert image_of(world, candidate) == "inference:2", "at rest it gets the pods of now, as any other model"


@pytest.mark.parametrize("how", ENDS)
async def test_after_an_upgrade_another_spec_is_another_rollout(how: str) -> None:
    world = await ended(how)
    world.start("inference:2")
    await world.run(3)
    world.ask_for(2, resources={"requests": {"cpu": "1"}})
    await world.run(6)
    assert world.status["rollout"]["phase"] == "Progressing"
    assert image_of(world, world.status["rollout"]["revision"]) == "inference:2"


async def test_after_an_upgrade_a_change_that_shapes_no_pod_is_no_other_intent() -> None:
    world = await ended("RolledBack")
    world.start("inference:2")
    world.ask_for(2, replicas=3, traffic={"timeout": "9s"})
    await world.run(6)
    assert world.status["rollout"]["phase"] == "RolledBack"
    assert world.shares() == {world.stable: 100}


async def test_a_router_of_a_single_pod_has_no_budget_and_nobody_looks_for_one() -> None:
    world = ClusterWorld()
    world.ask_for(1, replicas=2, router={"replicas": 2})
    await world.run()
    assert (DISRUPTION_BUDGETS, "fraud-router") in world.objects
    world.ask_for(1, replicas=2, router={"replicas": 1})
    await world.run()
    assert [name for resource, name in world.objects if resource is DISRUPTION_BUDGETS] == [world.stable]
    read: list[str] = []

    async def get(resource: Any, _namespace: str, name: str) -> None:
        read.append(f"{resource.kind} {name}")

    world.get = get  # type: ignore[method-assign]
    writes = world.writes
    await world.run(3)
    assert (read, world.writes) == ([], writes)


OTHER = "sha256:" + "b" * 64


async def test_an_artifact_that_was_overwritten_comes_up_in_no_new_pod() -> None:
    world = ClusterWorld()
    world.ask_for(1, replicas=2)
    await world.run()
    stable, first = world.stable, world.fetched
    world.fetched = OTHER
    world.remove(PODS, f"{stable}-0")
    world.settle()
    await world.run(4)
    assert world.answers(stable), "the pod that is left"
    assert world.status["stable"]["digest"] == first
    assert world.condition("Stalled")["reason"] == "ArtifactChanged"
    world.start("inference:1")
    world.remove(PODS, f"{stable}-1")
    world.settle()
    await world.run(4)
    assert not world.answers(stable), "an outage that is told, not another model"
    assert world.condition("Stalled")["reason"] == "ArtifactChanged"
    world.fetched = first
    for number in range(2):
        world.remove(PODS, f"{stable}-{number}")
    await world.run(4)
    assert world.condition("Ready")["status"] == "True"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_pin_that_somebody_deleted_is_made_again_and_goes_with_its_revision(restarted: bool) -> None:
    world = ClusterWorld()
    world.ask_for(1)
    await world.run()
    stable, first = world.stable, world.fetched
    assert world.objects[CONFIG_MAPS, pin_name(stable)]["data"] == {"digest": first}
    world.remove(CONFIG_MAPS, pin_name(stable))
    world.fetched = OTHER
    if restarted:
        world.start("inference:1")
    await world.step()
    assert world.objects[CONFIG_MAPS, pin_name(stable)]["data"] == {"digest": first}
    world.ask_for(2, rollout={"strategy": "Immediate"})
    await world.run()
    assert world.status["stable"]["digest"] == OTHER, "another revision has a digest of its own"
    assert (CONFIG_MAPS, pin_name(stable)) not in world.objects


async def test_what_the_user_pins_needs_no_pin_of_ours() -> None:
    world = ClusterWorld()
    world.ask_for(1, model={"uri": "s3://models/m.onnx", "digest": OTHER})
    world.fetched = OTHER
    await world.run()
    assert (CONFIG_MAPS, pin_name(world.stable)) not in world.objects


async def test_what_is_wrong_with_a_stable_that_spec_does_not_ask_for_is_told() -> None:
    world = await ended("RolledBack")
    stable = world.stable
    world.fetched = OTHER
    world.remove(PODS, f"{stable}-0")
    world.settle()
    await world.run(3)
    stalled = world.condition("Stalled")
    assert (stalled["reason"], world.condition("Servable")["status"]) == ("ArtifactChanged", "False")
    assert stalled["message"].startswith(f"{stable}, which has the traffic: ")
