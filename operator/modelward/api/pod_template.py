"""What a template of pods may say (`spec.template`, `spec.router.template`), whoever wrote it. Pure.

The CRD refuses the same, in its own words, before anything is stored: this holds where an older CRD is installed, and
says what the rules are for. Nothing is taken away in silence: a template that has any of it makes no pods.
Invariant: what is merged into the operator's pods takes no guard of theirs off, and reaches no volume, variable or
label of theirs.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from modelward.runtimes.runtime import MODELWARD

CONTAINERS: Final = MODELWARD.containers

BRINGING: Final = (CONTAINERS.download, CONTAINERS.compile, CONTAINERS.keep)
"""Our init containers, of which resources can be set."""

OWN_LABELS: Final = re.compile(
    r"([^/]*\.)?modelward\.io/.*|app\.kubernetes\.io/(name|instance|component|part-of|managed-by)|pod-template-hash"
    r"|azure\.workload\.identity/.*"
)
OWN_ANNOTATIONS: Final = re.compile(
    r"([^/]*\.)?(modelward\.io|kubectl\.kubernetes\.io|eks\.amazonaws\.com)/.*"
    r"|(container\.apparmor\.security\.beta\.kubernetes\.io|(container\.)?seccomp\.security\.alpha\.kubernetes\.io"
    r"|azure\.workload\.identity)/.*"
)
"""Also by which somebody else gives a pod another profile, or a token."""

OWN_VARIABLES: Final = re.compile(
    r"(MODEL|MODELWARD|MONITOR|BUNDLE|ARTIFACT|CAPTURE|OPERATOR|POD|PREDICTION_LOG|MAX|LD)_.*|PYTHON.*|HOST|PORT"
    r"|GRPC_PORT|DRAIN_SECONDS|REQUEST_TIMEOUT_SECONDS|BODY_TIMEOUT_SECONDS|ALLOW_ORIGINS|TERMINATION_LOG|PATH|HOME"
)
"""What the server reads, or the interpreter does."""

OWN_VOLUMES: Final = re.compile(
    r"modelward-.*|tmp-.*|artifact|bundle|model|credentials|ca|registry-ca|identity|operator-keys|cache|cache-key"
    r"|monitor|log-segments|prediction-log|log-credentials|log-key|config|certificate"
)
"""A volume that a later operator makes besides is named modelward-…"""

OWN_FOLDERS: Final = (
    "/bundle", "/artifact", "/identity", "/monitor", "/tmp", "/cache", "/prediction-log", "/mnt/pvc",  # noqa: S108
    "/mnt/prediction-log", "/etc/modelward", "/opt/venv", "/opt/modelward", "/proc", "/sys", "/dev", "/run", "/var/run",
)  # fmt: skip

SCORE: Final = "score"
"""The container that goes through the rows of a batch."""

BATCH_FOLDERS: Final = (*OWN_FOLDERS, "/input", "/output")
"""Of its pods, where claims with rows and predictions are mounted, too."""

OWN_SECRETS: Final = frozenset({"modelward-cache-key", "modelward-operator-keys"})
"""By which operator and pods know each other, and pods their cache."""

OWN_PORT_NAMES: Final = frozenset({"http", "grpc", "monitor"})
"""By which Services know them."""

OWN_PORTS: Final = frozenset({MODELWARD.ports.http, MODELWARD.ports.grpc, MODELWARD.ports.monitor})

COMPILE_USER: Final = 65533
"""Of the container that loads the model: nobody else's."""

LEAST_GRACE: Final = 30
"""Seconds."""

_PLACING: Final = frozenset({
    "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName", "runtimeClassName",
    "schedulerName", "imagePullSecrets", "terminationGracePeriodSeconds", "securityContext",
})  # fmt: skip
_RUNNING: Final = frozenset({"containers", "initContainers", "volumes"})

