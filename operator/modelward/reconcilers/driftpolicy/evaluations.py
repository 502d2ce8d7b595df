"""The Jobs that evaluate a policy's targets: made when they are due, read when they have ended, and taken away.

Level-triggered: a Job's name says whose it is, when it was due and what for, so that an operator that dies at any
moment makes none twice, and reads what the one before it made. One of a target goes on at a time.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Final, Generic

from modelward.api import modeldeployment
from modelward.api.driftpolicy import DriftPolicy, Schedule
from modelward.api.invalid import InvalidObjectError
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api
from modelward.kube.ends import ending_of
from modelward.kube.resources import DRIFT_POLICIES, JOBS
from modelward.platform import Platform
from modelward.quality import kept as quality_kept
from modelward.quality.batch_log import NO_BATCH
from modelward.quality.evaluation import EVERY
from modelward.quality.measured import Problem
from modelward.reconcilers.driftpolicy.aspects import Aspect, K
from modelward.reconcilers.evaluation_jobs import ASK_AGAIN, LOOK_AGAIN, NO_EVALUATOR, EvaluationJobs
from modelward.retraining.schedule import ScheduleError, last_due, next_due
from modelward.retraining.triggers.job import GRACE
from modelward.revisions.observed.ownership import belongs_to
from modelward.values.durations import period
from modelward.values.hashing import content_hash

AT_A_TIME: Final = 4
"""Jobs of a policy, however many models it watches: at two at night all of them are due."""

Jobs = dict[str, list[Object]]
"""By the uid of their target."""


class Evaluations(Generic[K]):
    """Of one `aspect`. `platform`: the installation's; `now`: the wall clock."""

    def __init__(
        self, aspect: Aspect[K], api: Api, cache: Cache, platform: Platform, now: Callable[[], datetime]
    ) -> None:
        self._aspect: Aspect[K] = aspect
        self._cache = cache
        self._platform = platform
        self._now = now
        self._each = EvaluationJobs(api, cache, now, aspect.field)

    def jobs(self, policy: DriftPolicy) -> Jobs:
        """Those of a policy that evaluate, by the uid of their target."""
        found: Jobs = {}
        for each in self._cache.children(_key(policy), JOBS):
            about = self._aspect.about(each)
            if about is not None and belongs_to(each, policy) and not each["metadata"].get("deletionTimestamp"):
                found.setdefault(about.target, []).append(each)
        return found

    async def step(
        self, policy: DriftPolicy, body: Object, revision: str | None, kept: K | None, jobs: Jobs
    ) -> tuple[K | None, float | None]:
        """What is known of one target now, and in how many seconds to look again. `body`: the
        ModelDeployment; `revision`: its stable one; `jobs`: of all targets, with what this look has made so far."""
        asked = self._aspect.asked(policy.spec)
        if asked is None:
            return None, None
        known = kept or self._aspect.blank
        try:
            model = modeldeployment.parse(body)
        except InvalidObjectError:
            return known, None  # its own reconcile tells of that
        log = self._aspect.log(policy, model, self._cache)
        if isinstance(log, Problem):
            # No watch of a policy tells of a batch.
            return replace(known, problem=log, job=None), ASK_AGAIN if log.reason == NO_BATCH else None
        if not self._platform.evaluate_image or revision is None:
            problem = None if self._platform.evaluate_image else NO_EVALUATOR
            return replace(known, problem=problem, job=None), None
        try:
            slot, following = self._times(policy)
        except ScheduleError as error:
            told = str(error).replace("spec.schedule", f"{self._aspect.field}.schedule")
            return replace(known, problem=Problem(quality_kept.INVALID_SCHEDULE, told), job=None), None
        if known.problem is not None and known.problem.reason in (
            quality_kept.NO_LOG, NO_BATCH, quality_kept.NO_EVALUATOR, quality_kept.INVALID_SCHEDULE,
            quality_kept.DELAYED,
        ):  # fmt: skip
            known = replace(known, problem=None)
        now = self._now().timestamp()
        name = self._aspect.name(policy, model, log, slot)
        own = jobs.get(model.uid, [])
        if known.done == name:
            await self._each.delete(policy.namespace, superfluous(own, name, asked.history))
            return replace(known, job=None), following - now
        going = [each for each in own if ending_of(each) is None]
        if going:
            trouble = self._each.trouble(_key(policy), going[0])
            return replace(known, job=_name(going[0]), problem=trouble or known.problem), LOOK_AGAIN
        made = next((each for each in own if each["metadata"]["name"] == name), None) or self._late(own, known)
        if made is not None:
            ended = self._ended(policy, known, made)
            return (known, GRACE) if ended is None else (ended, 0.0)
        if sum(ending_of(each) is None for of_one in jobs.values() for each in of_one) >= AT_A_TIME:
            return known, LOOK_AGAIN
        manifest = self._aspect.manifest(policy, model, log, self._platform, name, revision, slot, following)
        begun = await self._each.start(policy.namespace, manifest)
        if isinstance(begun, Problem):
            return replace(known, problem=begun, job=None), min(ASK_AGAIN, following - now)
        if begun is not None:
            jobs.setdefault(model.uid, []).append(begun)
        return replace(known, job=name), LOOK_AGAIN

    def _times(self, policy: DriftPolicy) -> tuple[float, float]:
        """The latest time that it was due, and the next one. Raises ScheduleError."""
        asked, now = self._aspect.asked(policy.spec), self._now().timestamp()
        assert asked is not None
        if asked.schedule is None:
            every = period(asked.every or EVERY)
            # Not all policies at midnight.
            shift = int(content_hash({"policy": policy.uid}), 16) % int(every)
            slot = (now - shift) // every * every + shift
            return slot, slot + every
        schedule = Schedule(asked.schedule.cron, asked.schedule.time_zone)
        last = last_due(schedule, float("-inf"), now)
        assert last is not None
        return last, next_due(schedule, last)

    def _ended(self, policy: DriftPolicy, known: K, body: Object) -> K | None:
        """None: its pod's end is not known yet."""
        end, about = self._each.ended(_key(policy), body), self._aspect.about(body)
        if end is None or about is None:
            return None
        after: K = self._aspect.ended(known, policy, _name(body), about, end)
        return after

    def _late(self, own: list[Object], known: K) -> Object | None:
        """A Job that took longer than until the next was due, and is not dealt with."""
        found = [
            (about.slot, _name(each), each)
            for each in own
            if (about := self._aspect.about(each)) is not None and (known.slot is None or about.slot > known.slot)
        ]
        return max(found, key=lambda each: each[:2])[2] if found else None

    async def clear(self, policy: DriftPolicy, jobs: Jobs, targets: Collection[str]) -> None:
        """Those of nobody: of what is no target any more, or of a policy that does not ask for it. `targets`: uids."""
        for target, own in jobs.items():
            if self._aspect.asked(policy.spec) is None or target not in targets:
                await self._each.delete(policy.namespace, own)


def superfluous(own: list[Object], done: str, keep: int) -> list[Object]:
    """Jobs that have ended, but for the latest `keep`. `done`: the one that was dealt with last, whatever others of the
    same second are called."""
    over = [each for each in own if ending_of(each) is not None]
    over.sort(key=lambda each: (each["metadata"]["name"] == done, str(each["metadata"].get("creationTimestamp"))))
    return over[: max(0, len(over) - keep)]


def _key(policy: DriftPolicy) -> Key:
    return Key(policy.namespace, policy.name, DRIFT_POLICIES.kind)


def _name(body: Object) -> str:
    return str(body["metadata"]["name"])
