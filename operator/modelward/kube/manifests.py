"""What every object that the operator makes has in common."""

from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, Resources

NON_ROOT_USER = 65532
"""The user of our images; `nonroot` in distroless ones."""

POD_SECURITY_CONTEXT: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""With CONTAINER_SECURITY_CONTEXT, what a namespace that enforces the `restricted` Pod Security level asks for."""

CONTAINER_SECURITY_CONTEXT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def labels(deployment: ModelDeployment, component: str, revision: str | None = None) -> dict[str, str]:
    """The standard labels of a child of `deployment`."""
    built = {
        names.LABEL_NAME: f"modelward-{component}",
        names.LABEL_INSTANCE: deployment.name,
        names.LABEL_COMPONENT: component,
        names.LABEL_PART_OF: "modelward",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    if revision:
        built[names.LABEL_REVISION] = revision
    return built


def selector(deployment: ModelDeployment, component: str, revision: str | None = None) -> dict[str, str]:
    """Selects the pods of a component, and nobody's that borrows one label. Not for Deployments: their selectors are
    what they were made with for ever."""
    built = {names.LABEL_INSTANCE: deployment.name, names.LABEL_COMPONENT: component}
    return built | ({names.LABEL_REVISION: revision} if revision else {})


def spread(labels: dict[str, str]) -> dict[str, Any]:
    """A constraint of pods with these labels: on nodes of their own, where there are some.

    Only with those of the same ReplicaSet: counted with the ones that they replace, both of two new pods would be as
    well off on the same node.
    """
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
        "matchLabelKeys": ["pod-template-hash"],
    }


def metadata(
    deployment: ModelDeployment,
    name: str,
    component: str,
    revision: str | None = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Metadata of a child: named, labelled and owned."""
    built: dict[str, Any] = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": labels(deployment, component, revision),
        "ownerReferences": [deployment.owner_reference],
    }
    if annotations:
        built["annotations"] = annotations
    return built


def environment(variables: dict[str, str]) -> list[dict[str, str]]:
    """A container's variables, as they stand: what a registry or a tenant wrote names none of the others."""
    return expanding({name: literal(value) for name, value in variables.items()})


def expanding(variables: dict[str, str]) -> list[dict[str, str]]:
    """A container's variables, into which Kubernetes puts those before them, as $(NAME)."""
    return [{"name": name, "value": value} for name, value in variables.items()]


def literal(text: str) -> str:
    """As the value of a variable or an argument: Kubernetes expands $(NAME) in them, and $$ is a dollar sign."""
    return text.replace("$", "$$")


def container(image: str, wanted: Resources, defaults: Resources) -> dict[str, Any]:
    """What containers of an image of ours have in common; `wanted`, `defaults`: see resources."""
    return {
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": CONTAINER_SECURITY_CONTEXT,
        "resources": resources(wanted, defaults),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def resources(wanted: Resources, defaults: Resources) -> dict[str, Any]:
    """A container's resources: what the user gave, and `defaults` for a kind that was left out entirely.

    A default request never exceeds a limit that the user set for the same resource: it is left out then, and
    Kubernetes takes the limit for the request.
    """
    limits = dict(wanted.limits or defaults.limits)
    requests = dict(wanted.requests)
    if not requests:
        requests = {key: value for key, value in defaults.requests.items() if key not in wanted.limits}
    built = {"requests": requests, "limits": limits}
    return {key: value for key, value in built.items() if value}