_OF_SERVER: Final = frozenset({"name", "image", "imagePullPolicy", "env", "volumeMounts", "startupProbe"})
_OF_SIDECARS: Final = _OF_SERVER | {
    "command", "args", "workingDir", "restartPolicy", "envFrom", "ports", "resources", "livenessProbe",
    "readinessProbe", "lifecycle", "securityContext",
}  # fmt: skip
_OF_START: Final = frozenset({"failureThreshold", "periodSeconds", "timeoutSeconds", "initialDelaySeconds"})
_KINDS: Final = frozenset({"emptyDir", "configMap", "secret", "persistentVolumeClaim", "downwardAPI", "projected"})
_SOURCES: Final = frozenset({"secret", "configMap", "downwardAPI"})
_PROFILES: Final = ("RuntimeDefault", "Localhost")

_OF_POD_SECURITY: Final = frozenset({
    "runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "supplementalGroups", "seccompProfile",
    "appArmorProfile",
})  # fmt: skip
_OF_SECURITY: Final = frozenset({
    "runAsNonRoot", "runAsUser", "runAsGroup", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation",
    "capabilities", "procMount", "seccompProfile", "appArmorProfile",
})  # fmt: skip

_WHY_NOT: Final[Mapping[str, str]] = {
    "hostNetwork": "it lets the pod into its node",
    "hostPID": "it lets the pod into its node",
    "hostIPC": "it lets the pod into its node",
    "shareProcessNamespace": "by it a container reads what another one keeps, such as the pod's key",
    "automountServiceAccountToken": "what loads a model gets no token of the cluster",
    "serviceAccountName": "write it into spec.serviceAccountName; the router's pods need none",
    "nodeName": "it passes the scheduler by; write a nodeSelector or an affinity",
    "ephemeralContainers": "they are added to a pod that runs (kubectl debug)",
}

Json = Mapping[str, Any]
Found = Iterator[tuple[str, str]]
"""Field and reason."""


def problem_of(
    template: Json, where: str, *, claims: Collection[str] = (), runs: bool = True, main: str = CONTAINERS.server
) -> str | None:
    """The first thing that may not be, in a sentence that names the field. `where`: the template's own; `claims`: that
    the operator's containers write to; `runs`: whether containers and volumes may be in it; `main`: the operator's own
    container that a part of may be said."""
    found = next(_of_template(template, claims, runs, main), None)
    return None if found is None else f"{where}.{found[0]}: {found[1]}. Modelward makes no such pods; take it out"


def _of_template(template: Json, claims: Collection[str], runs: bool, main: str) -> Found:
    yield from _unknown("", template, {"metadata", "spec"})
    metadata = _mapping(template.get("metadata"))
    yield from _unknown("metadata.", metadata, {"labels", "annotations"})
    for field, own in (("labels", OWN_LABELS), ("annotations", OWN_ANNOTATIONS)):
        for name in _mapping(metadata.get(field)):
            if own.fullmatch(name):
                yield f"metadata.{field}[{name}]", "it is the operator's, or gives pods what they are not to have"
    yield from (("spec." + field, why) for field, why in _of_spec(_mapping(template.get("spec")), claims, runs, main))


