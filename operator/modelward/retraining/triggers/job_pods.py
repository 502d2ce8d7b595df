"""Why a Job that goes on does not come on: by what the kubelet, the scheduler and the Job's controller say. Pure.

Invariant: a Job that has not ended runs, or something is said of it. The texts hold neither counters nor times of now,
as those of diagnosis.py, whose causes these are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from modelward.kube.cache import Object
from modelward.kube.ends import has_ended
from modelward.net.untrusted import quoted
from modelward.revisions.health.diagnosis import (
    CONTAINER_FAILED,
    CONTAINER_KILLED,
    OUT_OF_MEMORY,
    PATIENCE,
    Cures,
    Problem,
    clipped,
    exit_problem,
    problem_of_pods,
    rejected,
)
from modelward.revisions.observed.workloads import pod_facts

SILENT_AFTER: Final = 20.0
"""Seconds in which a pod is made, gets a node and its volumes, and in which nobody need say why it has not yet."""

SIDECAR_GRACE: Final = 30.0
"""Seconds that other containers have to end by themselves, once the one that trains has: a pod's usual grace period."""

PENDING: Final = "PodPending"

WHERE: Final = "spec.retrain.job.template"

MORE_MEMORY: Final = f"It needs more memory than its limit: raise its resources.limits.memory in {WHERE}"

CURES: Final = Cures(
    memory=f"its resources.limits.memory in {WHERE}",
    image=f"Check the image in {WHERE}, its imagePullSecrets, and the nodes' access to its registry",
    config=f"Create what is missing (a Secret, a ConfigMap), or correct {WHERE}",
    rejected=f"Change the policy or quota of the namespace, create what is missing, or correct {WHERE}",
    node=f"Lower the requests in {WHERE}, correct its nodeSelector and tolerations, or add nodes",
    ours=False,
)


@dataclass(frozen=True)
class Delay:
    """`reason`: one CamelCase word; `message`: the cause and the cure; `stuck`: it does not pass by itself."""

    reason: str
    message: str
    stuck: bool = False


def delay_of(job: Object, pods: Sequence[Object], now: float) -> Delay | None:
    """What keeps the Job from coming on. `pods`: its own; `now`: seconds since the epoch."""
    if is_suspended(job):
        return Delay(
            "Suspended",
            f"The Job {job['metadata']['name']} is suspended, so that nothing of it runs until somebody resumes it (a "
            f"queue such as Kueue when there is room; or take `suspend: true` out of {WHERE})",
        )
    living = [pod for pod in pods if not has_ended(pod)]
    facts = [pod_facts(pod) for pod in living]
    problem = problem_of_pods(facts, CURES)
    if problem is not None:
        if problem.reason in (OUT_OF_MEMORY, CONTAINER_KILLED, CONTAINER_FAILED):
            # The kubelet or the Job tries again, up to spec.backoffLimit.
            since = [each.waits_since for each in facts if each.waits_since is not None and not each.ready]
            problem = replace(problem, until=min(since) + PATIENCE if since else None)
        return _delay(problem, now)
    for pod in living:
        if (told := _gated(pod) or _lingering(pod, now)) is not None:
            return told
    # It runs once more, which says nothing of what it ended of before.
    ends = (exit_problem(each, CURES) for one in facts if not one.terminating for each in one.containers)
    again = next((each for each in ends if each is not None), None)
    if again is not None:
        return Delay(again.reason, f"{again.message}. It was started again")
    failed = [pod for pod in pods if _phase(pod) == "Failed"]
    return _failed(failed) if failed else None


def _delay(problem: Problem, now: float) -> Delay:
    return Delay(problem.reason, problem.message, stuck=not problem.may_pass(now))


def _gated(pod: Object) -> Delay | None:
    """Whoever wrote the gate takes it away: as with a suspended Job, that is no fault."""
    told = (pod.get("status") or {}).get("conditions") or ()
    if not any((each["type"], each.get("reason")) == ("PodScheduled", "SchedulingGated") for each in told):
        return None
    return Delay(
        "SchedulingGated",
        f"The pod {pod['metadata']['name']} gets no node until its schedulingGates are taken away (by a queue such as "
        "Kueue when there is room)",
    )


def _lingering(pod: Object, now: float) -> Delay | None:
    """Of a pod that was to be gone: only its node can say that it is."""
    ends = _seconds(pod["metadata"].get("deletionTimestamp"))
    if ends is None or now < ends + PATIENCE:
        return None
    return Delay(
        "NodeSilent",
        f"The pod {pod['metadata']['name']} was to end and has not: its node does not answer, and nothing takes its "
        "place before. Repair the node, or delete it from the cluster",
        stuck=True,
    )


def _failed(pods: Sequence[Object]) -> Delay:
    """Of Jobs that try again."""
    latest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    why = next(iter([*evictions([latest]), *ends([latest])]), "it did not say why")
    return Delay("PodFailed", f"The pod {latest['metadata']['name']} failed, the Job tries again: {why.rstrip('.')}")


def ends(pods: Sequence[Object]) -> Iterator[str]:
    """What containers ended of that did not end well, with a cure."""
    for pod in pods:
        found = (exit_problem(each, CURES) for each in pod_facts(pod).containers)
        yield from (told.message for told in found if told is not None)


def silent_about(job: Object, pods: Sequence[Object], now: float) -> Object | None:
    """Of which object others may tell, where `delay_of` knows of nothing: the Job, if it has no pods; a pod that does
    not begin. None: all is as it should be, or has not been for long."""
    living = [pod for pod in pods if not has_ended(pod)]
    if not living:
        return job if now - _began(job, now) > SILENT_AFTER else None
    return next((pod for pod in living if _waits(pod) and now - _began(pod, now) > SILENT_AFTER), None)


