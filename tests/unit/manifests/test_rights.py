"""What the audit log says of RBAC rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from rights import Right, asked_for, denied, events_of, rights_of, unused

OPERATOR = "system:serviceaccount:modelward-system:modelward-operator"


def event(verb: str, resource: str, code: int = 200, group: str = "", **more: Any) -> dict[str, Any]:
    reference = {"resource": resource, "namespace": "ml", **({"apiGroup": group} if group else {})}
    reference |= {key: more.pop(key) for key in ("name", "subresource") if key in more}
    return {
        "verb": verb, "objectRef": reference, "responseStatus": {"code": code}, "user": {"username": OPERATOR},
        "requestURI": f"/{resource}", "requestReceivedTimestamp": "2026-11-29T13:00:00.000000Z", **more,
    }  # fmt: skip


RULES = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "create", "patch"]},
    {"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["patch"]},
    {"apiGroups": ["x"], "resources": ["leases"], "verbs": ["get"], "resourceNames": ["a", "b"]},
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
]


def test_rules_are_rights_one_by_one() -> None:
    assert sorted(map(str, rights_of(RULES))) == [
        "create deployments.apps", "get leases.x a", "get leases.x b", "list deployments.apps",
        "patch deployments.apps",
        "patch pods", "patch pods/status",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "left"),
    [
        ([], {"list", "create", "patch"}),
        ([event("list", "deployments", group="apps")], {"create", "patch"}),
        # Server-side apply: what it makes, and what it changes.
        ([event("patch", "deployments", 201, "apps")], {"list"}),
        ([event("patch", "deployments", 200, "apps")], {"list", "create"}),
        # Of another group, of another resource, refused.
        ([event("list", "deployments", group="extensions")], {"list", "create", "patch"}),
        ([event("list", "deployments/scale", group="apps")], {"list", "create", "patch"}),
        ([event("list", "deployments", subresource="scale", group="apps")], {"list", "create", "patch"}),
        ([event("list", "deployments", 403, "apps")], {"list", "create", "patch"}),
        # Let through, whatever became of it; and a watch has no code before it ends.
        ([event("list", "deployments", 500, "apps"), event("create", "deployments", 409, "apps")], {"patch"}),
        ([event("list", "deployments", 0, "apps")], {"create", "patch"}),
        ([{"verb": "get", "requestURI": "/healthz"}], {"list", "create", "patch"}),
    ],
)
def test_what_no_request_needed(made: list[dict[str, Any]], left: set[str]) -> None:
    assert {each.verb for each in unused(rights_of(RULES[:1]), made)} == left


def test_a_right_to_one_object_is_not_used_by_another() -> None:
    rights = rights_of(RULES[2:3])
    assert [each.name for each in unused(rights, [event("get", "leases", group="x", name="a")])] == ["b"]
    assert len(unused(rights, [event("get", "leases", group="x", name="c")])) == 2


def test_subresources_are_resources_of_their_own() -> None:
    assert asked_for(event("patch", "pods", subresource="status", name="p")) == (
        Right("", "pods/status", "patch", "p"),
    )
    assert [str(each) for each in unused(rights_of(RULES[1:2]), [event("patch", "pods")])] == ["patch pods/status"]


def test_everything_is_used_by_anything() -> None:
    everything = rights_of([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])
    assert unused(everything, [event("get", "pods")]) == []
    assert len(unused(everything, [])) == 1


def test_what_was_denied_is_told_once() -> None:
    refused = {"code": 403, "message": "no right"}
    events = [event("get", "secrets", responseStatus=refused), event("get", "secrets", responseStatus=refused)]
    assert denied([*events, event("get", "pods", 404)]) == ["get /secrets: no right"]


def test_of_a_log_only_the_users_own_since_then(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    late, early = event("get", "pods"), event("get", "pods", requestReceivedTimestamp="2026-11-29T12:59:59.999999Z")
    others = event("get", "pods", user={"username": "admin"}, requestURI=f"/as/{OPERATOR}")
    log.write_text("".join(json.dumps(each) + "\n" for each in (early, late, others)) + f'{{"cut": "{OPERATOR}')
    (tmp_path / "audit-2026-11-29T13-00-00.000.log").write_text(json.dumps(event("list", "pods")) + "\n")
    found = events_of(log, OPERATOR, since="2026-11-29T13:00:00.000000Z")
    assert sorted(each["verb"] for each in found) == ["get", "list"]
