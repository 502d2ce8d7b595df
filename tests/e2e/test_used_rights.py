"""After everything else of this tier, by its name: what the operator asked of the API server, against its rules."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from localcluster import cluster
from rights import Event, Right, denied, events_of, rights_of, unused

HERE = Path(__file__).parent
RBAC = HERE.parents[1] / "manifests" / "base" / "rbac.yaml"
OPERATOR = "system:serviceaccount:modelward-system:modelward-operator"

GATEWAY = "no test of this tier has the Gateway API; the gateway tier has"
WORKFLOWS = "no cluster of a test has Argo Workflows; what is asked of it is in the contract suite of triggers"
CACHED = "only of models that share a cache: their tests run alone, after this one"
ONCE = "once in the life of an installation, maybe before this run"
NOT_AN_API = "no request: admission asks the authorizer for it (ours, and OwnerReferencesPermissionEnforcement)"
RARE: Final[Mapping[Right, str]] = {
    # What may stay unused here, and why it is given.
    **{Right("modelward.io", each, "operate"): NOT_AN_API for each in ("modeldeployments", "driftpolicies")},
    **{
        Right("modelward.io", f"{each}/finalizers", "update"): NOT_AN_API
        for each in ("modeldeployments", "driftpolicies", "retrainingruns", "batchinferences")
    },
    Right("modelward.io", "retrainingruns", "get"): "only of a run that is there before a watch has told of it",
    Right("", "secrets", "update", "modelward-operator-keys"): "a new key comes once a month",
    **{
        Right("gateway.networking.k8s.io", "httproutes", verb): GATEWAY
        for verb in ("get", "list", "watch", "create", "patch", "delete")
    },
    **{Right("argoproj.io", "workflows", verb): WORKFLOWS for verb in ("get", "create", "patch")},
    Right("networking.k8s.io", "networkpolicies", "delete"): "only for another router, or with policies switched off",
    Right("modelward.io", "driftpolicies", "patch"): "only while a webhook run is under way",
    Right("", "events", "list"): "only of a training Job that makes no pod, or whose pod does not begin",
    Right("", "secrets", "get"): "only where a ModelRegistry or a webhook names one: MLflow's needs no login here",
    Right("", "secrets", "create"): CACHED,
    Right("", "persistentvolumeclaims", "get"): CACHED,
    Right("batch", "jobs", "get"): "only before a watch has told of a Job, or after somebody has deleted it",
    Right("batch", "jobs", "delete"): "only of runs that are stopped, and beyond the last three of a model",
    Right("coordination.k8s.io", "leases", "create"): ONCE,
    Right("coordination.k8s.io", "leases", "patch", "modelward-claim-all"): ONCE,
}  # fmt: skip

EXPECTED: Final[Mapping[str, str]] = {
    # What may be denied, by a part of the API server's answer, and why that is right.
    "because it is being terminated": "a test's namespace goes while its models do",
}


@pytest.fixture(scope="module")
def events(namespace: str, began: str) -> list[Event]:
    """Everything that the operator asked since the first test of this tier."""
    log = cluster.audit_log()
    if log is None:
        pytest.skip("kind writes no audit log; the cluster without Docker does")
    found = list(events_of(log, OPERATOR, since=began))
    assert found, f"nothing of {OPERATOR} in {log}, and it has run since {began}"
    return found


def test_no_request_of_the_operator_was_denied(events: list[Event]) -> None:
    assert [each for each in denied(events) if not any(part in each for part in EXPECTED)] == []


def test_every_right_of_the_operator_was_used(events: list[Event], request: pytest.FixtureRequest) -> None:
    session = request.session
    ran = {item.path for item in session.items}
    if not ran >= set(HERE.glob("test_*.py")) or session.config.option.keyword or session.testsfailed:
        pytest.skip("only after the whole tier, without failures: what did not run used no rights")
    roles = [each for each in yaml.safe_load_all(RBAC.read_text()) if each["kind"] in ("ClusterRole", "Role")]
    own = [each for each in roles if each["metadata"]["name"].startswith("modelward-operator")]
    assert len(own) == 2
    rights = {right for role in own for right in rights_of(role["rules"])}
    assert [
        f"{each}: give it a use or a reason, or take it away" for each in unused(rights - RARE.keys(), events)
    ] == []
    assert RARE.keys() <= rights, "a reason for a right that is not given any more"
