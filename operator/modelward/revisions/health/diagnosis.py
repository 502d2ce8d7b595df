"""Why pods don't come up: from what the kubelet and the scheduler said to one cause and one cure.

The text must not hold counters or times: it becomes a condition's message, and each change of that is a write.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from modelward.facts import ContainerFacts, PodFacts, RuntimeFacts, WorkloadFacts
from modelward.net.untrusted import decoded, printable, quoted
from modelward.runtimes.runtime import MODELWARD

FORMAT_NOT_ALLOWED = "FormatNotAllowed"
"""The inference image's word for a file that nobody has consented to load."""

SERVER_MEMORY_FIELD = "spec.resources.limits.memory"
ROUTER_MEMORY_FIELD = "spec.router.resources.limits.memory"

PODS_REJECTED = "PodsRejected"

OUT_OF_MEMORY, CONTAINER_KILLED, CONTAINER_FAILED = "OutOfMemory", "ContainerKilled", "ContainerFailed"
"""Ends of a container's run, which may go better another time."""

MAX_MESSAGE = 1024
"""Bytes of a foreign message that a condition carries."""

_REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_MAY_PASS = frozenset({"ErrImagePull", "ImagePullBackOff"})

PATIENCE = 300.0
"""Seconds in which a node that is wanted is made by an autoscaler, and a registry that stumbled is back."""
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
NOT_READY = "RuntimeNotReady"
LOADS = 900.0
"""Seconds in which another server than ours may load a large model: as long as its startup probe lets it."""

_OURS = MODELWARD.containers.work.keys() | {"envoy"}
"""Containers of the operator's own; others in their pods are of spec.template."""

_SIGKILL_EXIT = 137
"""Without OOMKilled: a failed liveness probe, or memory of a child process."""


@dataclass(frozen=True)
class Problem:
    """What a person has to look at. `reason`: one CamelCase word; `message`: the cause and the cure. `until`: seconds
    since the epoch; before, it may well pass by itself."""

    reason: str
    message: str
    until: float | None = None

    def may_pass(self, now: float) -> bool:
        """Whether nobody need look at it yet."""
        return self.until is not None and now < self.until


_MEMORY: Final = {
    MODELWARD.containers.monitor: "spec.monitor.resources.limits.memory",
    MODELWARD.containers.tap: "spec.runtime.tap.resources.limits.memory",
}
"""Fields to raise, of containers that have their own."""


@dataclass(frozen=True)
class Cures:
    """What the pods' user changes, by kind of cause. `memory`: the field to raise. `ours`: the pods are of the
    inference image, so that their containers' names say what they do, and how they say that they can't go on is known.
    `besides`: of our containers that no model's own pods have, what each does.
    """

    memory: str
    image: str = (
        "Check the image that the operator is configured with (its MODELWARD_*_IMAGE settings) or that spec.template "
        "names, and the nodes' access to its registry"
    )
    config: str = (
        "Create what is missing (a Secret that spec.model.credentialsSecret names, for example), or correct spec"
    )
    rejected: str = "Change the policy or quota of the namespace, or what spec asks for"
    node: str = "Lower spec.resources.requests or add nodes"
    ours: bool = True
    besides: Mapping[str, str] = field(default_factory=dict)


def diagnose(workload: WorkloadFacts, memory_limit_field: str, patience: int = 0) -> Problem | None:
    """The problem that keeps `workload` from being complete, or None while it may just need time.

    A complete one has none, whatever is with pods that it does not need. `memory_limit_field`: the field that a user
    raises when memory was too little, such as spec.resources.limits.memory. `patience`: how often a container has to
    have been started again before its end is a problem.
    """
    if workload.complete:
        return None
    cures = Cures(memory_limit_field)
    return rejected(workload.failure, cures) if workload.failure else problem_of_pods(workload.pods, cures, patience)


def not_ready(workload: WorkloadFacts, runtime: RuntimeFacts | None, *, tapped: bool = False) -> Problem | None:
    """Another server than ours runs in a pod and does not say that it is ready; None: there is no such pod. Of our own
    it is known what it does meanwhile, and it ends where it can't go on. `tapped`: a tap has the port of others."""
    if runtime is None or workload.complete:
        return None
    server, ports = MODELWARD.containers.server, MODELWARD.ports
    waiting = [
        pod for pod in workload.pods
        if not (pod.ready or pod.terminating)
        and any(each.name == server and each.running and not each.ready for each in pod.containers)
    ]  # fmt: skip
    if not waiting:
        return None
    since = min((pod.waits_since for pod in waiting if pod.waits_since is not None), default=None)
    return Problem(
        NOT_READY,
        f"Container {server} ({runtime.name}) runs, and does not answer GET {runtime.ready} on port "
        f"{ports.behind if tapped else ports.http} with 200: it still loads its model, listens on another port or "
        "address, or has another path of readiness. See the pod's logs; the variable PORT says where it has to listen",
        None if since is None else since + LOADS,
    )


