"""What the template of a training Job may never have, whoever wrote it. Pure.

The operator may make any Job, so what its pods may be must not hang on the namespace's Pod Security alone: this is its
level `baseline` (https://kubernetes.io/docs/concepts/security/pod-security-standards), and what else would reach beyond
the Job. Nothing is taken away in silence: a template that has any of it starts no run.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

PARALLELISM_MAX: Final = 100
"""Pods of one run at a time."""

CAPABILITIES: Final = frozenset({"NET_BIND_SERVICE"})
"""That may be added; the level `restricted` has it, too."""

SELINUX_TYPES: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})

SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    }
)  # fmt: skip

_WHERE: Final = "spec.retrain.job.template.spec"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"


def problem_of(template: Mapping[str, Any]) -> str | None:
    """The first thing that may not be, in a sentence that names the field. `template`: spec.retrain.job.template."""
    found = next(_forbidden(_mapping(template.get("spec"))), None)
    if found is None:
        return None
    field, why = found
    return f"{_WHERE}.{field}: {why}. Modelward makes no such pods, whatever the namespace allows; take it out"


def _forbidden(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and reason."""
    for field in ("parallelism", "completions"):
        count = spec.get(field)
        if isinstance(count, int) and count > PARALLELISM_MAX:
            yield field, f"{count} pods are too many for one run; at most {PARALLELISM_MAX}"
    if spec.get("manualSelector"):
        yield "manualSelector", "with a selector of its own a Job takes other pods for its own"
    template = _mapping(spec.get("template"))
    annotations = _mapping(_mapping(template.get("metadata")).get("annotations"))
    for name, value in annotations.items():
        if str(name).startswith(_APPARMOR) and value == "unconfined":
            yield f"template.metadata.annotations[{name}]", "a container without AppArmor is not confined to its pod"
    pod = _mapping(template.get("spec"))
    yield from ((f"template.spec.{field}", why) for field, why in _of_pod(pod))


def _of_pod(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field, "it lets the pod into the node"
    for number, volume in enumerate(_list(pod.get("volumes"))):
        if "hostPath" in volume:
            yield f"volumes[{number}].hostPath", "it gives the pod the node's files"
    yield from _of_security(_mapping(pod.get("securityContext")))
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for number, container in enumerate(_list(pod.get(group))):
            yield from ((f"{group}[{number}].{field}", why) for field, why in _of_container(container))


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for number, port in enumerate(_list(container.get("ports"))):
        if port.get("hostPort"):
            yield f"ports[{number}].hostPort", "it takes a port of the node"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _of_handler(probe, _mapping(container.get(probe)))
    for hook, handler in _mapping(container.get("lifecycle")).items():
        yield from _of_handler(f"lifecycle.{hook}", _mapping(handler))
    yield from _of_security(_mapping(container.get("securityContext")))


def _of_handler(where: str, handler: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in ("httpGet", "tcpSocket"):
        if _mapping(handler.get(kind)).get("host"):
            yield f"{where}.{kind}.host", "the node would ask another host for the pod"


def _of_security(context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A securityContext, of a pod or a container."""
    at = "securityContext"
    if context.get("privileged"):
        yield f"{at}.privileged", "a privileged container is the node's administrator"
    if context.get("allowPrivilegeEscalation"):
        yield f"{at}.allowPrivilegeEscalation", "a process could get more rights than it began with"
    added = {str(each) for each in _values(_mapping(context.get("capabilities")).get("add"))} - CAPABILITIES
    if added:
        yield f"{at}.capabilities.add", f"{', '.join(sorted(added))} reach beyond the pod"
    if context.get("procMount") not in (None, "Default"):
        yield f"{at}.procMount", "it shows more of the kernel than a pod may see"
    for field in ("seccompProfile", "appArmorProfile"):
        if _mapping(context.get(field)).get("type") == "Unconfined":
            yield f"{at}.{field}", "a process that is not confined may call everything of the kernel"
    labels = _mapping(context.get("seLinuxOptions"))
    if labels.get("user") or labels.get("role") or labels.get("type", "") not in SELINUX_TYPES:
        yield f"{at}.seLinuxOptions", "another SELinux user, role or type may reach beyond the pod"
    if _mapping(context.get("windowsOptions")).get("hostProcess"):
        yield f"{at}.windowsOptions.hostProcess", "it lets the pod into the node"
    for number, sysctl in enumerate(_list(context.get("sysctls"))):
        if sysctl.get("name") not in SYSCTLS:
            yield f"{at}.sysctls[{number}]", "not every setting of the kernel is the pod's own"


def _mapping(value: Any) -> Mapping[str, Any]:
    """What has another type is refused by the API server."""
    return value if isinstance(value, Mapping) else {}


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each if isinstance(each, Mapping) else {} for each in _values(value)]
