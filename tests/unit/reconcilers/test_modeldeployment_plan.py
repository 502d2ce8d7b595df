"""The writes that a decision leads to, and their order."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from builders import PLATFORM, observed, owner, pod, revision, router
from modelward.api import names
from modelward.api.modeldeployment import Logging, Model
from modelward.facts import Observed, Progress, Promotion, RouterFacts, RouterPodFacts, RouteTable
from modelward.kube.diff import stamped
from modelward.kube.resources import Resource, resource_of
from modelward.reconcilers.modeldeployment.plan import Converged, Plan, plan
from modelward.revisions import deployment as render_revision
from modelward.revisions import disruption
from modelward.revisions.pods import identity
from modelward.revisions.record import record, router_record
from modelward.routing import network_policies as network
from modelward.routing.envoy import objects as render_router
from modelward_telemetry import wanted

OWNER = owner()
A = render_revision.name_of(OWNER)
OTHER = owner(model=Model("s3://models/other.onnx"))
OLD = render_revision.name_of(OTHER)
SHAPE = render_revision.shape(OTHER, PLATFORM, OLD)


class World(dict[tuple[str, str], Any]):
    """Live objects by kind and name."""

    def take(self, *manifests: Any) -> "World":
        for manifest in manifests:
            self[manifest["kind"], manifest["metadata"]["name"]] = stamped(manifest)
        return self

    def live(self, resource: Resource, name: str) -> Any:
        return self.get((resource.kind, name))


def converged() -> World:
    promotion = Promotion(1, 0.0)
    return World().take(
        record(OWNER, A, render_revision.shape(OWNER, PLATFORM, A), promotion, render_revision.intent_of(OWNER)),
        render_revision.service(OWNER, A),
        render_revision.deployment(OWNER, PLATFORM, A, 1, promotion=promotion),
        render_router.config_map(OWNER, PLATFORM, RouteTable(A)),
        router_record(
            OWNER, "fraud-router", render_router.template_of(OWNER, PLATFORM), render_router.intent_of(OWNER), None
        ),
        disruption.of_router(OWNER, "fraud-router"),
        render_router.deployment(OWNER, PLATFORM),
        render_router.service(OWNER),
    )


def planned(facts: Observed, world: World, **options: Any) -> Plan:
    return plan(OWNER, facts, PLATFORM, world.live, **options)


def applied(result: Plan) -> list[str]:
    return [f"{each['kind']} {each['metadata']['name']}" for each in result.applies]


def version_of(*revisions: str) -> str:
    return render_router.version_of(OWNER, PLATFORM, RouteTable(revisions[0], (), revisions[1:]))


def test_a_new_model_takes_eight_objects_in_a_safe_order() -> None:
    assert applied(planned(observed(A), World())) == [
        f"ControllerRevision {A}",
        f"Service {A}",
        f"Deployment {A}",
        "ConfigMap fraud-router",
        "PodDisruptionBudget fraud-router",
        "ControllerRevision fraud-router",
        "Deployment fraud-router",
        "Service fraud",
    ]


def edited(kind: str, name: str, edit: Callable[[Any], None]) -> Callable[[World], None]:
    """As a watch brings it: another object in its place."""

    def change(world: World) -> None:
        body = copy.deepcopy(world[kind, name])
        edit(body)
        world[kind, name] = body

    return change


EDITS: dict[str, Callable[[World], None]] = {
    "nothing": lambda _: None,
    "its Deployment": edited("Deployment", A, lambda body: body["spec"].update(replicas=5)),
    "its Service": edited("Service", A, lambda body: body["spec"].update(selector={})),
    "its record": edited("ControllerRevision", A, lambda body: body["metadata"]["labels"].clear()),
    "the routes": edited("ConfigMap", "fraud-router", lambda body: body["metadata"]["annotations"].clear()),
    "the configuration": edited("ConfigMap", "fraud-router", lambda body: body["data"].clear()),
    "a Service that is gone": lambda world: world.pop(("Service", "fraud")),
}


@pytest.mark.parametrize("what", EDITS)
def test_what_is_remembered_changes_no_plan(what: str) -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    world, kept = converged(), Converged()
    assert planned(facts, world, converged=kept) == planned(facts, world)
    EDITS[what](world)
    assert bool(planned(facts, world).applies) == (what != "nothing")
    for _ in range(2):
        assert planned(facts, world, converged=kept) == planned(facts, world)


def test_what_is_remembered_is_of_these_facts_alone() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    world, kept = converged(), Converged()
    others = [
        (OWNER, replace(facts, revisions={A: revision(A, promoted=2)}), PLATFORM),
        (OWNER, facts, replace(PLATFORM, router_image="envoy:2")),
        (OWNER, facts, replace(PLATFORM, cluster_domain="example.org")),
        (owner(replicas=3), replace(facts, replicas=3), PLATFORM),
        (replace(OWNER, status={"stable": {"revision": A, "digest": "sha256:" + "1" * 64}}), facts, PLATFORM),
        (OWNER, facts, PLATFORM),
    ]
    for by, seen, platform in others:
        planned(facts, world, converged=kept)
        assert plan(by, seen, platform, world.live, converged=kept) == plan(by, seen, platform, world.live)


def test_pods_learn_of_the_operators_keys_before_they_are_there_and_whenever_these_change() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    known, rotated = (replace(PLATFORM, operator_keys=each) for each in (("one",), ("one", "two")))
    first = applied(plan(OWNER, observed(A), known, World().live))
    assert first.index("ConfigMap modelward-fraud-operator") < first.index(f"Deployment {A}")
    world = converged().take(identity.config_map(OWNER, ("one",)))
    assert applied(plan(OWNER, facts, known, world.live)) == []
    (changed,) = plan(OWNER, facts, rotated, world.live).applies
    assert changed["data"] == {"keys": "one\ntwo\n"}
    assert applied(plan(OWNER, facts, PLATFORM, world.live)) == [], "an operator without keys takes none away"
    assert applied(plan(OWNER, facts, known, converged().live)) == ["ConfigMap modelward-fraud-operator"], (
        "it is repaired"
    )


def test_what_pods_are_to_log_is_told_beside_the_keys_and_makes_no_pod_anew() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    known = replace(PLATFORM, operator_keys=("one",))
    world = converged().take(identity.config_map(OWNER, ("one",)))
    asked = owner(logging=Logging(level="DEBUG", access_log_share="2.5%"))
    (changed,) = plan(asked, facts, known, world.live).applies
    assert changed["metadata"]["name"] == "modelward-fraud-operator"
    assert json.loads(changed["data"]["logging"]) == {"level": "DEBUG", "accessLogShare": 0.025}
    assert wanted.read(changed["data"]["logging"]) == wanted.Wanted("DEBUG", 0.025), "as pods read it"
    assert changed["data"]["keys"] == "one\n"
    world.take(identity.config_map(asked, ("one",)))
    assert applied(plan(asked, facts, known, world.live)) == []
    (back,) = plan(OWNER, facts, known, world.live).applies
    assert "logging" not in back["data"]
    for one in (Logging(level="ERROR"), Logging(access_log_share="100%")):
        wanted.read(identity.config_map(owner(logging=one), ())["data"]["logging"])


def test_nothing_is_written_when_converged() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    result = planned(facts, converged())
    assert (result.applies, result.touches, result.deletes) == ((), (), ())


def test_an_edit_by_hand_is_taken_back() -> None:
    world = converged()
    world["Service", "fraud"]["spec"]["ports"][0]["port"] = 81
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    assert applied(planned(facts, world)) == ["Service fraud"]


def test_router_pods_with_another_configuration_are_touched_once() -> None:
    behind = RouterPodFacts(pod("router"), "v0", frozenset())
    facts = observed(A, revision(A), router=RouterFacts(None, RouteTable(A), version_of(A), (behind,)))
    world = converged()
    result = planned(facts, world)
    assert result.touches == (("router", result.version),)
    world["Pod", "router"] = {"metadata": {"annotations": {names.ANNOTATION_CONFIG: result.version}}}
    assert planned(facts, world).touches == ()
    assert planned(facts, world, retouch=lambda _: True).touches == (("router", f"{result.version}.1"),)


def test_a_router_pod_that_does_not_answer_is_left_alone() -> None:
    silent = RouterPodFacts(pod("router"), None, frozenset())
    facts = observed(A, revision(A), router=RouterFacts(None, RouteTable(A), version_of(A), (silent,)))
    assert planned(facts, converged()).touches == ()


def test_an_old_revision_goes_deployment_last() -> None:
    world = converged().take(
        render_revision.service(OWNER, OLD),
        render_revision.deployment(OWNER, PLATFORM, OLD, 1),
        record(OWNER, OLD, SHAPE),
    )
    facts = observed(A, revision(A), revision(OLD), router=router(A, OLD))
    kinds = [resource.kind for resource, _ in planned(facts, world).deletes]
    assert kinds == ["Service", "Deployment", "ControllerRevision"]


def test_a_service_that_a_crash_left_alone_goes() -> None:
    stray = stamped(render_revision.service(OWNER, OLD))
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    own = stamped(render_revision.service(OWNER, A))
    public = stamped(render_router.service(OWNER))
    result = planned(facts, converged(), services=(stray, own, public))
    assert [body["metadata"]["name"] for _, body in result.deletes] == [OLD]


SPOILT: dict[str, Callable[[World], Any]] = {
    "deleted": lambda world: world.pop(("Deployment", OLD)),
    "no Service": lambda world: world.pop(("Service", OLD)),
    "scaled": lambda world: world["Deployment", OLD]["spec"].update(replicas=0),
    "another image": lambda world: pod_of(world)["containers"][0].update(image="inference:hacked"),
    "another model": lambda world: pod_of(world)["initContainers"][0].update(env=[]),
    "another label": lambda world: world["Deployment", OLD]["metadata"]["labels"].update(
        {names.LABEL_REVISION: "other", names.LABEL_MANAGED_BY: "Helm"}
    ),
    "no annotation": lambda world: world["Deployment", OLD]["metadata"].pop("annotations"),
    "no owner": lambda world: world["Deployment", OLD]["metadata"].pop("ownerReferences"),
}


def pod_of(world: World) -> Any:
    return world["Deployment", OLD]["spec"]["template"]["spec"]


def stable_of_another_spec() -> World:
    shape = render_revision.shape(OTHER, PLATFORM, OLD)
    return World().take(
        *json.loads(json.dumps([
            record(OWNER, OLD, shape), render_revision.service(OWNER, OLD),
            render_revision.deployment_of(OWNER, shape, OLD, 1),
        ]))
    )  # fmt: skip


@pytest.mark.parametrize("harm", SPOILT)
def test_what_is_done_to_a_stable_that_spec_does_not_ask_for_is_taken_back(harm: str) -> None:
    world, rejected = stable_of_another_spec(), Progress(A, 0, "RolledBack", "GateFailed")
    facts = observed(A, revision(OLD), router=router(OLD, progress=rejected))
    ours = {f"{kind} {OLD}" for kind, _ in world}
    assert not ours & set(applied(planned(facts, world)))
    whole = stable_of_another_spec()
    SPOILT[harm](world)
    for each in planned(facts, world).applies:
        if each["metadata"]["name"] == OLD:
            world.take(each)
            assert each["kind"] != "ControllerRevision"
    assert {key: world[key]["spec"] for key in world if "spec" in world[key]} == {
        key: whole[key]["spec"] for key in whole if "spec" in whole[key]
    }
    assert world["Deployment", OLD]["metadata"]["labels"] == whole["Deployment", OLD]["metadata"]["labels"]
    assert world["Deployment", OLD]["metadata"]["ownerReferences"] == [OWNER.owner_reference]


def test_a_stable_that_an_earlier_operator_made_gets_its_record_from_its_deployment() -> None:
    world = stable_of_another_spec()
    del world["ControllerRevision", OLD]
    facts = observed(A, revision(OLD), revision(A, ready=0), router=router(OLD, A), replicas=3)
    made = {each["kind"]: each for each in planned(facts, world).applies if each["metadata"]["name"] == OLD}
    assert made["ControllerRevision"]["data"]["template"] == world["Deployment", OLD]["spec"]["template"]
    assert "other.onnx" in made["ControllerRevision"]["data"]["model"]
    assert made["Deployment"]["spec"]["replicas"] == 3


def test_the_data_of_a_record_stay_as_they_were_written() -> None:
    world = stable_of_another_spec()
    world["ControllerRevision", OLD]["data"]["later"] = "field"
    world["ControllerRevision", OLD]["metadata"]["labels"] = {}
    facts = observed(A, revision(OLD), router=router(OLD))
    made = {
        each["metadata"]["name"]: each for each in planned(facts, world).applies if each["kind"] == "ControllerRevision"
    }
    assert made[OLD]["data"] == world["ControllerRevision", OLD]["data"]
    assert made[OLD]["metadata"]["labels"]


def test_every_manifest_is_labelled_and_owned() -> None:
    for manifest in planned(observed(A), World()).applies:
        metadata = manifest["metadata"]
        assert metadata["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
        assert metadata["labels"][names.LABEL_INSTANCE] == "fraud"
        assert metadata["ownerReferences"][0]["uid"] == OWNER.uid
        assert resource_of(manifest)


ENFORCED = replace(PLATFORM, operator_namespace="modelward-system")
POLICIES = ["NetworkPolicy modelward-fraud-server", "NetworkPolicy modelward-fraud-router"]


def test_network_policies_come_before_the_pods_that_they_are_for() -> None:
    result = plan(OWNER, observed(A), ENFORCED, World().live)
    assert applied(result)[:4] == [*POLICIES, f"ControllerRevision {A}", f"Service {A}"]


def test_network_policies_go_where_the_installation_makes_none_any_more() -> None:
    there = list(network.policies(OWNER, ENFORCED, by_gateway=False))
    world = converged().take(*there)
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    kept = plan(OWNER, facts, ENFORCED, world.live)
    assert (kept.applies, kept.deletes) == ((), ())
    result = planned(facts, world)
    assert [f"{resource.kind} {body['metadata']['name']}" for resource, body in result.deletes] == POLICIES
    for each in there:
        each["metadata"]["ownerReferences"] = [owner("other").owner_reference | {"uid": "another"}]
    assert not planned(facts, converged().take(*there)).deletes


def test_a_budget_is_made_for_several_pods_and_goes_with_all_but_one() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    several = replace(facts, replicas=2)
    made = [each for each in planned(several, converged()).applies if each["kind"] == disruption.KIND]
    assert [each["metadata"]["name"] for each in made] == [A]
    fewer = planned(facts, converged().take(*made))
    assert [(resource.kind, body["metadata"]["name"]) for resource, body in fewer.deletes] == [(disruption.KIND, A)]
    assert planned(several, converged().take(*made)).deletes == ()


def test_somebody_elses_budget_is_left_alone() -> None:
    theirs = disruption.of_revision(owner("other"), A)
    theirs["metadata"]["ownerReferences"] = [owner("other").owner_reference | {"uid": "another"}]
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    assert planned(facts, converged().take(theirs)).deletes == ()


def test_what_monitors_left_of_a_revision_that_is_gone_goes_too() -> None:
    """It was stored while the revision was being taken away, so that nobody knew of it then."""

    def stored(name: str, **metadata: Any) -> dict[str, Any]:
        labels = {names.LABEL_COMPONENT: names.COMPONENT_MONITOR, names.LABEL_REVISION: name}
        made = {"name": f"{name}-monitor", "uid": name, "labels": labels, "ownerReferences": [OWNER.owner_reference]}
        return {"metadata": {**made, **metadata}}

    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    somebodys = stored("fraud-0000000001", ownerReferences=[])
    router_map = render_router.config_map(OWNER, PLATFORM, RouteTable(A))
    kept = [stored(A), somebodys, router_map]
    gone = stored("fraud-0000000002")
    planned_now = planned(facts, converged(), config_maps=[*kept, gone])
    assert [body for _, body in planned_now.deletes] == [gone]
