"""The Jobs that evaluate a policy's targets: made when they are due, read when they have ended, and taken away.

Level-triggered: a Job's name says whose it is, when it was due and what for, so that an operator that dies at any
moment makes none twice, and reads what the one before it made. One of a target goes on at a time.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from modelward.api import modeldeployment
from modelward.api.driftpolicy import DriftPolicy, Schedule
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.job_end import ending_of
from modelward.kube.resources import DRIFT_POLICIES, JOBS, PODS
from modelward.net.untrusted import quoted
from modelward.platform import Platform
from modelward.quality import kept as keeping
from modelward.quality.job_manifest import job, job_name, read_about
from modelward.quality.measured import Kept, Problem, cohort_of
from modelward.quality.rules import level_of
from modelward.retraining.schedule import ScheduleError, last_due, next_due
from modelward.retraining.triggers.job import GRACE
from modelward.revisions.diagnosis import Cures, problem_of_pods
from modelward.revisions.ownership import belongs_to, is_pod_of_job
from modelward.revisions.workloads import pod_facts
from modelward.values.durations import period
from modelward.values.hashing import content_hash
from modelward.values.times import read_time

log = logging.getLogger(__name__)

AT_A_TIME: Final = 4
"""Jobs of a policy, however many models it watches: at two at night all of them are due."""

LOOK_AGAIN: Final = 15.0
"""Seconds until a Job that goes on is looked at again, where no watch tells of it."""

ASK_AGAIN: Final = 60.0
"""Seconds until a Job that was refused is tried again: a quota may be raised."""

SILENT_AFTER: Final = 60.0
"""Seconds in which a Job's pod is made."""

EVERY: Final = "24h"

CONFLICT: Final = 409

LONGEST: Final = 500
"""Characters of an error that are told."""

CURES: Final = Cures(
    memory="spec.quality.memory",
    config="Create what is missing, or correct spec.quality",
    rejected="Change the policy or quota of the namespace, or correct spec.quality",
    node="Lower spec.quality.memory, or add nodes",
    ours=False,
)


Jobs = dict[str, list[Object]]
"""By the uid of their target."""


