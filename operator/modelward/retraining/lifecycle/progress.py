"""How a retraining run goes on, how it ends, and what is remembered of it. Pure.

A run moves from phase to phase. What a phase tells of (`effect_of`) is done only after it has been stored, and may be
done again: so a crash anywhere neither loses a run nor starts it twice. Its end is stored first, and then accounted for
(`settled`), once, since the memory names the run until then.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from modelward.api.driftpolicy import MANUAL, DriftPolicy, Retrain
from modelward.models.references import is_followed, kind_of
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Outcome, Report, Run
from modelward.retraining.lifecycle.start import knows
from modelward.retraining.target import Answered, Ended, Memory, Rejected, TargetFacts
from modelward.values.durations import seconds
from modelward.values.times import read_time

REJECTED_KEPT: Final = 10

START, ASK = "Start", "Ask"


def effect_of(policy: DriftPolicy, facts: TargetFacts | None, run: Run, now: float) -> str | None:
    """What has to be done for a stored run. `facts`: None where the target is gone."""
    if facts is None:
        return None
    if run.phase == runs.STARTING:
        return None if _overdue(policy, run, now) else START
    return ASK if run.phase == runs.RUNNING else None


def is_to_be_stopped(
    policy: DriftPolicy, facts: TargetFacts | None, run: Run, outcome: Outcome | None, now: float
) -> bool:
    """Whether the trigger has to stop it. One that has ended in time counts, however late that is found out."""
    if run.phase not in (runs.STARTING, runs.RUNNING):
        return False
    ended = outcome is not None and outcome.state in (runs.SUCCEEDED, runs.BROKE)
    return facts is None or (_overdue(policy, run, now) and not ended)


def advance(
    policy: DriftPolicy, facts: TargetFacts | None, memory: Memory, run: Run, outcome: Outcome | None, now: float
) -> Run:
    """The run after a step. `outcome`: what the effect led to, None where there was none."""
    moved = _moved(policy, facts, memory, run, outcome, now)
    if run.phase == runs.STARTING and moved.begun_at is None and outcome is not None and outcome.state != runs.WAITS:
        moved = replace(moved, begun_at=now)
    if moved.phase in (runs.STARTING, runs.RUNNING):
        return replace(moved, deadline=run.started_at + deadline_of(policy))
    moved = replace(moved, deadline=None, delay="", stuck=False)
    return replace(moved, ended_at=now) if moved.phase == runs.ENDED else moved


def _overdue(policy: DriftPolicy, run: Run, now: float) -> bool:
    return now >= run.started_at + deadline_of(policy)


def deadline_of(policy: DriftPolicy) -> float:
    """Seconds that a run may take."""
    return seconds((policy.spec.retrain or Retrain()).deadline)


def _moved(
    policy: DriftPolicy, facts: TargetFacts | None, memory: Memory, run: Run, outcome: Outcome | None, now: float
) -> Run:
    if facts is None:
        return _end(run, runs.CANCELLED, "The ModelDeployment is gone")
    if run.phase in (runs.STARTING, runs.RUNNING):
        if is_to_be_stopped(policy, facts, run, outcome, now):
            why = f": {run.message}" if run.message else ""
            return _end(run, runs.FAILED, f"Not finished within spec.retrain.deadline, so it was stopped{why}")
        return run if outcome is None else _told(policy, facts, memory, run, outcome, now)
    return _followed(policy, facts, run, now)


def _told(policy: DriftPolicy, facts: TargetFacts, memory: Memory, run: Run, outcome: Outcome, now: float) -> Run:
    """What the trigger says of it."""
    run = replace(run, delay=outcome.delay, stuck=outcome.stuck)
    match outcome.state:
        case runs.BROKE:
            return _end(run, runs.FAILED, outcome.message)
        case runs.WAITS:
            return replace(run, message=outcome.message)
        case runs.WORKING:
            return replace(run, phase=runs.RUNNING, handle=outcome.handle or run.handle, message=outcome.message)
        case runs.SUCCEEDED if outcome.report is not None:
            return _reported(policy, facts, memory, run, outcome.report, now)
    # Nobody tells how it goes: it has ended when the model that spec asks for is another.
    if facts.asked == run.from_model:
        return replace(run, phase=runs.RUNNING, message=outcome.message)
    message = f"spec.model was changed to {facts.asked.uri}"
    return replace(run, phase=runs.ROLLING_OUT, model=facts.asked, accepted_at=now, message=message)


def _reported(policy: DriftPolicy, facts: TargetFacts, memory: Memory, run: Run, report: Report, now: float) -> Run:
    """A new model is there: may it have traffic at all?"""
    held, model = report.holdout, report.model
    run = replace(
        run, model=model, version=report.version, holdout=None if held is None else str(held), message="",
        registration=report.registration,
    )  # fmt: skip
    if held is not None and held.worse:
        return _end(
            run, runs.REFUSED, f"The new model is worse on the rows held out: {held}. Look at the training data"
        )
    if kind_of(model.uri) is not None:
        return _moved_an_alias(facts, run)
    before = next((each for each in memory.rejected if _is_same(each.model, model)), None)
    if before is not None:
        return _end(run, runs.REFUSED, f"{model.uri} was rejected before: {before.reason}")
    if model.uri == facts.serves.uri and model.digest in (
        None,
        facts.serves.digest,
        facts.stable and facts.stable.digest,
    ):
        if facts.asked == run.from_model and is_followed(facts.asked.uri) and not _is_still_served(facts, run, model):
            # The run has moved the alias to it as well: the registry's word counts, and the rollout is this run's.
            return replace(run, phase=runs.ROLLING_OUT, message=f"{facts.asked.uri} was moved to it")
        return _end(run, runs.UNCHANGED, f"The run brought {model.uri}, which is to be served already")
    if facts.asked != run.from_model:
        return _end(run, runs.SUPERSEDED, _superseded(facts, run))
    if facts.asked.digest is not None and model.digest is None:
        told = "spec.model.digest of the ModelDeployment pins the model, so the run has to report the digest of its own"
        return _end(run, runs.FAILED, told)
    if policy.spec.retrain is None or policy.spec.retrain.apply == MANUAL:
        return _end(
            run, runs.REPORTED, f"Write {_spelt(run.as_written)} into the ModelDeployment {facts.name} to roll it out"
        )
    claim = _claim_of(model)
    if claim is not None and claim not in _claims(policy, facts):
        told = f"The run brought {model.uri}, but its policy's author was asked for no right to the claim {claim}"
        cure = "mount it in spec.retrain.job.template, or write the address into spec.model"
        return _end(run, runs.FAILED, f"{told}; {cure}")
    # Later than any other, whatever the clocks of two operators say: the newest counts.
    return replace(run, phase=runs.ROLLING_OUT, accepted_at=max(now, (facts.accepted_at or 0.0) + 0.001))


def unresolvable(uri: str, asked: str) -> str:
    """Why a reference that a run reported is not one that can be served. `asked`: what spec.model.uri says."""
    told = f"The run brought {uri}, which only a registry can resolve"
    if is_followed(uri):
        return (
            f"{told}, and which may mean another version any time; report the version, such as models:/NAME/VERSION, "
            "or the alias that spec.model.uri of the ModelDeployment follows, once the run has moved that"
        )
    return (
        f"{told}, and spec.model.uri of the ModelDeployment ({asked}) names none that could. Let the run report the "
        "artifact's own address, or have spec.model.uri name a model in that registry"
    )


def _moved_an_alias(facts: TargetFacts, run: Run) -> Run:
    """It reports the reference that spec follows: it has moved that itself, to the version that it reports."""
    assert run.model is not None
    reference = run.model.uri
    if facts.asked != run.from_model:
        return _end(run, runs.SUPERSEDED, _superseded(facts, run))
    if reference != facts.asked.uri or not is_followed(reference):
        return _end(run, runs.FAILED, unresolvable(reference, facts.asked.uri))
    if run.version is None:
        told = f"The run has moved {reference}, but does not say where to; it has to report the version, too"
        return _end(run, runs.FAILED, told)
    return replace(run, phase=runs.ROLLING_OUT, message=_awaited(facts, run))


def _awaited(facts: TargetFacts, run: Run) -> str:
    named = "no version yet" if facts.version is None else f"version {facts.version}"
    return f"Waiting until {facts.asked.uri} is version {run.version}, as the run says; the registry named {named} last"


def _claim_of(model: Artifact) -> str | None:
    """The PersistentVolumeClaim that a model lies on."""
    return model.uri.removeprefix("pvc://").split("/")[0] if model.uri.startswith("pvc://") else None


def _claims(policy: DriftPolicy, facts: TargetFacts) -> set[str]:
    """Those that authors were asked for rights to, when they wrote spec.model or the Job's template."""
    job = policy.spec.retrain.job if policy.spec.retrain is not None else None
    pod = ((job.template.get("spec") or {}).get("template") or {}).get("spec") or {} if job is not None else {}
    mounted = (each.get("persistentVolumeClaim") or {} for each in pod.get("volumes") or ())
    return {name for name in (_claim_of(facts.asked), *(each.get("claimName") for each in mounted)) if name}


