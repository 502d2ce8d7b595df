"""Whether a live object still is what was rendered."""

import copy
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.facts import Arm, RouteTable
from modelward.kube.diff import differs, stamped
from modelward.revisions import deployment as revision
from modelward.routing.envoy import objects as router
from modelward.routing.gateway import route as gateway

PARENTS = Gateway((ParentReference("public", "a"), ParentReference("public", "b")))

MANIFESTS = [
    revision.deployment(owner(), PLATFORM, "fraud-a", 2),
    revision.service(owner(), "fraud-a"),
    router.deployment(owner(), PLATFORM),
    router.service(owner()),
    gateway.http_route(
        owner(router=Router(gateway=PARENTS)), PLATFORM, RouteTable("fraud-a", (Arm("candidate", "fraud-b", 10, 50),))
    ),
]
ROUTE = MANIFESTS[-1]


def with_server_defaults(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the API server and others add."""
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    live["status"] = {"readyReplicas": 1}
    live["spec"]["defaulted"] = True
    template = live["spec"].get("template")
    if template:
        template["spec"]["dnsPolicy"] = "ClusterFirst"
        template["spec"]["containers"].append({"name": "mesh-sidecar", "image": "mesh:1"})
        template["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    return live


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_defaults_and_additions_of_others_are_no_difference(manifest: dict[str, Any]) -> None:
    wanted = stamped(manifest)
    assert not differs(wanted, with_server_defaults(wanted))


def test_what_does_not_exist_differs() -> None:
    assert differs(stamped(MANIFESTS[0]), None)


def test_an_edited_field_differs() -> None:
    wanted = stamped(MANIFESTS[0])
    live = with_server_defaults(wanted)
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "edited:1"
    assert differs(wanted, live)


def test_a_removed_container_differs() -> None:
    wanted = stamped(MANIFESTS[0])
    live = with_server_defaults(wanted)
    del live["spec"]["template"]["spec"]["initContainers"]
    assert differs(wanted, live)


def test_a_field_that_left_the_manifest_differs() -> None:
    before = stamped(revision.deployment(owner(service_account_name="cloud"), PLATFORM, "fraud-a", 2))
    after = stamped(MANIFESTS[0])
    assert differs(after, with_server_defaults(before))


def test_one_backend_or_parent_more_differs() -> None:
    """Lists of an HTTPRoute are taken as they are: Gateways would follow what somebody has added."""
    wanted = stamped(ROUTE)
    for path in ("rules", "parentRefs"):
        live = with_server_defaults(wanted)
        live["spec"][path].append(live["spec"][path][0])
        assert differs(wanted, live)
    live = with_server_defaults(wanted)
    live["spec"]["rules"][0]["backendRefs"].append({"name": "other", "port": 9000, "weight": 1})
    assert differs(wanted, live)


@pytest.mark.parametrize(("wanted", "live"), [("1000m", "1"), ("0.5", "500m"), (1, "1"), ("1024Mi", "1Gi")])
def test_the_same_quantity_written_otherwise_is_no_difference(wanted: str | int, live: str) -> None:
    assert not differs({"cpu": wanted}, {"cpu": live})


@pytest.mark.parametrize(("wanted", "live"), [("1", "2"), ("a", "b"), (True, 1.5), ("", "x"), ([1], [1, 2])])
def test_another_value_differs(wanted: object, live: object) -> None:
    assert differs({"field": wanted}, {"field": live})


@pytest.mark.parametrize("empty", [None, "", 0, False, {}, []])
def test_empty_is_the_same_as_absent(empty: object) -> None:
    assert not differs({"field": empty}, {"other": 1})
