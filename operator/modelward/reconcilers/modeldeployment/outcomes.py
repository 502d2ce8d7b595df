"""What outcomes say of a candidate and of variants, found out by Jobs: made when they are due, read, and taken away.

Level-triggered: Jobs are named by what they are for and when they were due, so an operator that dies at any moment
makes none twice and reads what the one before it made. Of a model one goes on at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality_gate import NAME, QualityGate, quality_gate_of
from modelward.api.traffic import CANDIDATE
from modelward.facts import Observed
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api
from modelward.kube.ends import ending_of
from modelward.kube.resources import JOBS
from modelward.platform import Platform
from modelward.quality import kept as quality_kept
from modelward.quality.comparison import (
    About,
    Comparisons,
    Subject,
    assumed,
    candidate_of,
    identity,
    job,
    job_name,
    read_about,
    read_comparisons,
    variants_of,
)
from modelward.quality.measured import Problem
from modelward.reconcilers.evaluation_jobs import ASK_AGAIN, LOOK_AGAIN, NO_EVALUATOR, EvaluationJobs
from modelward.retraining.triggers.job import GRACE
from modelward.revisions.observed.ownership import belongs_to
from modelward.rollouts.gates import gates
from modelward.rollouts.gates.quality import Compared, OutcomeGate, OutcomeLook, OutcomesTold, shown_of
from modelward.rollouts.trial import begin
from modelward.values.durations import period
from modelward.values.times import read_time, show_time

FIELD: Final = "spec.rollout.gates.quality"

_NO_LOG: Final = Problem(
    quality_kept.NO_LOG,
    f"{FIELD} needs the prediction log, by which it is known what each arm answered: write spec.predictionLog and "
    "spec.monitor",
)


@dataclass(frozen=True)
class OutcomesSeen:
    """`own`: for gates, by the kind's name; `variants`: by name, `status.variants[].quality`; `condition`: None:
    nobody asks for outcomes; `again_in`: seconds until the next look."""

    own: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    condition: Condition | None = None
    again_in: float | None = None


@dataclass(frozen=True)
class _Said:
    """What Jobs say of a subject. `about`, `result`: of the latest that said something; `problem`: of the latest;
    `again_in`: seconds."""

    about: About | None = None
    result: Comparisons | None = None
    problem: Problem | None = None
    again_in: float | None = None


class OutcomeComparisons:
    """`platform`: the installation's; `now`: the wall clock."""

    def __init__(self, api: Api, cache: Cache, platform: Platform, now: Callable[[], datetime]) -> None:
        self._cache = cache
        self._platform = platform
        self._now = now
        self._each = EvaluationJobs(api, cache, now, FIELD)

    async def step(self, owner: ModelDeployment, observed: Observed) -> OutcomesSeen:
        """What is known of outcomes now; has a Job made where one is due."""
        asked, log = quality_gate_of(owner.spec.rollout.gates), owner.spec.prediction_log
        jobs = self._jobs(owner)
        if asked is None:
            await self._each.delete(owner.namespace, [body for body, _ in jobs])
            return OutcomesSeen()
        now = self._now().timestamp()
        subjects, judged = _subjects(owner, observed, asked, now)
        problem = _NO_LOG if log is None else None if self._platform.evaluate_image else NO_EVALUATOR
        if problem is not None or log is None:
            said = {each.name: _Said(problem=problem) for each in subjects}
            return _seen(subjects, said, asked, now, problem)
        wanted = {each.name: identity(asked, each, log) for each in subjects}
        useless = [body for body, about in jobs if wanted.get(about.subject) != about.asked]
        await self._each.delete(owner.namespace, useless)
        jobs = [(body, about) for body, about in jobs if wanted.get(about.subject) == about.asked]
        said = {}
        for subject in subjects:
            own = [(body, about) for body, about in jobs if about.subject == subject.name]
            said[subject.name] = await self._said(owner, asked, own, now)
        if not any(ending_of(body) is None for body, _ in jobs):
            await self._start(owner, asked, log, subjects, judged, {_name(body) for body, _ in jobs}, said)
        return _seen(subjects, said, asked, now, None, assumed(owner, asked))

    def _jobs(self, owner: ModelDeployment) -> list[tuple[Object, About]]:
        """Those of a model that compare, the latest first."""
        found = []
        for body in self._cache.children(_key(owner), JOBS):
            about = read_about(body)
            if about is not None and belongs_to(body, owner) and not body["metadata"].get("deletionTimestamp"):
                found.append((body, about))
        return sorted(found, key=lambda each: (each[1].slot, _name(each[0])), reverse=True)

    async def _said(
        self, owner: ModelDeployment, asked: QualityGate, own: Sequence[tuple[Object, About]], now: float
    ) -> _Said:
        """`own`: of one subject, the latest first. Those that are not needed any more are taken away."""
        problem, again_in = None, None
        for place, (body, about) in enumerate(own):
            if ending_of(body) is None:
                problem, again_in = self._each.trouble(_key(owner), body), LOOK_AGAIN
                continue
            ended = self._each.ended(_key(owner), body)
            if ended is None:
                again_in = GRACE
                continue
            result = _read(ended.message)
            if isinstance(result, Comparisons) and not result.is_silent:
                await self._each.delete(owner.namespace, [older for older, _ in own[place + 1 :]])
                return _Said(about, result, problem, again_in)
            if place == 0:
                problem = _failure(body, ended.failure, result, about, asked)
                if ended.message is None and now - ended.at >= period(asked.every):
                    # Somebody may have corrected what it failed by.
                    await self._each.delete(owner.namespace, [body])
                    again_in = 0.0
        return _Said(problem=problem, again_in=again_in)

    async def _start(
        self, owner: ModelDeployment, asked: QualityGate, log: PredictionLog, subjects: Sequence[Subject],
        judged: float | None, there: set[str], said: dict[str, _Said],
    ) -> None:  # fmt: skip
        """Have the first Job made that is due. `judged`: the slot that the candidate's gates have judged; `there`:
        names of Jobs; `said`: gets what came of it."""
        for subject in subjects:
            done = subject.name == CANDIDATE and judged is not None and judged >= (subject.slot or 0.0)
            if subject.slot is None or done or job_name(owner, asked, subject, log) in there:
                continue
            begun = await self._each.start(owner.namespace, job(owner, asked, subject, log, self._platform))
            known = said[subject.name]
            if isinstance(begun, Problem):
                said[subject.name] = _Said(known.about, known.result, begun, ASK_AGAIN)
                continue
            said[subject.name] = _Said(known.about, known.result, known.problem, LOOK_AGAIN)
            return


