"""Jobs that evaluate, whoever asks for them: made, looked after, read when they have ended, and taken away.

Level-triggered: a Job's name says what it is for, so that it is made once, and an operator that starts anew reads what
the one before it made.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.ends import ending_of, has_ended
from modelward.kube.resources import JOBS, PODS
from modelward.net.untrusted import quoted
from modelward.quality import kept as quality_kept
from modelward.quality.measured import Problem
from modelward.retraining.triggers.job import CONFLICT, GRACE
from modelward.revisions.health.diagnosis import Cures, problem_of_pods
from modelward.revisions.observed.ownership import is_pod_of_job
from modelward.revisions.observed.workloads import pod_facts
from modelward.values.times import read_time

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 15.0
"""Seconds until a Job that goes on is looked at again, where no watch tells of it."""

ASK_AGAIN: Final = 60.0
"""Seconds until a Job that was refused is tried again: a quota may be raised."""

SILENT_AFTER: Final = 60.0
"""Seconds in which a Job's pod is made."""

LONGEST: Final = 500
"""Characters of an error that are told."""

NO_EVALUATOR: Final = Problem(
    quality_kept.NO_EVALUATOR,
    "This installation has no image that evaluates; its administrator has to name one in MODELWARD_EVALUATE_IMAGE",
)


@dataclass(frozen=True)
class Ended:
    """`message`: of the pod of a Job that ended well; `failure`: why it did not; one of them. `at`: when."""

    at: float
    message: str | None = None
    failure: str = ""


class EvaluationJobs:
    """`now`: the wall clock; `field`: of spec, that asks for these Jobs."""

    def __init__(self, api: Api, cache: Cache, now: Callable[[], datetime], field: str) -> None:
        self._api = api
        self._cache = cache
        self._now = now
        self._field = field
        self._cures = Cures(
            memory=f"{field}.memory",
            config=f"Create what is missing, or correct {field}",
            rejected=f"Change the policy or quota of the namespace, or correct {field}",
            node=f"Lower {field}.memory, or add nodes",
            ours=False,
        )
        self._refused: dict[str, tuple[float, Problem]] = {}
        """By namespace and name, Jobs that the API server would not take, when and why: it is not asked at each
        look."""

    async def start(self, namespace: str, manifest: dict[str, Any]) -> Object | Problem | None:
        """What was made, or is there by this name already; or why it can't be made. None: it is gone again."""
        name, now = manifest["metadata"]["name"], self._now().timestamp()
        of = f"{namespace}/{name}"
        known = self._refused.get(of)
        if known is not None and 0 <= now - known[0] < ASK_AGAIN:
            return known[1]
        log.info("%s: evaluating by %s", namespace, name)
        try:
            made: Object | None = await self._api.create(JOBS, namespace, manifest, strict=True)
        except ApiError as error:
            if error.is_refusal:
                told = f"The API server refuses the Job that evaluates: {quoted(error.message, LONGEST)}"
                self._refused = {of: (now, Problem(quality_kept.DELAYED, f"{told}. {self._cures.rejected}"))} | {
                    each: said for each, said in self._refused.items() if now - said[0] < ASK_AGAIN
                }
                return self._refused[of][1]
            if error.status != CONFLICT:
                raise
            made = await self._api.get(JOBS, namespace, name)
        if made is not None and not _have_one_owner(made, manifest):
            return Problem(quality_kept.DELAYED, f"There is a Job {name} that is not of {self._field}; delete it")
        if made is not None:
            self._cache.upsert(JOBS, made)
        return made

    def trouble(self, owner: Key, body: Object) -> Problem | None:
        """What keeps a Job from going on, that hardly passes by itself."""
        name, now = body["metadata"]["name"], self._now().timestamp()
        pods = self._pods(owner, body)
        # The Job takes another one for a pod that failed, or ends with what that one said.
        found = problem_of_pods([pod_facts(pod) for pod in pods if not has_ended(pod)], self._cures)
        if not pods and now - _began(body, now) > SILENT_AFTER:
            told = f"No pod of the Job {name} is made. `kubectl describe job {name}` may say why"
            return Problem(quality_kept.DELAYED, f"{told}. {self._cures.rejected}")
        if found is None or found.may_pass(now):
            return None
        return Problem(quality_kept.DELAYED, f"The Job {name} does not go on: {found.message}")

    def ended(self, owner: Key, body: Object) -> Ended | None:
        """None: it goes on, or its pod's end is not known yet."""
        end, name = ending_of(body), body["metadata"]["name"]
        if end is None:
            return None
        ends = [each for pod in self._pods(owner, body) if (each := _terminated(pod)) is not None]
        late = self._now().timestamp() - end.at > GRACE
        if end.kind == "Complete":
            good = [each for each in ends if each.get("exitCode") == 0]
            if good:
                return Ended(end.at, str(max(good, key=_finished).get("message") or ""))
            gone = f"The Job {name} is complete, but its pod, and with it what it found, is gone"
            return Ended(end.at, failure=gone) if late else None
        if not ends and not late:
            return None
        return Ended(end.at, failure=self._why(name, end.message, ends))

    async def delete(self, namespace: str, bodies: Iterable[Object]) -> None:
        for each in bodies:
            await self._api.delete(JOBS, namespace, each["metadata"]["name"], each["metadata"]["uid"])
            self._cache.remove(JOBS, each, final=True)

    def _pods(self, owner: Key, body: Object) -> list[Object]:
        return [pod for pod in self._cache.children(owner, PODS) if is_pod_of_job(pod, body)]

    def _why(self, name: str, message: str, ends: list[dict[str, Any]]) -> str:
        bad = [each for each in ends if each.get("exitCode") != 0]
        if not bad:
            cure = f". Raise {self._field}.deadline, or {self._field}.memory" if "deadline" in message.lower() else ""
            return f"The Job {name} failed: {quoted(message.rstrip('.'), LONGEST) or 'nobody says why'}{cure}"
        worst = max(bad, key=_finished)
        if worst.get("reason") == "OOMKilled":
            return f"The Job {name} failed: it needs more memory than its limit. Raise {self._field}.memory"
        # One line of its own words; of what it did not foresee, the end of its log.
        lines = (worst.get("message") or "").strip().splitlines() or [""]
        said = quoted(lines[-1], LONGEST)
        return f"The Job {name} failed: {said or 'it said nothing'} (exit code {worst.get('exitCode')})"


def _have_one_owner(made: Object, manifest: Object) -> bool:
    wanted = {each["uid"] for each in manifest["metadata"]["ownerReferences"]}
    return bool(wanted & {each.get("uid") for each in made["metadata"].get("ownerReferences") or ()})


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
