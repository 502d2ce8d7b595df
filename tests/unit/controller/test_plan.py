"""The writes that a decision leads to, and their order."""

from typing import Any

from builders import PLATFORM, observed, owner, pod, revision, router
from modelward.api import names
from modelward.cluster.resources import Resource, resource_of
from modelward.controller.diff import stamped
from modelward.controller.plan import Plan, plan
from modelward.domain.facts import Observed, Promotion, RouterFacts, RouterPodFacts, RouteTable
from modelward.render import revision as render_revision
from modelward.render import router as render_router

OWNER = owner()
A = render_revision.name_of(OWNER, PLATFORM)


class World(dict[tuple[str, str], Any]):
    """Live objects by kind and name."""

    def take(self, *manifests: Any) -> "World":
        for manifest in manifests:
            self[manifest["kind"], manifest["metadata"]["name"]] = stamped(manifest)
        return self

    def live(self, resource: Resource, name: str) -> Any:
        return self.get((resource.kind, name))


def converged() -> World:
    return World().take(
        render_revision.service(OWNER, A),
        render_revision.deployment(OWNER, PLATFORM, A, 1, promotion=Promotion(1, 0.0)),
        render_router.config_map(OWNER, PLATFORM, RouteTable(A)),
        render_router.deployment(OWNER, PLATFORM),
        render_router.service(OWNER),
    )


def planned(facts: Observed, world: World, **options: Any) -> Plan:
    return plan(OWNER, facts, PLATFORM, world.live, **options)


def applied(result: Plan) -> list[str]:
    return [f"{each['kind']} {each['metadata']['name']}" for each in result.applies]


def version_of(*revisions: str) -> str:
    return render_router.version_of(OWNER, PLATFORM, RouteTable(revisions[0], (), revisions[1:]))


def test_a_new_model_takes_five_objects_in_a_safe_order() -> None:
    assert applied(planned(observed(A), World())) == [
        f"Service {A}",
        f"Deployment {A}",
        "ConfigMap fraud-router",
        "Deployment fraud-router",
        "Service fraud",
    ]


def test_nothing_is_written_when_converged() -> None:
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    result = planned(facts, converged())
    assert (result.applies, result.scales, result.touches, result.deletes) == ((), (), (), ())


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
        render_revision.service(OWNER, "fraud-old"), render_revision.deployment(OWNER, PLATFORM, "fraud-old", 1)
    )
    facts = observed(A, revision(A), revision("fraud-old"), router=router(A, "fraud-old"))
    assert [resource.kind for resource, _ in planned(facts, world).deletes] == ["Service", "Deployment"]


def test_a_service_that_a_crash_left_alone_goes() -> None:
    stray = stamped(render_revision.service(OWNER, "fraud-gone"))
    facts = observed(A, revision(A, promoted=1), router=router(A, version=version_of(A)))
    own = stamped(render_revision.service(OWNER, A))
    public = stamped(render_router.service(OWNER))
    result = planned(facts, converged(), services=(stray, own, public))
    assert [body["metadata"]["name"] for _, body in result.deletes] == ["fraud-gone"]


def test_the_stable_is_scaled_without_its_manifest() -> None:
    facts = observed(A, revision("fraud-old"), revision(A, ready=0), router=router("fraud-old", A), replicas=3)
    result = planned(facts, World())
    assert result.scales == (("fraud-old", 3),)
    assert all(each["metadata"]["name"] != "fraud-old" for each in result.applies)


def test_every_manifest_is_labelled_and_owned() -> None:
    for manifest in planned(observed(A), World()).applies:
        metadata = manifest["metadata"]
        assert metadata["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
        assert metadata["labels"][names.LABEL_INSTANCE] == "fraud"
        assert metadata["ownerReferences"][0]["uid"] == OWNER.uid
        assert resource_of(manifest)