def _subjects(
    owner: ModelDeployment, observed: Observed, asked: QualityGate, now: float
) -> tuple[list[Subject], float | None]:
    """What is compared now; and the slot up to which all gates of the candidate have seen outcomes."""
    routes, progress, found = observed.router.routes, begin(observed), list[Subject]()
    if routes is None:
        return found, None
    judged, arm = None, observed.candidate_arm
    if (
        arm is not None and arm.weight + arm.mirror > 0 and not progress.rejected and observed.target != routes.stable
    ):  # fmt: skip
        told = owner.status.get("rollout") or {}
        about = (routes.stable, observed.target, progress.attempt)
        same = (told.get("from"), told.get("revision"), told.get("attempt")) == about
        case = gates.opened(observed.rollout.gates, *about, told.get("gates") or () if same else ())
        own = [each for each in case.gates if isinstance(each, OutcomeGate)]
        since = read_time(told["startedAt"]) if same and "startedAt" in told else now
        found.append(candidate_of(asked, arm, routes.stable, progress.attempt, since, now, own, case.alpha))
        slots = [each.seen for each in own]
        judged = None if None in slots else min((slot for slot in slots if slot is not None), default=None)
    names = {variant.name for variant in observed.variants}
    arms = [each for each in routes.arms if each.name in names and each.weight + each.mirror > 0]
    if arms:
        found.append(variants_of(asked, arms, routes.stable, owner.uid, now))
    return found, judged


def _read(message: str | None) -> Comparisons | str:
    """What a Job said, or why that can't be read."""
    try:
        return read_comparisons(message or "")
    except ValueError as error:
        return str(error)


