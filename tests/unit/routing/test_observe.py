"""What Gateways say of an HTTPRoute, from the words of the Gateway API."""

from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.facts import RouteTable
from modelward.routing.gateway import route as gateway
from modelward.routing.gateway.accepted import ParentFacts, RouteFacts
from modelward.routing.observe import route_facts
from modelward.routing.routers import Stored

OWNER = owner(router=Router(gateway=Gateway((ParentReference("public", "infra", "http"), ParentReference("near")))))
FIRST, SECOND = "infra/public/http", "ml/near"


def condition(kind: str, status: str = "True", generation: int = 3, reason: str = "R", message: str = "m.") -> Any:
    return {"type": kind, "status": status, "observedGeneration": generation, "reason": reason, "message": message}


def parent(reference: dict[str, Any], *conditions: Any) -> dict[str, Any]:
    return {
        "parentRef": {"group": "g", "kind": "Gateway", **reference},
        "controllerName": "c",
        "conditions": conditions,
    }


PUBLIC = {"name": "public", "namespace": "infra", "sectionName": "http"}
GOOD = (condition("Accepted"), condition("ResolvedRefs"))


def facts(*parents: Any) -> RouteFacts:
    body = gateway.http_route(OWNER, PLATFORM, RouteTable("fraud-a"))
    body["metadata"] |= {"uid": "u", "generation": 3}
    return route_facts(OWNER, Stored({**body, "status": {"parents": parents}}, RouteTable("fraud-a"), "v1", None))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((), ParentFacts(FIRST)),
        ((parent(PUBLIC, *GOOD),), ParentFacts(FIRST, True, True, True)),
        ((parent({**PUBLIC, "sectionName": "https"}, *GOOD),), ParentFacts(FIRST)),
        ((parent({"name": "public", "sectionName": "http"}, *GOOD),), ParentFacts(FIRST)),
        ((parent(PUBLIC, condition("Accepted")),), ParentFacts(FIRST, True, False, True)),
        (
            (parent(PUBLIC, condition("Accepted", generation=2), condition("ResolvedRefs")),),
            ParentFacts(FIRST, True, True, False),
        ),
        (
            (parent(PUBLIC, condition("Accepted", "False", reason="NoMatchingParent", message="No listener.")),),
            ParentFacts(FIRST, True, False, True, "NoMatchingParent: No listener"),
        ),
        (
            (parent(PUBLIC, condition("Accepted"), condition("ResolvedRefs", "False", reason="BackendNotFound")),),
            ParentFacts(FIRST, True, False, True, "BackendNotFound: m"),
        ),
        (
            (parent(PUBLIC, condition("Accepted", "False", generation=2), condition("ResolvedRefs")),),
            ParentFacts(FIRST, True, False, False),
        ),
        ((parent(PUBLIC, *GOOD, condition("PartiallyInvalid")),), ParentFacts(FIRST, True, True, True)),
        (
            (parent(PUBLIC, condition("Accepted", "False", reason="Elsewhere")), parent(PUBLIC, *GOOD)),
            ParentFacts(FIRST, True, True, True),
        ),
    ],
)
def test_what_a_parent_says(said: tuple[Any, ...], expected: ParentFacts) -> None:
    assert facts(*said).parents == (expected, ParentFacts(SECOND))


@pytest.mark.parametrize("reference", [{"name": "near"}, {"name": "near", "namespace": "ml"}])
def test_a_parent_without_a_namespace_is_in_that_of_the_route(reference: dict[str, Any]) -> None:
    assert facts(parent(reference, *GOOD)).parents[1] == ParentFacts(SECOND, True, True, True)


def test_the_form_is_the_object_and_its_generation() -> None:
    assert (facts().form, facts().version, facts().name) == ("u/3", "v1", "fraud")