def unacceptable(run: Run, why: str, now: float) -> Run:
    """The API server refuses the run's model as that of its target."""
    told = f"The API server refuses {run.model.uri if run.model else ''} as spec.model of {run.target}: {why}"
    return replace(_end(run, runs.FAILED, told), accepted_at=None, ended_at=now)


def _followed(policy: DriftPolicy, facts: TargetFacts, run: Run, now: float) -> Run:
    """What the ModelDeployment's own rollout makes of it."""
    assert run.model is not None
    if kind_of(run.model.uri) is not None:
        return _found_in_registry(policy, facts, run, now)
    model, rollout = run.model, facts.rollout
    # It counts as accepted, or spec asks for the same: a person wrote it there, or an operator of an earlier version.
    if facts.effective_run != run.name and not _covers(facts.serves, model):
        return _end(run, runs.SUPERSEDED, _superseded(facts, run))
    if facts.behind:
        return run
    if facts.stable is not None and _covers(facts.stable, model) and not facts.moving:
        return _end(run, runs.PROMOTED, f"{facts.stable_revision} serves {model.uri}")
    if rollout is not None and rollout.uri == model.uri and rollout.phase in ("RolledBack", "Aborted"):
        what = "was aborted by hand" if rollout.phase == "Aborted" else "was rolled back"
        goes_on = f"{facts.name} asks for what it asked for before"
        if facts.version is not None and facts.version == run.version:
            goes_on = f"{facts.asked.uri} still names version {run.version}: move it to one that is to be served"
        told = f"{model.uri} {what}: {rollout.message}. {goes_on}"
        return _end(run, runs.ROLLED_BACK, f"{told}. Look at the data that the run learnt from")
    if facts.stalled is not None and now >= run.started_at + deadline_of(policy):
        return _end(run, runs.FAILED, f"{model.uri} does not come up: {facts.stalled}")
    return replace(run, message=facts.stalled or "")