def _failure(
    body: Object, failure: str, result: Comparisons | str, about: About, asked: QualityGate
) -> Problem:  # fmt: skip
    """Why a Job that has ended told nothing."""
    if failure:
        return Problem(quality_kept.FAILED, failure)
    if isinstance(result, str):
        told = f"The Job {_name(body)} ended well, but what it said can't be read: {result}"
        return Problem(quality_kept.FAILED, f"{told}. Install operator and evaluator of the same version")
    table = asked.outcomes.table
    where = asked.outcomes.uri or (f"the table {table.name}" if table else "what clients post")
    matured = f" for any of {result.matured:,} predictions" if result.matured else ""
    return Problem(
        quality_kept.NO_OUTCOMES,
        f"No outcome came{matured} until {show_time(about.until)} ({where}). Check that outcomes are written there "
        f"with the answers' x-request-id or the clients' own keys, and that {FIELD}.labelWindow is as long as they "
        "take",
    )


def _seen(
    subjects: Sequence[Subject], said: Mapping[str, _Said], asked: QualityGate, now: float, problem: Problem | None,
    assumptions: str = "",
) -> OutcomesSeen:  # fmt: skip
    """`assumptions`: told behind what is compared."""
    own: dict[str, Any] = {}
    variants: dict[str, Mapping[str, Any]] = {}
    for subject in subjects:
        told = said[subject.name]
        if subject.name == CANDIDATE:
            own[NAME] = _told(subject, told, now)
        elif told.about is not None and told.result is not None:
            for side in subject.sides:
                variants[side.name] = _report(told.about, told.result.found.get(side.name, {}), asked)
    waits = [each.following - now for each in subjects] + [
        each.again_in for each in said.values() if each.again_in is not None
    ]
    return OutcomesSeen(own, variants, _condition(subjects, said, problem, assumptions), min(waits, default=None))


def _told(subject: Subject, said: _Said, now: float) -> OutcomesTold:
    """For the gates."""
    look = None
    if said.about is not None and said.result is not None:
        found = said.result.found.get(CANDIDATE, {})
        look = OutcomeLook(said.about.number, said.about.slot, said.about.until, found)
    problem = None if said.problem is None else said.problem.message
    return OutcomesTold(subject.since, now, look, problem, subject.following)


def _report(about: About, found: Mapping[str, Compared], asked: QualityGate) -> dict[str, Any]:
    """`status.variants[].quality`."""
    shown: dict[str, Any] = {"evaluatedAt": show_time(about.slot), "until": show_time(about.until)}
    known = [(each.name, found[each.name]) for each in asked.margins if each.name in found]
    if not known:
        return {**shown, "message": "There is no hour of which outcomes of it and of the stable have matured"}
    return {**shown, "metrics": [{"name": name, **shown_of(compared)} for name, compared in known]}


def _condition(
    subjects: Sequence[Subject], said: Mapping[str, _Said], problem: Problem | None, assumptions: str
) -> Condition:
    found = problem or next((each.problem for each in said.values() if each.problem is not None), None)
    if found is not None:
        return Condition(conditions.OUTCOMES_COMPARED, False, found.reason, found.message)
    if not subjects:
        told = "No candidate and no variant gets requests"
        return Condition(conditions.OUTCOMES_COMPARED, True, "NothingToCompare", told)
    arms = " and ".join(side.revision for subject in subjects for side in subject.sides)
    looked = [each.about.slot for each in said.values() if each.about is not None]
    if not looked:
        first = min(each.slot or each.following for each in subjects)
        told = f"Outcomes of {arms} are looked at for the first time as of {show_time(first)}"
        return Condition(conditions.OUTCOMES_COMPARED, None, "WaitingForOutcomes", told)
    told = f"Outcomes of {arms} are held against those of {subjects[0].stable}, as of {show_time(max(looked))}"
    return Condition(conditions.OUTCOMES_COMPARED, True, "Compared", f"{told}{assumptions}")


def _key(owner: ModelDeployment) -> Key:
    return Key(owner.namespace, owner.name)


def _name(body: Object) -> str:
    return str(body["metadata"]["name"])
