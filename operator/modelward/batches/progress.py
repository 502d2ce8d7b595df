"""How a run goes, by its Job and the pods of it. Pure.

A run has succeeded when its Job is complete and one of its pods says that everything is written: the manifest is
written last. A pod that has ended well counts once, whatever pods before it had the same number.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from modelward.api.batchinference import READ
from modelward.batches.drift import entry_of as drift_of
from modelward.batches.job_manifest import CONTAINER, INCURABLE
from modelward.batches.message import LONGEST, Told, told
from modelward.batches.run import FAILED, SUCCEEDED, About, Counts, Ended, RunFacts
from modelward.facts import PodFacts, WorkloadFacts
from modelward.kube.ends import Ending, ending_of, has_ended
from modelward.net.untrusted import quoted
from modelward.revisions.health.diagnosis import Cures, Problem, problem_of_pods, rejected
from modelward.revisions.observed.artifact import artifacts_of
from modelward.values.times import read_time

GRACE: Final = 20.0
"""Seconds that a pod's own end may be told later than the Job's: the two come by different watches."""

PASSES: Final = float("inf")
"""Until when something may pass by itself that is waited for, however long."""

SILENT_AFTER: Final = 60.0
"""Seconds in which a Job's pods are made."""

CURES: Final = Cures(
    memory="spec.resources.limits.memory",
    config="Create what is missing (the Secret of spec.credentialsSecret with AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, for example), or correct spec",
    rejected="Change the policy or quota of the namespace, or what spec asks for",
    besides={CONTAINER: "scoring", READ: "reading the table"},
)

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""The label, and annotation, of a pod's number."""

Object = Mapping[str, Any]


def facts_of(job: Object, about: About, pods: Iterable[tuple[Object, PodFacts]], now: float) -> RunFacts:
    """`pods`: the Job's own, as they are stored and as facts; `now`: seconds since the epoch."""
    pairs = list(pods)
    name, started = job["metadata"]["name"], _started(job, now)
    good, last = _ended_well(pairs)
    end = ending_of(job)
    going = bool(job["metadata"].get("deletionTimestamp"))
    digests = sorted({each.digest for each in artifacts_of(WorkloadFacts(0, pods=tuple(fact for _, fact in pairs)))})
    ended = _gone(name, now) if going and end is None else _end(name, about, end, pairs, good, now)
    if ended is None and len(digests) > 1 and end is None:
        ended = Ended(
            FAILED, "ArtifactChanged",
            f"Pods of {name} fetched different artifacts ({', '.join(digests)}): it was overwritten under its address. "
            "Publish each version under an address of its own, or pin the one you want with spec.model.digest",
            now,
        )  # fmt: skip
    at = ended.at if ended is not None else last
    counts = Counts(
        rows=sum(each.rows for each in good.values()),
        rejected=sum(each.rejected for each in good.values()),
        pods_done=len(good),
        seconds=max(0.0, at - started) if at else 0.0,
    )
    delay = None if ended is not None or end is not None else _delay(job, pairs, now)
    well = ended is not None and ended.result == SUCCEEDED
    drift = drift_of(about.drift, (each.drift for each in good.values() if each.complete)) if well else None
    return RunFacts(
        name, job["metadata"]["uid"], about, started, counts, ended, end is not None or going, delay,
        digests[0] if len(digests) == 1 else "", drift,
    )  # fmt: skip


def missing(name: str, now: float) -> Ended:
    """Of a run whose Job is not there any more, and whose end nobody saw: it may have been a good one."""
    return Ended(
        FAILED, "JobDeleted",
        f"The Job {name} was deleted, and nobody saw how it had ended. Look into its folder: where that has a "
        "_manifest.json, the run is complete. If not, annotate with modelward.io/run to have another one",
        now,
    )  # fmt: skip


def _gone(name: str, now: float) -> Ended:
    return Ended(
        FAILED, "JobDeleted",
        f"The Job {name} was deleted before it had ended. What it has written stays, and is no run that anybody reads: "
        "it has no manifest. Annotate with modelward.io/run to have another one",
        now,
    )  # fmt: skip


