"""Which pods a drain may take at a time."""

from typing import Any

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Router
from modelward.facts import RouteTable
from modelward.revisions import deployment as revision
from modelward.revisions import disruption
from modelward.routing.envoy import objects as router

OWNER = owner()


def budgets(manifests: Any) -> list[dict[str, Any]]:
    return [each for each in manifests if each["kind"] == disruption.KIND]


def test_a_budget_selects_the_pods_of_its_revision_alone() -> None:
    name = revision.name_of(OWNER)
    selected = disruption.of_revision(OWNER, name)["spec"]["selector"]["matchLabels"]
    pods = revision.deployment(OWNER, PLATFORM, name, 2)["spec"]["template"]["metadata"]["labels"]
    assert selected.items() <= pods.items()
    other = revision.deployment(OWNER, PLATFORM, "fraud-b", 2)["spec"]["template"]["metadata"]["labels"]
    assert not selected.items() <= other.items()
    routers = router.deployment(OWNER, PLATFORM)["spec"]["template"]["metadata"]["labels"]
    assert not selected.items() <= routers.items()


def test_two_routers_have_a_budget_and_one_has_none() -> None:
    (budget,) = budgets(router.manifests(OWNER, PLATFORM, RouteTable("fraud-a"), None))
    pods = router.deployment(OWNER, PLATFORM)["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= pods.items()
    assert budget["spec"]["maxUnavailable"] == 1
    alone = owner(router=Router(replicas=1))
    assert budgets(router.manifests(alone, PLATFORM, RouteTable("fraud-a"), None)) == []


def test_what_does_not_work_keeps_no_node() -> None:
    assert disruption.of_revision(OWNER, "fraud-a")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
