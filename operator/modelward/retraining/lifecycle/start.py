"""When a retraining run starts: what asks for one, and what is in its way. Pure.

A wish is judged anew each time from what is stored, so nothing is lost with an event: a drift that could not start a
run starts it when what was in its way is gone, if it still is one then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from modelward.api.driftpolicy import DriftPolicy, Retrain
from modelward.drift.verdicts import NAMED, holding, to_retrain_for
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run, run_name
from modelward.retraining.pod_template import problem_of
from modelward.retraining.schedule import ScheduleError, last_due, next_due
from modelward.retraining.target import Ended, Memory, TargetFacts
from modelward.values.durations import seconds
from modelward.values.hashing import content_hash
from modelward.values.times import show_time

BACKOFF_MAX: Final = 24 * 3600.0
"""Seconds."""

LONGEST_REQUEST: Final = 200
"""Characters."""


@dataclass(frozen=True)
class Step:
    """What became of the memory, and what is waited for. `run`: the one to start; `obstacle`: why a run that is wanted
    does not start; `stalled`: that only a person removes it; `again_in`: seconds until time alone changes something."""

    memory: Memory
    run: Run | None = None
    obstacle: str | None = None
    stalled: str | None = None
    again_in: float | None = None


def begin(
    policy: DriftPolicy,
    facts: TargetFacts,
    memory: Memory,
    busy: str | None,
    now: float,
    taken: Callable[[str], bool] = lambda _name: False,
) -> Step:
    """Start a run where one is due and nothing is in its way. `busy`: another policy's run for the same model; `taken`:
    whether a run of this name is there."""
    try:
        memory, due, next_time = _schedule(policy, memory, now)
    except ScheduleError as error:
        return Step(memory, stalled=str(error))
    retrain = policy.spec.retrain
    refused = problem_of(retrain.job.template) if retrain is not None and retrain.job is not None else None
    if refused is not None:
        return Step(memory, stalled=refused)
    wish = None if retrain is None else _wish(policy, memory, due)
    later = None if next_time is None else next_time - now
    if wish is None or retrain is None:
        return _nothing_to_do(policy, memory, later)
    trigger, what, reason = wish
    if trigger == runs.REQUEST:
        memory = replace(memory, failures=0, answered=None)
    elif memory.failures >= retrain.max_failures:
        return Step(memory, stalled=_too_many(policy, memory), again_in=later)
    obstacle = _obstacle(policy, facts, busy)
    if obstacle:
        return Step(memory, obstacle=obstacle, again_in=later)
    left = 0.0 if trigger == runs.REQUEST else _pause(retrain, memory, now)
    if left > 0:
        at = show_time(round(now + left))
        told = f"The next run starts at {at} at the earliest (cooldown or backoff)"
        return Step(memory, obstacle=told, again_in=left)
    return Step(memory, _run(policy, retrain, facts, memory, trigger, what, reason, now, taken), again_in=0.0)


def knows(memory: Memory, run: Run) -> Memory:
    """The memory that is stored before the run is started: with what it deals with, so that its object may go."""
    # Only what runs in another system is stopped by what is remembered of how far it is.
    begun = run.kind not in runs.OWNED and run.phase != runs.STARTING
    brief = Run(
        run.name, run.key, run.kind, run.trigger, "", run.started_at, "", Artifact(""), run.attempt,
        runs.RUNNING if begun else runs.STARTING, handle=run.handle, target=run.target, target_uid=run.target_uid,
        occasion=run.occasion, uid=run.uid,
    )  # fmt: skip
    if memory.run is not None and memory.run.name == run.name:
        return replace(memory, run=brief)
    if memory.scheduled_at is not None:
        # Whatever was due when it began is dealt with by it.
        memory = replace(memory, scheduled_at=max(memory.scheduled_at, run.started_at))
    if run.trigger == runs.REQUEST:
        memory = replace(memory, handled_request=run.occasion, failures=0, answered=None)
    return replace(memory, run=brief)


def _wish(policy: DriftPolicy, memory: Memory, due: float | None) -> tuple[str, str, str] | None:
    """Trigger, what makes it one of its own, and the reason in a sentence."""
    asked = None if policy.request is None else _short(policy.request)
    # Operators of earlier versions remembered it in its whole length.
    if asked is not None and memory.handled_request not in (asked, policy.request):
        return runs.REQUEST, asked, f"Asked for by annotation ({asked})"
    if due is not None:
        return runs.SCHEDULE, show_time(due), "It is time, by spec.schedule"
    verdict = memory.verdict
    since = verdict.since
    if since is None or not to_retrain_for(policy.spec, verdict) or _is_answered(policy, memory):
        return None
    if holding(policy.spec, verdict):
        return None
    return runs.DRIFT, show_time(since), verdict.sentence


def _nothing_to_do(policy: DriftPolicy, memory: Memory, later: float | None) -> Step:
    """Why drift starts no run, where there is some that would."""
    if policy.spec.retrain is None or not to_retrain_for(policy.spec, memory.verdict):
        return Step(memory, again_in=later)
    held = holding(policy.spec, memory.verdict)
    if held:
        told = f"No run starts while {held[0]} drifts (spec.actions has Hold for it): repair the data first"
        return Step(memory, obstacle=told, again_in=later)
    answered = memory.answered
    if answered is None:
        return Step(memory, again_in=later)
    last = next((each for each in memory.runs if each.name == answered.run), None)
    if answered.result == runs.REPORTED:
        told = last.message if last else f"Take up what {answered.run} brought"
        return Step(memory, obstacle=told, again_in=later)
    message = (
        f"{answered.revision} still drifts, and the run {answered.run} for it ended as {answered.result}. "
        f"{last.message if last else ''}. The same drift starts no other; {_how_to_ask(policy)}"
    )
    return Step(memory, stalled=message, again_in=later)


def _is_answered(policy: DriftPolicy, memory: Memory) -> bool:
    answered, drifted = memory.answered, to_retrain_for(policy.spec, memory.verdict)
    if answered is None or answered.revision != memory.verdict.revision:
        return False
    return set(drifted) <= set(answered.drifted) or len(answered.drifted) >= NAMED


def _too_many(policy: DriftPolicy, memory: Memory) -> str:
    last = memory.runs[0].message if memory.runs else "status does not tell"
    return (
        f"{memory.failures} runs failed one after the other (spec.retrain.maxFailures). The last: {last}. Repair the "
        f"cause; {_how_to_ask(policy)}"
    )


def _how_to_ask(policy: DriftPolicy) -> str:
    return (
        f"then change spec, or ask for a run with `kubectl annotate driftpolicy {policy.name} -n {policy.namespace} "
        'modelward.io/retrain="$(date)" --overwrite`'
    )


def _obstacle(policy: DriftPolicy, facts: TargetFacts, busy: str | None) -> str | None:
    if policy.spec.suspend:
        return "No run starts while spec.suspend is true"
    if facts.stable_revision is None or facts.stable is None:
        return f"{facts.name} has no revision that serves yet"
    if facts.moving:
        return f"{facts.name} has a rollout going on; a run starts when it has ended"
    return busy


def _pause(retrain: Retrain, memory: Memory, now: float) -> float:
    """Seconds that the next run has to wait, none or less: it need not."""
    ends = [now]
    last = _last(memory, but=(runs.CANCELLED, runs.FAILED))
    if last is not None:
        ends.append(last.ended_at + seconds(retrain.cooldown))
    latest = _last(memory, but=(runs.CANCELLED,))
    if latest is not None and latest.result == runs.FAILED:
        doubled = seconds(retrain.backoff) * 2.0 ** min(max(memory.failures - 1, 0), 40)
        ends.append(latest.ended_at + min(BACKOFF_MAX, doubled))
    return max(ends) - now


def _last(memory: Memory, but: tuple[str, ...]) -> Ended | None:
    return next((each for each in memory.runs if each.result not in but), None)


def _schedule(policy: DriftPolicy, memory: Memory, now: float) -> tuple[Memory, float | None, float | None]:
    """The time of the schedule that is due, and the next one.

    One in the cooldown of a run is passed over: the model has just been retrained. Of several that were missed only the
    last is due.
    """
    schedule, retrain = policy.spec.schedule, policy.spec.retrain
    if schedule is None or retrain is None:
        return replace(memory, scheduled_at=None), None, None
    following = next_due(schedule, now)
    if memory.scheduled_at is None:
        # A schedule that is new has missed nothing.
        return replace(memory, scheduled_at=now), None, following
    due = last_due(schedule, memory.scheduled_at, now)
    last = _last(memory, but=(runs.CANCELLED, runs.FAILED))
    if due is None or last is None:
        return memory, due, following
    if last.started_at <= due <= last.ended_at + seconds(retrain.cooldown):
        return replace(memory, scheduled_at=due), None, following
    return memory, due, following


def _run(
    policy: DriftPolicy,
    retrain: Retrain,
    facts: TargetFacts,
    memory: Memory,
    trigger: str,
    what: str,
    reason: str,
    now: float,
    taken: Callable[[str], bool],
) -> Run:
    # One that failed is tried again for the same reason, which must be another run.
    alike = (each for each in memory.runs if (each.trigger, each.occasion) == (trigger, what))
    attempt = next((each.attempt + 1 for each in alike), 1)
    while taken(run_name(policy.name, key := _key(policy, facts, trigger, what, attempt))):
        attempt += 1
    return Run(
        name=run_name(policy.name, key),
        key=key,
        kind=kind_of(retrain),
        trigger=trigger,
        reason=reason,
        started_at=now,
        revision=str(facts.stable_revision),
        from_model=facts.asked,
        attempt=attempt,
        drifted=tuple(each.key for each in memory.verdict.breached),
        features=memory.verdict.features,
        window=memory.verdict.window,
        target=facts.name,
        target_uid=facts.uid,
        occasion=what,
    )


def kind_of(retrain: Retrain) -> str:
    """Which trigger starts the runs; the CRD lets one alone be written."""
    kinds = {
        runs.JOB: retrain.job,
        runs.AIRFLOW: retrain.airflow,
        runs.PREFECT: retrain.prefect,
        runs.GITHUB: retrain.github,
        runs.JENKINS: retrain.jenkins,
        runs.ARGO: retrain.argo_workflow,
        runs.KUBEFLOW: retrain.kubeflow,
    }
    return next((kind for kind, said in kinds.items() if said is not None), runs.WEBHOOK)


def _key(policy: DriftPolicy, facts: TargetFacts, trigger: str, what: str, attempt: int) -> str:
    key = f"{policy.uid}/{facts.uid}/{trigger}/{what}"
    return key if attempt == 1 else f"{key}#{attempt}"


def _short(request: str) -> str:
    """Annotations may be of any length; what is stored of one may not."""
    return request if len(request) <= LONGEST_REQUEST else f"{request[:80]}… ({content_hash({'request': request})})"


def busy_with(active: Mapping[str, str]) -> str | None:
    """`active`: runs by policy, of others on the same model."""
    if not active:
        return None
    policy, run = min(active.items())
    return f"The run {run} of the DriftPolicy {policy} is for the same model; one at a time"