def _waits(pod: Object) -> bool:
    """Nothing of it runs or has run; a download in an initContainer may take its time."""
    status = pod.get("status") or {}
    steps = [*(status.get("initContainerStatuses") or ()), *_statuses(pod)]
    runs = any((each.get("state") or {}).get("running") is not None for each in steps)
    return _phase(pod) in ("", "Pending") and not runs and not pod["metadata"].get("deletionTimestamp")


def scheduled_at(pod: Object) -> str:
    """Since when it has a node: why it had none before is no reason any more. Empty where it has none."""
    told = (pod.get("status") or {}).get("conditions") or ()
    since = (
        each.get("lastTransitionTime") for each in told if (each["type"], each["status"]) == ("PodScheduled", "True")
    )
    return str(next(since, None) or "")


def said_of(about: Object, job: Object, warning: str | None, now: float) -> Delay | None:
    """What is told of the object that `silent_about` named. `warning`: of an Event of it; None: there is none."""
    name, long = about["metadata"]["name"], now - _began(about, now) > PATIENCE
    if about is job and warning is not None:
        return _delay(rejected(warning, CURES), now)
    if about is job:
        return Delay(
            "NoPod",
            f"No pod of the Job {name} is made. `kubectl describe job {name}` may say why: a quota or policy of the "
            "namespace, a service account that is not there, a parallelism of 0",
            stuck=long,
        )
    if warning is not None:
        told = f"The pod {name} does not begin: {clipped(warning)}"
        return Delay(PENDING, f"{told}. Create what is missing, or correct {WHERE}", stuck=long)
    # A large image takes minutes, and nobody says anything then.
    told = f"The pod {name} does not begin. `kubectl describe pod {name}` may say why"
    return Delay(PENDING, told, stuck=True) if long else None


def _began(body: Object, now: float) -> float:
    """Since when it is there, or was resumed."""
    times = (body["metadata"].get("creationTimestamp"), (body.get("status") or {}).get("startTime"))
    return max((time for time in map(_seconds, times) if time is not None), default=now)


@dataclass(frozen=True)
class Ended:
    """Pods whose reporting container has ended while others of them run on. `well`, `badly`: by how it did; `others`:
    names of what runs on; `waits`: not for long yet."""

    well: tuple[Object, ...]
    badly: tuple[Object, ...]
    others: tuple[str, ...]
    waits: bool


def outlived(pods: Sequence[Object], reporter: str | None, now: float) -> Ended:
    """What a sidecar keeps from ending. `reporter`: the name of the container that trains."""
    well: list[Object] = []
    badly: list[Object] = []
    others: list[str] = []
    waits = False
    for pod in pods:
        running = tuple(_running(pod, but=reporter))
        ended = None if has_ended(pod) else _terminated(pod, reporter)
        if ended is None or not running:
            continue
        at = _seconds(ended.get("finishedAt"))
        waits = waits or (at is not None and now - at < SIDECAR_GRACE)
        others += running
        (well if ended.get("exitCode") == 0 else badly).append(pod)
    return Ended(tuple(well), tuple(badly), tuple(dict.fromkeys(others)), waits)


def wanted_ends(job: Object) -> int:
    """How many pods have to end well."""
    spec = job.get("spec") or {}
    return int(spec.get("completions") or spec.get("parallelism") or 1)


def ended_well(pods: Sequence[Object], reporter: str | None) -> int:
    """Of how many pods the reporting container has."""
    return sum((_terminated(pod, reporter) or {}).get("exitCode") == 0 for pod in pods)


def waiting_for(ended: Ended, reporter: str | None) -> Delay | None:
    """While what runs on may still end by itself, or the Job needs other pods that it keeps from being made."""
    if not (ended.well or ended.badly):
        return None
    others, told = ", ".join(ended.others), f"Container {reporter} has ended, and the others run on"
    if ended.waits:
        return Delay("SidecarRunsOn", f"{told}: {others}. They are ended with the pod in a moment")
    return Delay(
        "SidecarRunsOn",
        f"{told}: {others}. The Job waits for them before it makes its next pod. Make each an initContainer with "
        f"`restartPolicy: Always` in {WHERE}, or have them end by themselves",
        stuck=True,
    )


def evictions(pods: Sequence[Object]) -> Iterator[str]:
    """What the cluster says of pods that it ended itself."""
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("reason"):
            cure = f". Raise its requests in {WHERE}, or its nodes' room" if status["reason"] == "Evicted" else ""
            yield quoted(f"{status['reason']}: {status.get('message', '')}".strip(": ."), 400) + cure


def is_suspended(job: Object) -> bool:
    """By its spec, or as its controller says."""
    if (job.get("spec") or {}).get("suspend"):
        return True
    told = (job.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Suspended" and each["status"] == "True" for each in told)


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _statuses(pod: Object) -> list[dict[str, Any]]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _running(pod: Object, but: str | None) -> Iterator[str]:
    for each in _statuses(pod):
        if each["name"] != but and (each.get("state") or {}).get("running") is not None:
            yield each["name"]


def _terminated(pod: Object, name: str | None) -> dict[str, Any] | None:
    """How the container ended, where it has and is not to run again."""
    found = next((each for each in _statuses(pod) if each["name"] == name), {})
    ended: dict[str, Any] | None = (found.get("state") or {}).get("terminated")
    return ended


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