def _of_spec(spec: Json, claims: Collection[str], runs: bool, main: str) -> Found:
    for field, why in _WHY_NOT.items():
        if spec.get(field):
            yield field, why
    if not runs:
        for field in sorted(_RUNNING):
            if spec.get(field):
                yield field, "nothing runs beside Envoy, whose admin port answers whoever is in its pod"
    yield from _unknown("", spec, _PLACING | _RUNNING | _WHY_NOT.keys())
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and int(grace) < LEAST_GRACE:
        yield "terminationGracePeriodSeconds", f"with less than {LEAST_GRACE} s requests and counts are lost"
    for secret in _list(spec.get("imagePullSecrets")):
        yield from _of_secret("imagePullSecrets", secret.get("name"))
    security = _mapping(spec.get("securityContext"))
    yield from _unknown("securityContext.", security, _OF_POD_SECURITY)
    yield from _of_security("securityContext", security)
    if claims and "fsGroup" in security:
        yield "securityContext.fsGroup", "pods that write to a claim have the operator's group for it"
    volumes = _list(spec.get("volumes"))
    for volume in volumes:
        yield from _of_volume(f"volumes[{volume.get('name')}]", volume, claims)
    known = {volume.get("name") for volume in volumes}
    for group in ("containers", "initContainers"):
        for container in _list(spec.get(group)):
            at = f"{group}[{container.get('name')}]"
            yield from ((f"{at}{field}", why) for field, why in _of_container(group, container, known, main))
    both = [{each.get("name") for each in _list(spec.get(group))} for group in ("containers", "initContainers")]
    for name in sorted(map(str, both[0] & both[1])):
        yield f"initContainers[{name}]", "a container has this name, too"


def _of_container(group: str, container: Json, volumes: Collection[Any], main: str) -> Found:
    name = container.get("name")
    if group == "containers" and name == main:
        yield from _of_server(container, BATCH_FOLDERS if main == SCORE else OWN_FOLDERS)
        if main == SCORE and "startupProbe" in container:
            yield ".startupProbe", "nobody asks a container of a batch whether it is up"
    elif group == "containers" and main == SCORE:
        yield "", "a Job ends when all of its containers have; make it an initContainer with restartPolicy: Always"
    elif group == "initContainers" and name in BRINGING:
        yield from _unknown(".", container, {"name", "resources"})
        resources = _mapping(container.get("resources"))
        for amounts in map(_mapping, resources.values()):
            if any("/" in resource for resource in amounts):
                yield ".resources", "what brings the model gets no devices"
    elif name in (CONTAINERS.server, main, CONTAINERS.monitor, "envoy", *BRINGING):
        yield "", "this is the name of a container of the operator's own"
    else:
        yield from _of_sidecar(container)
    for variable in _list(container.get("env")):
        source = _mapping(_mapping(variable.get("valueFrom")).get("secretKeyRef"))
        yield from _of_secret(f".env[{variable.get('name')}]", source.get("name"))
    for mount in _list(container.get("volumeMounts")):
        at, path = f".volumeMounts[{mount.get('mountPath')}]", str(mount.get("mountPath", ""))
        if mount.get("name") not in volumes:
            yield at, "spec.template.spec.volumes has no such volume"
        if not re.fullmatch(r"(/[^/:]+)+", path) or re.search(r"/\.\.?(/|$)", path):
            yield at, "write an absolute path without '.', '..', ':' and '/' at its end"
        if mount.get("subPath") or mount.get("subPathExpr"):
            yield at, "subPath and subPathExpr can lead out of a volume"
        if mount.get("mountPropagation") not in (None, "None"):
            yield at, "mountPropagation lets mounts of the node into the pod, or out of it"


def _of_server(container: Json, folders: Collection[str]) -> Found:
    yield from _unknown(".", container, _OF_SERVER)
    for variable in _list(container.get("env")):
        if OWN_VARIABLES.fullmatch(str(variable.get("name"))):
            yield f".env[{variable.get('name')}]", "this variable is the server's own, or the interpreter's"
    for mount in _list(container.get("volumeMounts")):
        path = str(mount.get("mountPath"))
        if any(f"{path}/".startswith(f"{own}/") or f"{own}/".startswith(f"{path}/") for own in folders):
            yield f".volumeMounts[{path}]", "the operator's own folders lie there"
    yield from _unknown(".startupProbe.", _mapping(container.get("startupProbe")), _OF_START)


