"""A run as a Kubernetes Job: its name is the run's, so the API server refuses a second, and it goes with the run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy
from modelward.kube import events
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.ends import ending_of
from modelward.kube.resources import DRIFT_POLICIES, JOBS, PODS
from modelward.net.untrusted import quoted
from modelward.retraining.lifecycle.report import ReportError, read_report
from modelward.retraining.lifecycle.run import BROKE, SUCCEEDED, WORKING, Outcome, Run
from modelward.retraining.pod_template import problem_of
from modelward.retraining.triggers import job_manifest, job_pods
from modelward.retraining.triggers.trigger import Order
from modelward.revisions.health.diagnosis import PODS_REJECTED
from modelward.revisions.observed.ownership import controlling_job, is_pod_of_job

GRACE: Final = 20.0
"""Seconds that the pod's own end may be told later than the Job's: the two come by different watches."""

ASK_AGAIN: Final = 15.0
"""Seconds between two questions for the Events of a Job that waits in silence."""

REMEMBERED: Final = 1000
"""Jobs of which it is remembered: those that go with their policy are not told of."""

LOG_END: Final = 200
"""Characters of the end of a log that are shown."""

CONFLICT: Final = 409


class JobTrigger:
    """`now`: the wall clock."""

    def __init__(self, api: Api, cache: Cache, now: Callable[[], datetime]) -> None:
        self._api = api
        self._cache = cache
        self._now = now
        self._said: dict[str, tuple[str, float, str | None]] = {}
        """By the uid of a Job that waits in silence: whose Events were asked for, when, and the latest."""

    async def start(self, order: Order) -> Outcome:
        known = await self._find(order)
        if known is None:
            retrain = order.policy.spec.retrain
            if retrain is None or retrain.job is None or order.target is None:
                return Outcome(BROKE, "spec.retrain.job was taken away before the run could start")
            refused = problem_of(retrain.job.template)
            if refused is not None:
                return Outcome(BROKE, refused)
            manifest = job_manifest.job(order.policy, retrain.job.template, order.target, order.run)
            try:
                known = await self._api.create(JOBS, order.policy.namespace, manifest, strict=True)
            except ApiError as error:
                if error.is_refusal:
                    return Outcome(
                        BROKE, f"The API server refuses the Job of spec.retrain.job.template: {error.message}"
                    )
                if error.status != CONFLICT:
                    raise
                known = await self._api.get(JOBS, order.policy.namespace, order.run.name)
            if known is not None:
                self._cache.upsert(JOBS, known)
        if known is not None and not _is_of(known, order):
            told = f"There is a Job {order.run.name} that is not of this run; delete it, or rename the policy"
            return Outcome(BROKE, told)
        return Outcome(WORKING)

    async def poll(self, order: Order) -> Outcome:
        job = await self._find(order)
        if job is None or not _is_of(job, order):
            return Outcome(BROKE, f"The Job {order.run.name} is gone: somebody deleted it")
        if job["metadata"].get("deletionTimestamp"):
            return Outcome(BROKE, f"The Job {order.run.name} is being deleted by somebody")
        end, now = ending_of(job), self._now().timestamp()
        pods = [pod for pod in self._pods(order.policy) if is_pod_of_job(pod, job)]
        reporter = _reporter(job)
        if end is None:
            return await self._going_on(order, job, pods, reporter, now)
        self._said.pop(job["metadata"]["uid"], None)
        ended = _ends(pods, reporter)
        late = now - end.at > GRACE
        if end.kind == "Complete":
            return _success(ended, late, order.run.name)
        if not ended and not late:
            # No watch need have told of its pods yet; but one that ran out of time takes them away at once.
            pods = pods or await self._ask_for_pods(job)
            ended = _ends(pods, reporter)
            if pods and not ended:
                return Outcome(WORKING)
        return Outcome(BROKE, _failure(end.message, ended, pods, order.run, reporter))

    async def _going_on(
        self, order: Order, job: Object, pods: list[Object], reporter: str | None, now: float
    ) -> Outcome:
        """Of a Job that has not ended: what there is to be told, or its end where only sidecars run on."""
        outlived = job_pods.outlived(pods, reporter, now)
        if outlived.badly and not outlived.waits:
            return Outcome(BROKE, _failed_under(outlived, reporter))
        if outlived.well and not outlived.waits and job_pods.ended_well(pods, reporter) >= job_pods.wanted_ends(job):
            return _success(_ends(pods, reporter), True, order.run.name)
        delay = job_pods.waiting_for(outlived, reporter) or job_pods.delay_of(job, pods, now)
        about = job_pods.silent_about(job, pods, now) if delay is None else None
        if about is None:
            self._said.pop(job["metadata"]["uid"], None)
        else:
            warning = await self._warning(job, about, now)
            if warning is None and order.run.delay in (PODS_REJECTED, job_pods.PENDING):
                # Events are kept for an hour; what they said holds while the silence lasts.
                return Outcome(WORKING, order.run.message, delay=order.run.delay, stuck=order.run.stuck)
            delay = job_pods.said_of(about, job, warning, now)
        if delay is None:
            return Outcome(WORKING)
        return Outcome(WORKING, delay.message, delay=delay.reason, stuck=delay.stuck)

    async def _warning(self, job: Object, about: Object, now: float) -> str | None:
        """What an Event says of the object, not asked for at every look."""
        uid, known = about["metadata"]["uid"], self._said.get(job["metadata"]["uid"])
        if known is not None and known[0] == uid and 0 <= now - known[1] < ASK_AGAIN:
            return known[2]
        reason = "FailedCreate" if about is job else None
        since = "" if about is job else job_pods.scheduled_at(about)
        warning = await events.warning_about(self._api, job["metadata"]["namespace"], uid, reason, since)
        self._said[job["metadata"]["uid"]] = (uid, now, warning)
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        return warning

    async def cancel(self, order: Order) -> None:
        job = await self._find(order)
        if job is not None and _is_of(job, order):
            self._said.pop(job["metadata"]["uid"], None)
            await self._api.delete(JOBS, order.policy.namespace, order.run.name, job["metadata"]["uid"])

    async def clear(self, order: Order) -> None:
        """Its pods go with it, and the sidecars that have outlived the training; any other Job stays, with its log."""
        if not any(controlling_job(pod) == order.run.name for pod in self._pods(order.policy)):
            return
        # Where somebody has relabelled it, no watch tells of it any more.
        job = await self._find(order)
        if job is None or ending_of(job) is not None or job["metadata"].get("deletionTimestamp"):
            return
        pods = [pod for pod in self._pods(order.policy) if is_pod_of_job(pod, job)]
        outlived = job_pods.outlived(pods, _reporter(job), self._now().timestamp())
        if outlived.well or outlived.badly:
            await self.cancel(order)

    async def _find(self, order: Order) -> Object | None:
        known = self._cache.get(JOBS, order.policy.namespace, order.run.name)
        return known or await self._api.get(JOBS, order.policy.namespace, order.run.name)

    def _pods(self, policy: DriftPolicy) -> list[Object]:
        return self._cache.children(_key(policy), PODS)

    async def _ask_for_pods(self, job: Object) -> list[Object]:
        """The Job's pods as the API server has them now."""
        own = replace(PODS, selector=f"{names.LABEL_RUN}={job['metadata']['name']}")
        pages = self._api.pages(own, job["metadata"]["namespace"])
        return [pod async for page in pages for pod in page if is_pod_of_job(pod, job)]


