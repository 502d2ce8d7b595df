"""How many pods of a model may go at a time when somebody drains nodes: PodDisruptionBudgets.

One for each revision and one for the router: a pod below two budgets can't be evicted at all, and a candidate that does
not come up must not keep the stable's pods on their nodes. Of a single pod nothing can be promised, so it has none.
"""

from typing import Any, Final

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube import manifests as common

API_VERSION: Final = "policy/v1"
KIND: Final = "PodDisruptionBudget"

LEAST: Final = 2
"""Pods from which there is a budget."""


def of_revision(owner: ModelDeployment, revision: str) -> dict[str, Any]:
    """Named like the revision."""
    return _budget(owner, revision, names.COMPONENT_SERVER, revision)


def of_router(owner: ModelDeployment, name: str) -> dict[str, Any]:
    """`name`: of the router's Deployment."""
    return _budget(owner, name, names.COMPONENT_ROUTER, None)


def _budget(owner: ModelDeployment, name: str, component: str, revision: str | None) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": common.metadata(owner, name, component, revision),
        "spec": {
            "maxUnavailable": 1,
            # What does not work is no reason to keep a node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": common.selector(owner, component, revision)},
        },
    }