class Evaluations:
    """`platform`: the installation's; `now`: the wall clock."""

    def __init__(self, api: Api, cache: Cache, platform: Platform, now: Callable[[], datetime]) -> None:
        self._api = api
        self._cache = cache
        self._platform = platform
        self._now = now
        self._refused: dict[str, tuple[float, Problem]] = {}
        """By name, Jobs that the API server would not take, when and why: it is not asked at each look."""

    def jobs(self, policy: DriftPolicy) -> Jobs:
        """Those of a policy that evaluate, by the uid of their target."""
        found: Jobs = {}
        for each in self._cache.children(_key(policy), JOBS):
            about = read_about(each)
            if about is not None and belongs_to(each, policy) and not each["metadata"].get("deletionTimestamp"):
                found.setdefault(about.target, []).append(each)
        return found

    async def step(
        self, policy: DriftPolicy, body: Object, revision: str | None, kept: Kept | None, jobs: Jobs
    ) -> tuple[Kept | None, float | None]:
        """What is known of one target's quality now, and in how many seconds to look again. `body`: the
        ModelDeployment; `revision`: its stable one; `jobs`: of all targets, with what this look has made so far."""
        if policy.spec.quality is None:
            return None, None
        known = kept or Kept()
        try:
            model = modeldeployment.parse(body)
        except InvalidObjectError:
            return known, None  # its own reconcile tells of that
        prediction_log = model.spec.prediction_log
        problem = self._obstacle(model)
        if problem is not None or prediction_log is None or revision is None:
            return replace(known, problem=problem, job=None), None
        try:
            slot, following = self._times(policy)
        except ScheduleError as error:
            told = str(error).replace("spec.schedule", "spec.quality.schedule")
            return replace(known, problem=Problem(keeping.INVALID_SCHEDULE, told), job=None), None
        if known.problem is not None and known.problem.reason in (
            keeping.NO_LOG, keeping.NO_EVALUATOR, keeping.INVALID_SCHEDULE, keeping.DELAYED,
        ):  # fmt: skip
            known = replace(known, problem=None)
        now = self._now().timestamp()
        name = job_name(policy, model, slot, _asked(policy, prediction_log))
        own = jobs.get(model.uid, [])
        if known.done == name:
            await self._delete(policy, superfluous(own, name, policy.spec.quality.history))
            return replace(known, job=None), following - now
        going = [each for each in own if ending_of(each) is None]
        if going:
            return self._going_on(policy, known, going[0], now), LOOK_AGAIN
        made = next((each for each in own if each["metadata"]["name"] == name), None) or _late(own, known)
        if made is not None:
            ended = self._ended(policy, known, made, now)
            return (known, GRACE) if ended is None else (ended, 0.0)
        if sum(ending_of(each) is None for of_one in jobs.values() for each in of_one) >= AT_A_TIME:
            return known, LOOK_AGAIN
        cohort = cohort_of(policy.spec, slot, level_of(policy.spec, following - slot))
        manifest = job(policy, model, prediction_log, self._platform, name, revision, cohort)
        refused = await self._start(policy, manifest, jobs.setdefault(model.uid, []), now)
        if refused is not None:
            return replace(known, problem=refused, job=None), min(ASK_AGAIN, following - now)
        return replace(known, job=name), LOOK_AGAIN

    def _obstacle(self, model: ModelDeployment) -> Problem | None:
        if model.spec.prediction_log is None:
            return Problem(
                keeping.NO_LOG,
                f"{model.name} keeps no prediction log, so nobody knows what it answered: write spec.predictionLog "
                "and spec.monitor into that ModelDeployment",
            )
        if not self._platform.evaluate_image:
            return Problem(
                keeping.NO_EVALUATOR,
                "This installation has no image that evaluates; its administrator has to name one in "
                "MODELWARD_EVALUATE_IMAGE",
            )
        return None

    def _times(self, policy: DriftPolicy) -> tuple[float, float]:
        """The latest time that it was due, and the next one. Raises ScheduleError."""
        quality, now = policy.spec.quality, self._now().timestamp()
        assert quality is not None
        if quality.schedule is None:
            every = period(quality.every or EVERY)
            # Not all policies at midnight.
            shift = int(content_hash({"policy": policy.uid}), 16) % int(every)
            slot = (now - shift) // every * every + shift
            return slot, slot + every
        schedule = Schedule(quality.schedule.cron, quality.schedule.time_zone)
        last = last_due(schedule, float("-inf"), now)
        assert last is not None
        return last, next_due(schedule, last)

    async def _start(
        self, policy: DriftPolicy, manifest: dict[str, Any], own: list[Object], now: float
    ) -> Problem | None:
        """Why it can't be made. `own`: gets what was made."""
        name = manifest["metadata"]["name"]
        known = self._refused.get(name)
        if known is not None and 0 <= now - known[0] < ASK_AGAIN:
            return known[1]
        log.info("%s/%s: evaluating by %s", policy.namespace, policy.name, name)
        try:
            made: Object | None = await self._api.create(JOBS, policy.namespace, manifest, strict=True)
        except ApiError as error:
            if error.is_refusal:
                told = f"The API server refuses the Job that evaluates: {quoted(error.message, LONGEST)}"
                self._refused = {name: (now, Problem(keeping.DELAYED, f"{told}. {CURES.rejected}"))} | {
                    each: said for each, said in self._refused.items() if now - said[0] < ASK_AGAIN
                }
                return self._refused[name][1]
            if error.status != CONFLICT:
                raise
            made = await self._api.get(JOBS, policy.namespace, name)
        if made is not None:
            self._cache.upsert(JOBS, made)
            own.append(made)
        return None

    def _going_on(self, policy: DriftPolicy, known: Kept, body: Object, now: float) -> Kept:
        name = body["metadata"]["name"]
        facts = [pod_facts(pod) for pod in self._pods(policy, body)]
        found = problem_of_pods(facts, CURES)
        if not facts and now - _began(body, now) > SILENT_AFTER:
            told = f"No pod of the Job {name} is made. `kubectl describe job {name}` may say why"
            return replace(known, job=name, problem=Problem(keeping.DELAYED, f"{told}. {CURES.rejected}"))
        if found is None or found.may_pass(now):
            return replace(known, job=name)
        told = f"The Job {name} does not go on: {found.message}"
        return replace(known, job=name, problem=Problem(keeping.DELAYED, told))

    def _ended(self, policy: DriftPolicy, known: Kept, body: Object, now: float) -> Kept | None:
        """None: its pod's end is not known yet."""
        end, about, name = ending_of(body), read_about(body), body["metadata"]["name"]
        if end is None or about is None:
            return None
        ends = [each for pod in self._pods(policy, body) if (each := _terminated(pod)) is not None]
        late = now - end.at > GRACE
        if end.kind == "Complete":
            good = [each for each in ends if each.get("exitCode") == 0]
            if good:
                message = str(max(good, key=_finished).get("message") or "")
                return keeping.succeeded(known, policy.spec, name, about, message, end.at)
            gone = f"The Job {name} is complete, but its pod, and with it what it found, is gone"
            return keeping.failed(known, name, about, gone) if late else None
        if not ends and not late:
            return None
        return keeping.failed(known, name, about, _why(name, end.message, ends))

    def _pods(self, policy: DriftPolicy, body: Object) -> list[Object]:
        return [pod for pod in self._cache.children(_key(policy), PODS) if is_pod_of_job(pod, body)]

    async def clear(self, policy: DriftPolicy, jobs: Jobs, targets: Collection[str]) -> None:
        """Those of nobody: of what is no target any more, or of a policy that asks for no quality. `targets`: uids."""
        for target, own in jobs.items():
            if policy.spec.quality is None or target not in targets:
                await self._delete(policy, own)

    async def _delete(self, policy: DriftPolicy, bodies: list[Object]) -> None:
        for each in bodies:
            await self._api.delete(JOBS, policy.namespace, each["metadata"]["name"], each["metadata"]["uid"])
            self._cache.remove(JOBS, each, final=True)