def _found_in_registry(policy: DriftPolicy, facts: TargetFacts, run: Run, now: float) -> Run:
    """Of a run that moved an alias: once the registry names the run's version, what that leads to is its model."""
    if facts.asked != run.from_model:
        return _end(run, runs.SUPERSEDED, _superseded(facts, run))
    if facts.version != run.version:
        waits = _awaited(facts, run)
        if _overdue(policy, run, now):
            return _end(run, runs.FAILED, f"{waits}. It did not within spec.retrain.deadline: see where it points to")
        return replace(run, message=waits)
    if _is_still_served(facts, run, facts.serves):
        return _end(run, runs.UNCHANGED, f"{facts.asked.uri} is version {run.version}, which was served already")
    return replace(run, model=facts.serves, message=f"{facts.asked.uri} is version {run.version}")


def _is_still_served(facts: TargetFacts, run: Run, model: Artifact) -> bool:
    """Whether it was served when the run began, and is."""
    return facts.stable_revision == run.revision and facts.stable is not None and _covers(facts.stable, model)


def settled(facts: TargetFacts | None, memory: Memory, run: Run, now: float) -> Memory:
    """The memory when `run` has ended: what it was in vain for, what of it was rejected, failures in a row."""
    answered, rejected = memory.answered, memory.rejected
    if run.result in runs.IN_VAIN and run.drifted and facts is not None and facts.stable_revision == run.revision:
        answered = Answered(run.revision, run.drifted, run.name, str(run.result))
    if run.result == runs.PROMOTED:
        answered = None
    known = run.model is not None and any(_is_same(each.model, run.model) for each in rejected)
    # An alias is no model: what it leads to next time is another one.
    known = known or (run.model is not None and kind_of(run.model.uri) is not None)
    if run.result in (runs.ROLLED_BACK, runs.REFUSED) and run.model is not None and not known:
        rejected = (Rejected(run.model, run.message), *rejected)[:REJECTED_KEPT]
    unjudged = (runs.CANCELLED, runs.DELETED)
    failures = memory.failures if run.result in unjudged else memory.failures + 1 if run.result == runs.FAILED else 0
    scheduled_at = memory.scheduled_at
    if run.result == runs.FAILED and run.trigger == runs.SCHEDULE and scheduled_at is not None:
        # The time that it was for is due again, after the backoff.
        scheduled_at = read_time(run.occasion) - 1
    ended = Ended(
        run.name, run.trigger, run.occasion, run.attempt, str(run.result), run.started_at, run.ended_at or now,
        run.message,
    )  # fmt: skip
    return replace(
        memory,
        run=None,
        scheduled_at=scheduled_at,
        runs=remembered((ended, *memory.runs)),
        failures=failures,
        answered=answered,
        rejected=rejected,
    )


