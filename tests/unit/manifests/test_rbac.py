"""Who may do what with RetrainingRuns, by manifests/base/rbac.yaml."""

from pathlib import Path

import pytest
import yaml

RBAC = Path(__file__).parents[3] / "manifests/base/rbac.yaml"


def verbs(role: str, resource: str) -> set[str]:
    bodies = [body for body in yaml.safe_load_all(RBAC.read_text()) if body["kind"] == "ClusterRole"]
    (found,) = [body for body in bodies if body["metadata"]["name"] == role]
    return {verb for rule in found["rules"] if resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("modelward-view", {"get", "list", "watch"}),
        ("modelward-edit", {"get", "list", "watch", "delete", "deletecollection"}),
        ("modelward-admin", {"get", "list", "watch", "delete", "deletecollection"}),
        ("modelward-operator", {"get", "list", "watch", "create", "delete"}),
    ],
)
def test_people_look_at_runs_and_cancel_them_and_the_operator_alone_makes_them(role: str, allowed: set[str]) -> None:
    assert verbs(role, "retrainingruns") == allowed
    # What says that a model is accepted is nobody's to write but the operator's.
    assert verbs(role, "retrainingruns/status") == ({"patch"} if role == "modelward-operator" else set())