def _end(
    name: str,
    about: About,
    end: Ending | None,
    pairs: list[tuple[Object, PodFacts]],
    good: Mapping[str, Told],
    now: float,
) -> Ended | None:
    """None: it goes on, or its pods' end is not known yet."""
    if end is None:
        return None
    late = now - end.at > GRACE
    if end.kind == "Complete":
        return _completed(name, about, end, good, late)
    said = [found for _, fact in pairs if (found := _incurable(fact)) is not None]
    if said:
        why = next(filter(None, said), "a pod of it could not say why; see its log")
        return Ended(FAILED, "InputRefused", f"The run {name} can't be made: {why}", end.at)
    if end.reason == "DeadlineExceeded":
        told_why = "took longer than spec.deadline. Raise it, or spec.parallelism"
        return Ended(FAILED, "DeadlineExceeded", f"The run {name} {told_why}", end.at)
    words = _last_words(pairs)
    if words is None and not late:
        return None
    told_why = words or quoted(end.message.rstrip("."), LONGEST) or "nobody says why"
    return Ended(FAILED, "RunFailed", f"The run {name} failed after its retries: {told_why}", end.at)


def _completed(name: str, about: About, end: Ending, good: Mapping[str, Told], late: bool) -> Ended | None:
    if any(each.complete for each in good.values()):
        rows, out = sum(each.rows for each in good.values()), sum(each.rejected for each in good.values())
        return Ended(SUCCEEDED, "Succeeded", f"{name}: {rows} rows, {out} rejected, in {about.output}", end.at)
    if not late:
        return None
    return Ended(
        FAILED, "ManifestMissing",
        f"The Job of {name} is complete, and none of its pods says that the manifest is written. Look for it in "
        f"{about.output}; where there is none, annotate with modelward.io/run to have another run",
        end.at,
    )  # fmt: skip


def _ended_well(pairs: Iterable[tuple[Object, PodFacts]]) -> tuple[dict[str, Told], float]:
    """What pods that ended well say, by their number, and when the last of them did (0: none)."""
    found: dict[str, Told] = {}
    latest = 0.0
    for body, _ in pairs:
        ended = _terminated(body)
        said = told(str(ended.get("message") or "")) if ended is not None and ended.get("exitCode") == 0 else None
        if ended is None or said is None:
            continue
        found[_number(body)] = said
        latest = max(latest, _seconds(ended.get("finishedAt")) or 0.0)
    return found, latest


def _number(pod: Object) -> str:
    """Of the pod among those of its Job; its own name where it has none."""
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(INDEX, pod["metadata"]["name"]))


def _terminated(pod: Object) -> dict[str, Any] | None:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == CONTAINER:
            ended: dict[str, Any] | None = (status.get("state") or {}).get("terminated")
            return ended
    return None


def _incurable(pod: PodFacts) -> str | None:
    """What it says; empty: nothing; None: it did not end of that."""
    for container in pod.containers:
        if container.name == CONTAINER and container.exit_code == INCURABLE:
            said = told(container.exit_message)
            return said.problem if said is not None else ""
    return None


def _last_words(pairs: Iterable[tuple[Object, PodFacts]]) -> str | None:
    """Of the pod that failed last, by what its containers ended of."""
    failed = [
        (str(body["metadata"].get("creationTimestamp")), fact)
        for body, fact in pairs
        if (body.get("status") or {}).get("phase") == "Failed"
    ]
    for _, fact in sorted(failed, key=lambda each: each[0], reverse=True):
        problem = problem_of_pods([fact], CURES)
        if problem is not None:
            return problem.message.rstrip(".")
    return None


def _delay(job: Object, pairs: list[tuple[Object, PodFacts]], now: float) -> Problem | None:
    name = job["metadata"]["name"]
    if (job.get("spec") or {}).get("suspend"):
        return Problem(
            "JobSuspended",
            f"The Job {name} is suspended: nothing of it runs until somebody resumes it (a queue such as Kueue does "
            "when there is room)",
            PASSES,
        )
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] == "FailureTarget" and condition["status"] == "True":
            return None
    living = [fact for body, fact in pairs if not has_ended(body)]
    problem = problem_of_pods(living, CURES)
    if problem is not None:
        return problem
    why = _last_words(pairs)
    if why is not None:
        return Problem("PodFailed", f"A pod of {name} failed, and another one takes its place: {why}", PASSES)
    if not pairs and now - _started(job, now) > SILENT_AFTER:
        return rejected(f"no pod of the Job {name} is made; `kubectl describe job {name}` may say why", CURES)
    return None


def _started(job: Object, now: float) -> float:
    found = _seconds((job.get("status") or {}).get("startTime")) or _seconds(job["metadata"].get("creationTimestamp"))
    return now if found is None else found


def _seconds(text: Any) -> float | None:
    try:
        return None if text is None else read_time(str(text))
    except ValueError:
        return None
