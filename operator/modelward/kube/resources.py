"""The kinds of objects that the operator reads and writes, and their addresses in the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.names import GROUP, LABEL_ALLOWED_FORMATS, LABEL_CLAIM, MANAGED_SELECTOR, VERSION


@dataclass(frozen=True)
class Resource:
    """A kind; namespaced, but for NAMESPACES. `selector`: which objects of it matter to the operator."""

    group: str
    version: str
    plural: str
    kind: str
    selector: str = MANAGED_SELECTOR

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection (of all namespaces without `namespace`) or of one object."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


MODEL_DEPLOYMENTS: Final = Resource(GROUP, VERSION, "modeldeployments", "ModelDeployment", selector="")
DRIFT_POLICIES: Final = Resource(GROUP, VERSION, "driftpolicies", "DriftPolicy", selector="")
MODEL_REGISTRIES: Final = Resource(GROUP, VERSION, "modelregistries", "ModelRegistry", selector="")
BATCH_INFERENCES: Final = Resource(GROUP, VERSION, "batchinferences", "BatchInference", selector="")
RETRAINING_RUNS: Final = Resource(GROUP, VERSION, "retrainingruns", "RetrainingRun", selector="")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
SERVICES: Final = Resource("", "v1", "services", "Service")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
PODS: Final = Resource("", "v1", "pods", "Pod")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
SECRETS: Final = Resource("", "v1", "secrets", "Secret", selector="")
PERSISTENT_VOLUME_CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", selector="")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", selector=LABEL_ALLOWED_FORMATS)
"""Only those that say something of the formats of their models."""

HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
AUTOSCALERS: Final = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
EVENTS: Final = Resource("", "v1", "events", "Event", selector="")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", selector="")
CLAIMS: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", selector=LABEL_CLAIM)
"""Of namespaces, by installations (kube/claims.py)."""

WORKFLOWS: Final = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow")
"""Of Argo. Made and asked for one by one, and never watched: few clusters have them."""

CHILDREN: Final = (
    CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES, CONFIG_MAPS, NETWORK_POLICIES, DISRUPTION_BUDGETS, AUTOSCALERS,
)  # fmt: skip
"""What the operator applies."""

OWNERS: Final = (MODEL_DEPLOYMENTS, DRIFT_POLICIES, MODEL_REGISTRIES, BATCH_INFERENCES)
"""What is reconciled."""

WATCHED: Final = (*OWNERS, RETRAINING_RUNS, *CHILDREN, JOBS, PODS, NAMESPACES)
"""What is watched in every cluster."""

OPTIONAL: Final = (HTTP_ROUTES,)
"""What is applied and watched, too, where the cluster serves it."""

_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in (*WATCHED, *OPTIONAL)}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The resource that a manifest is of. KeyError for a kind that the operator never writes."""
    return _BY_KIND[manifest["apiVersion"], manifest["kind"]]