def _is_of(job: Object, order: Order) -> bool:
    """Whether it is the run's; operators of earlier versions made it the policy's."""
    owners = {each.get("uid") for each in job["metadata"].get("ownerReferences") or ()}
    return bool(owners & {order.run.uid, order.policy.uid})


def _reporter(job: Object) -> str | None:
    """The name of the container that trains."""
    found: str | None = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_REPORTER)
    return found


def _key(policy: DriftPolicy) -> Key:
    return Key(policy.namespace, policy.name, DRIFT_POLICIES.kind)


def _ended(pod: Object, reporter: str | None) -> dict[str, Any] | None:
    """How the reporting container of a pod ended."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == reporter:
            state = status.get("state") or {}
            return state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    return None


def _ends(pods: Iterable[Object], reporter: str | None) -> list[dict[str, Any]]:
    """Those of the reporting containers that have ended."""
    return [each for pod in pods if (each := _ended(pod, reporter)) is not None]


def _success(ended: list[dict[str, Any]], late: bool, run: str) -> Outcome:
    good = [each for each in ended if each.get("exitCode") == 0]
    if not good:
        told = f"The Job {run} is complete, but its pod, and with it the report, is gone"
        return Outcome(BROKE, told) if late else Outcome(WORKING)
    try:
        latest = max(good, key=lambda each: str(each.get("finishedAt", "")))
        return Outcome(SUCCEEDED, report=read_report(latest.get("message") or ""))
    except ReportError as error:
        return Outcome(BROKE, f"The Job {run} ended well, but {error}")


def _failure(message: str, ended: list[dict[str, Any]], pods: list[Object], run: Run, reporter: str | None) -> str:
    told = [f"The Job failed: {message.rstrip('.')}" if message else "The Job failed"]
    told += list(job_pods.evictions(pods))
    bad = [each for each in ended if each.get("exitCode") != 0]
    others = list(job_pods.ends(pods))
    if bad:
        worst = max(bad, key=lambda each: str(each.get("finishedAt", "")))
        told.append(f"Container {reporter}: {_exit(worst)}")
        told += [job_pods.MORE_MEMORY] if worst.get("reason") == "OOMKilled" else []
    elif others:
        # Another container, such as an initContainer, before the one that trains could begin.
        told.append(others[-1])
    elif run.delay:
        # Its controller has taken the pods away, and what they said with them.
        told.append(f"Before that: {run.message}")
    return ". ".join(told)


def _exit(ended: Mapping[str, Any]) -> str:
    reason = ended.get("reason") or "Error"
    log = quoted((ended.get("message") or "").strip()[-LOG_END:], LOG_END)
    return f"{reason} (exit code {ended.get('exitCode')}){f', the end of its log: {log}' if log else ''}"


def _failed_under(outlived: job_pods.Ended, reporter: str | None) -> str:
    """A pod fails as a whole only: while others of its containers run, its Job neither ends nor tries again."""
    ended = _ends(outlived.badly, reporter)[0]
    others = ", ".join(outlived.others)
    return f"Container {reporter} failed: {_exit(ended)}. The others of its pod ({others}) ran on, and were ended"