def recalled(memory: Memory, facts: TargetFacts | None, known: Iterable[Run]) -> Memory:
    """A memory that was lost, as far as the runs that are there tell of it. `memory`: with nothing in it."""
    for run in sorted(known, key=lambda each: each.started_at):
        if run.phase == runs.ENDED:
            memory = settled(facts, knows(memory, run), run, run.ended_at or run.started_at)
    return memory


def deleted(run: Run, now: float) -> Run:
    """The end of a run whose object somebody deleted. `run`: as the memory has it."""
    told = f"Somebody deleted the run {run.name}: what it began is stopped, and a model that it had on trial goes back"
    return replace(_end(run, runs.DELETED, told), ended_at=now)


def remembered(ended: tuple[Ended, ...]) -> tuple[Ended, ...]:
    """The latest, and the latest with a result: backoff and cooldown are from their ends."""
    judged = [each for each in ended if each.result != runs.CANCELLED]
    with_result = [each for each in judged if each.result != runs.FAILED]
    return tuple(dict.fromkeys([ended[0], *judged[:1], *with_result[:1]]))


def _end(run: Run, result: str, message: str) -> Run:
    return replace(run, phase=runs.ENDED, result=result, message=message)


def _is_same(one: Artifact, other: Artifact) -> bool:
    """By digest where both have one: an address may be written again."""
    if one.digest is not None and other.digest is not None:
        return one.digest == other.digest
    return one.uri == other.uri


def _covers(seen: Artifact, wanted: Artifact) -> bool:
    return seen.uri == wanted.uri and wanted.digest in (None, seen.digest)


def _superseded(facts: TargetFacts, run: Run) -> str:
    if facts.asked == run.from_model and kind_of(facts.asked.uri) is not None:
        return f"{facts.asked.uri} was moved to {facts.serves.uri} meanwhile; {_spelt(run.as_written)} is left to you"
    left = f"{_spelt(run.as_written)} is left to you"
    return f"spec.model of {facts.name} was changed to {facts.asked.uri} meanwhile; {left}"


def _spelt(model: Artifact | None) -> str:
    if model is None:
        return "the run's model"
    return f"spec.model.uri: {model.uri}" + (f", digest: {model.digest}" if model.digest else "")