def rejected(why: str, cures: Cures) -> Problem:
    """The cluster takes no such pod at all."""
    return Problem(PODS_REJECTED, f"The cluster refuses to create the pods: {clipped(why)}. {cures.rejected}")


def problem_of_pods(pods: Iterable[PodFacts], cures: Cures, patience: int = 0) -> Problem | None:
    """The worst of the pods that are not up and should be."""
    waiting = (pod for pod in pods if not (pod.ready or pod.terminating))
    problems = [problem for pod in waiting if (problem := _pod_problem(pod, cures, patience))]
    # What may pass by itself must not hide what does not; of those, what a person has to look at first.
    return min(problems, key=lambda problem: problem.until or 0.0, default=None)


def _pod_problem(pod: PodFacts, cures: Cures, patience: int) -> Problem | None:
    if pod.unmounted is not None and pod.waits_since is not None:
        told = pod.unmounted
        return Problem(told.reason, told.message, pod.waits_since + told.patience)
    if pod.unschedulable:
        claim = "persistentvolumeclaim" in pod.unschedulable.lower()
        cure = "Create the PersistentVolumeClaim, or see why it is not bound" if claim else cures.node
        return Problem("Unschedulable", f"No node takes the pod: {clipped(pod.unschedulable)}. {cure}", _until(pod))
    for container in pod.containers:
        if container.ready or (container.running and not cures.ours):
            # Ours are at work for as long as they are ready; of others, a step may take hours.
            continue
        problem = _waiting_problem(container, cures)
        if problem is None and container.restarts >= patience:
            problem = exit_problem(container, cures)
        if problem:
            return replace(problem, until=_until(pod)) if container.waiting_reason in _MAY_PASS else problem
    return None


def _until(pod: PodFacts) -> float | None:
    return None if pod.waits_since is None else pod.waits_since + PATIENCE


def _waiting_problem(container: ContainerFacts, cures: Cures) -> Problem | None:
    if container.waiting_reason in _IMAGE_REASONS:
        return Problem(
            "ImagePullFailed",
            f"The image of container {container.name} can't be pulled: {_image_cause(container)}. {cures.image}",
        )
    if container.waiting_reason in _CONFIG_REASONS:
        return Problem(
            "ContainerConfigInvalid",
            f"Container {container.name} can't be created: {clipped(container.waiting_message)}. {cures.config}",
        )
    return None


def _image_cause(container: ContainerFacts) -> str:
    # "Back-off pulling image …" alternates with the real error: both must give one text, so only the image is kept.
    image = re.search(r'image "([^"]+)"', container.waiting_message)
    return image.group(1) if image else str(container.waiting_reason)


def exit_problem(container: ContainerFacts, cures: Cures) -> Problem | None:
    """What its latest run ended of; None: it ended well, or has not."""
    if container.exit_code is None or container.exit_code == 0:
        return None
    memory = _MEMORY.get(container.name, cures.memory) if cures.ours else cures.memory
    of_template = cures.ours and container.name not in _OURS | cures.besides.keys()
    if of_template:
        memory = "its resources.limits.memory in spec.template"
    if container.exit_reason == "OOMKilled":
        work = {**MODELWARD.containers.work, **cures.besides}
        what = work.get(container.name, "serving") if cures.ours else "training"
        what = "running" if of_template else what
        return Problem(
            OUT_OF_MEMORY,
            f"Container {container.name} was killed while {what}: it needs more memory than its limit. Raise {memory}",
        )
    reported = _reported(container.exit_message) if cures.ours and not of_template else None
    if reported:
        return reported
    if container.exit_code == _SIGKILL_EXIT:
        return Problem(
            CONTAINER_KILLED,
            f"Container {container.name} was killed from outside: it did not answer its liveness probe, or a process "
            f"of it ran out of memory. Raise {memory} or the CPU limit beside it",
        )
    last_words = quoted(container.exit_message).rstrip(".") or "it said nothing"
    return Problem(
        CONTAINER_FAILED,
        f"Container {container.name} ended with exit code {container.exit_code}: {last_words}. See the pod's logs",
    )


def _reported(termination_message: str) -> Problem | None:
    """What the inference image wrote on its way out: {"reason": …, "message": …}."""
    try:
        report = decoded(termination_message)
        reason, message = report["reason"], clipped(str(report["message"]))
    except (ValueError, KeyError, TypeError):
        return None
    # A reason that the API server refuses would keep the whole status from being written.
    return Problem(reason, message) if isinstance(reason, str) and _REASON.fullmatch(reason) else None


def clipped(text: str) -> str:
    """A foreign text as a condition may carry it."""
    text = " ".join(printable(text).split()).rstrip(".")
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
