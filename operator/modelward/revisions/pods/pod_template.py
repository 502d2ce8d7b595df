"""A user's part of a pod template, merged into what the operator makes: by the names of what is in it. Pure.

What it may say is checked before (`modelward.api.pod_template`). Invariant: whatever is in it, the operator's labels,
variables, mounts and guards stay; a sidecar that says nothing is as confined as the operator's own containers.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from modelward.kube.manifests import CONTAINER_SECURITY_CONTEXT
from modelward.runtimes.runtime import MODELWARD

CONTAINERS: Final = MODELWARD.containers

Json = Mapping[str, Any]

_TAKEN: Final = (
    "nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName", "schedulerName",
    "imagePullSecrets", "terminationGracePeriodSeconds",
)  # fmt: skip
"""As they are: the operator has its own of none but the last."""


def own_image(asked: Json) -> dict[str, Any]:
    """The image that loads and serves the model, and when it is pulled; nothing: the installation's."""
    return _image(_by_name(_spec(asked).get("containers")).get(CONTAINERS.server, {}))


def sidecars(asked: Json) -> tuple[str, ...]:
    """Names of the containers that are not the operator's own."""
    found = [*_by_name(_spec(asked).get("containers")), *_by_name(_spec(asked).get("initContainers"))]
    return tuple(name for name in found if name not in MODELWARD.containers.work)


def resources_of(asked: Json, container: str) -> Json | None:
    """What a container that brings the model gets; None: what the operator gives it."""
    found = _by_name(_spec(asked).get("initContainers")).get(container, {}).get("resources")
    return found if found else None


def startup_seconds(template: Json) -> int:
    """How long a pod's server may take until it is ready."""
    server = _by_name(_spec(template).get("containers")).get(CONTAINERS.server, {})
    probe = server.get("startupProbe") or {}
    return int(probe.get("initialDelaySeconds", 0)) + int(probe.get("periodSeconds", 10)) * int(
        probe.get("failureThreshold", 3)
    )


def merged(template: dict[str, Any], asked: Json, selector: Mapping[str, str]) -> dict[str, Any]:
    """`template` with what is `asked`. `selector`: labels of the pods that a constraint on their spread is about."""
    if not asked:
        return template
    told, spec, wanted = asked.get("metadata") or {}, template["spec"], _spec(asked)
    metadata = {
        name: {**(told.get(name) or {}), **(template["metadata"].get(name) or {})}
        for name in ("labels", "annotations")
        if told.get(name) or template["metadata"].get(name)
    }
    built = {**spec, **{name: wanted[name] for name in _TAKEN if wanted.get(name)}}
    if wanted.get("securityContext"):
        built["securityContext"] = {**spec["securityContext"], **wanted["securityContext"]}
    built["topologySpreadConstraints"] = _spread(
        spec.get("topologySpreadConstraints") or [], wanted.get("topologySpreadConstraints") or [], selector
    )
    built["volumes"] = [*(spec.get("volumes") or ()), *(wanted.get("volumes") or ())]
    ours = [each["name"] for each in spec["containers"]]
    given = _by_name(wanted.get("containers"))
    built["containers"] = [
        *(_server(each, given.get(each["name"], {})) for each in spec["containers"]),
        *(confined(each) for name, each in given.items() if name not in ours),
    ]
    init = spec.get("initContainers") or []
    brought = {each["name"] for each in init} | {CONTAINERS.download, CONTAINERS.compile, CONTAINERS.keep}
    first = [confined(each) for name, each in _by_name(wanted.get("initContainers")).items() if name not in brought]
    if first or init:
        built["initContainers"] = [*first, *init]
    return {**template, "metadata": metadata, "spec": built}


def confined(container: Json) -> dict[str, Any]:
    """A sidecar, with the guards that it leaves out: those of Pod Security's level `restricted`, and files that it can
    only read, unless it says otherwise."""
    given = container.get("securityContext") or {}
    added = (given.get("capabilities") or {}).get("add")
    capabilities = {**CONTAINER_SECURITY_CONTEXT["capabilities"], **({"add": added} if added else {})}
    built = {
        **container,
        "securityContext": {
            **CONTAINER_SECURITY_CONTEXT,
            **given,
            "allowPrivilegeEscalation": False,
            "capabilities": capabilities,
        },
    }
    if container.get("ports"):
        built["ports"] = [{"protocol": "TCP", **each} for each in container["ports"]]
    return built


def _server(ours: Json, given: Json) -> dict[str, Any]:
    """The operator's own container: its variables and mounts, and then those that are given."""
    built = {**ours, **_image(given)}
    if given.get("env"):
        # Of ours that may be given, those of traces, who writes his own has another collector.
        said = {each["name"] for each in given["env"]}
        built["env"] = [*(each for each in ours.get("env") or () if each["name"] not in said), *given["env"]]
    if given.get("volumeMounts"):
        built["volumeMounts"] = [*(ours.get("volumeMounts") or ()), *given["volumeMounts"]]
    if given.get("startupProbe"):
        built["startupProbe"] = {**ours["startupProbe"], **given["startupProbe"]}
    return built


def _image(given: Json) -> dict[str, Any]:
    return {name: given[name] for name in ("image", "imagePullPolicy") if given.get(name)}


def _spread(ours: Iterable[Json], given: Iterable[Json], selector: Mapping[str, str]) -> list[dict[str, Any]]:
    """One for the same places takes the place of the operator's own."""
    found = [{"labelSelector": {"matchLabels": dict(selector)}, **each} for each in given]
    said = {each["topologyKey"] for each in found}
    return [*(dict(each) for each in ours if each["topologyKey"] not in said), *found]


def _spec(template: Json) -> Json:
    return template.get("spec") or {}


def _by_name(items: Any) -> dict[str, Json]:
    return {str(each["name"]): each for each in items or ()}
