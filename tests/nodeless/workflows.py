"""The kind of Argo Workflows, for an API server without Argo."""

from typing import Any


def crd(version: str, schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`: of its objects."""
    names = {"kind": "Workflow", "listKind": "WorkflowList", "plural": "workflows", "singular": "workflow"}
    versions = [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "workflows.argoproj.io"},
        "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": versions},
    }  # fmt: skip