def superfluous(own: list[Object], done: str, keep: int) -> list[Object]:
    """Jobs that have ended, but for the latest `keep`. `done`: the one that was dealt with last, whatever others of the
    same second are called."""
    over = [each for each in own if ending_of(each) is not None]
    over.sort(key=lambda each: (each["metadata"]["name"] == done, str(each["metadata"].get("creationTimestamp"))))
    return over[: max(0, len(over) - keep)]


def _asked(policy: DriftPolicy, prediction_log: PredictionLog) -> list[Any]:
    """What has a result of its own: an edit of it is looked at at once."""
    assert policy.spec.quality is not None
    secret = prediction_log.credentials_secret
    return [
        asdict(policy.spec.quality), policy.spec.false_alarms.max_per30_days, prediction_log.uri,
        secret.name if secret else None,
    ]  # fmt: skip


def _late(own: list[Object], known: Kept) -> Object | None:
    """A Job that took longer than until the next was due, and is not dealt with."""
    found = [
        (about.cohort.slot, each["metadata"]["name"], each)
        for each in own
        if (about := read_about(each)) is not None and (known.slot is None or about.cohort.slot > known.slot)
    ]
    return max(found, key=lambda each: each[:2])[2] if found else None


def _key(policy: DriftPolicy) -> Key:
    return Key(policy.namespace, policy.name, DRIFT_POLICIES.kind)


def _terminated(pod: Object) -> dict[str, Any] | None:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended: dict[str, Any] | None = (status.get("state") or {}).get("terminated")
        if ended is not None:
            return ended
    return None


def _began(body: Object, now: float) -> float:
    try:
        return read_time(str(body["metadata"].get("creationTimestamp")))
    except ValueError:
        return now


def _finished(ended: dict[str, Any]) -> str:
    return str(ended.get("finishedAt", ""))


def _why(name: str, message: str, ends: list[dict[str, Any]]) -> str:
    bad = [each for each in ends if each.get("exitCode") != 0]
    if not bad:
        cure = ". Raise spec.quality.deadline, or spec.quality.memory" if "deadline" in message.lower() else ""
        return f"The Job {name} failed: {quoted(message.rstrip('.'), LONGEST) or 'nobody says why'}{cure}"
    worst = max(bad, key=_finished)
    if worst.get("reason") == "OOMKilled":
        return f"The Job {name} failed: it needs more memory than its limit. Raise spec.quality.memory"
    # One line of its own words; of what it did not foresee, the end of its log.
    lines = (worst.get("message") or "").strip().splitlines() or [""]
    said = quoted(lines[-1], LONGEST)
    return f"The Job {name} failed: {said or 'it said nothing'} (exit code {worst.get('exitCode')})"