def _of_sidecar(container: Json) -> Found:
    yield from _unknown(".", container, _OF_SIDECARS)
    if not container.get("image"):
        yield "", "it has no image"
    if container.get("restartPolicy") not in (None, "Always"):
        yield ".restartPolicy", "only Always makes an init container a sidecar"
    for port in _list(container.get("ports")):
        if port.get("hostPort"):
            yield ".ports", "hostPort takes a port of the node"
        if port.get("containerPort") in OWN_PORTS or port.get("name") in OWN_PORT_NAMES:
            yield ".ports", "this port, or its name, is one of the operator's own containers"
    for source in _list(container.get("envFrom")):
        yield from _of_secret(".envFrom", _mapping(source.get("secretRef")).get("name"))
    handlers = {probe: container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")}
    handlers |= {f"lifecycle.{hook}": each for hook, each in _mapping(container.get("lifecycle")).items()}
    for where, handler in handlers.items():
        if any(_mapping(_mapping(handler).get(kind)).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f".{where}", "the node would ask another host for the pod; leave host out"
    security = _mapping(container.get("securityContext"))
    yield from _unknown(".securityContext.", security, _OF_SECURITY)
    yield from _of_security(".securityContext", security)


def _of_security(at: str, context: Json) -> Found:
    """A securityContext, of the pod or a sidecar."""
    if context.get("runAsNonRoot") is False:
        yield f"{at}.runAsNonRoot", "the operator makes no pods that may be root"
    numbers = [context.get(field) for field in ("runAsUser", "runAsGroup", "fsGroup")]
    supplemental = context.get("supplementalGroups")
    numbers += supplemental if isinstance(supplemental, list) else []
    if any(number is not None and (int(number) <= 0 or int(number) == COMPILE_USER) for number in numbers):
        yield at, f"neither root (0) nor {COMPILE_USER}, which is the user of what loads the model"
    for field in ("privileged", "allowPrivilegeEscalation"):
        if context.get(field):
            yield f"{at}.{field}", "the operator makes no containers that are privileged, or may become so"
    added = _mapping(context.get("capabilities")).get("add") or []
    if set(added) - {"NET_BIND_SERVICE"}:
        yield f"{at}.capabilities.add", "only NET_BIND_SERVICE does not reach beyond the container"
    if context.get("procMount") not in (None, "Default"):
        yield f"{at}.procMount", "it shows more of the kernel than a pod may see"
    for field in ("seccompProfile", "appArmorProfile"):
        if field in context and _mapping(context[field]).get("type") not in _PROFILES:
            yield f"{at}.{field}", "what is not confined by a profile may call everything of the kernel"


def _of_volume(at: str, volume: Json, claims: Collection[str]) -> Found:
    if OWN_VOLUMES.fullmatch(str(volume.get("name"))):
        yield at, "the operator's own volume has this name, or may get it"
    kinds = volume.keys() - {"name"}
    if len(kinds) != 1 or not kinds <= _KINDS:
        yield at, f"write one of {', '.join(sorted(_KINDS))}; other kinds reach beyond the pod"
    yield from _of_secret(at, _mapping(volume.get("secret")).get("secretName"))
    if _mapping(volume.get("persistentVolumeClaim")).get("claimName") in claims:
        yield at, "the operator's own containers write to this claim (spec.model.cache, spec.predictionLog)"
    for source in _list(_mapping(volume.get("projected")).get("sources")):
        if not source or not source.keys() <= _SOURCES:
            yield at, "of projected sources secret, configMap and downwardAPI alone; no token of the cluster"
        yield from _of_secret(at, _mapping(source.get("secret")).get("name"))


def _of_secret(at: str, name: Any) -> Found:
    if name in OWN_SECRETS:
        yield at, f"Secret {name} holds a key of the operator's own"


def _unknown(at: str, given: Json, known: Collection[str]) -> Found:
    for field in sorted(given.keys() - set(known)):
        yield f"{at}{field}", "it can't be set here"


def _mapping(value: Any) -> Json:
    """What has another type is refused by the API server."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Json]:
    return [each if isinstance(each, Mapping) else {} for each in value] if isinstance(value, list) else []
