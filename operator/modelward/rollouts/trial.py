"""The rollout of one candidate, from its first pod to promotion or rollback: the next step from facts alone.

Each step waits for facts: pods are complete, every router pod follows, the candidate answers through each, the hold
time is over, the gates let it pass. So it may be repeated after a crash anywhere.
"""

from dataclasses import dataclass, replace

from modelward.api.rollout import IMMEDIATE, PAUSE
from modelward.api.traffic import CANDIDATE
from modelward.facts import (
    ABORTED,
    PAUSED,
    PROGRESSING,
    PROMOTED,
    ROLLED_BACK,
    Arm,
    Clock,
    Judgement,
    Observed,
    Progress,
)
from modelward.rollouts.strategies import Stage, stages_of
from modelward.values.durations import seconds

AT_ONCE = 0.1
"""Seconds: as soon as what was decided has been written."""

COMMANDS = ("promote", "pause", "resume", "abort", "retry")


@dataclass(frozen=True)
class Trial:
    """What should be of the candidate.

    `arm`: what the router should give it, None: nothing. `promote`: it takes over now. `step_since`, `waiting_since`:
    seconds since the epoch, at most one of them is set. `again_in`: seconds until time alone changes something.
    """

    progress: Progress
    replicas: int
    arm: Arm | None = None
    promote: bool = False
    step_since: float | None = None
    waiting_since: float | None = None
    again_in: float | None = None


def begin(observed: Observed) -> Progress:
    """The progress as it is stored, or a new one where spec asks for another revision than before.

    Its step is one of those that spec has now, or the end behind them.
    """
    stored, end = observed.progress, len(_stages(observed))
    if stored is not None and stored.revision != observed.target:
        stored = None
    if stored is not None and stored.phase != PROMOTED:
        return replace(stored, step=end if _is_decided(stored) else min(stored.step, end))
    facts = observed.revisions.get(observed.target)
    if stored is not None or (facts is not None and facts.promoted is not None):
        message = f"{observed.target} was the stable revision before"
        attempt = stored.attempt + 1 if stored else 1
        return Progress(observed.target, end, reason="WasStable", message=message, attempt=attempt)
    return Progress(observed.target, reason="Started", message=f"Waiting for {observed.target} to become ready")


def commanded(progress: Progress, command: str | None, observed: Observed) -> Progress:
    """What a person's command makes of it. Repeating a command changes nothing."""
    match command:
        case "promote":
            message = "Promoted by hand, whatever the gates say"
            return _renewed(progress, step=len(_stages(observed)), reason="PromotedByHand", message=message)
        case "pause" if not progress.rejected:
            return replace(progress, phase=PAUSED, reason="PausedByHand", message="Paused by hand")
        case "resume" if progress.phase == PAUSED:
            # Who goes on in spite of a gate has judged; the same evidence would only stop it again.
            return _renewed(progress, step=progress.step, reason="ResumedByHand", message="Resumed by hand")
        case "abort" if not progress.rejected:
            return replace(progress, phase=ABORTED, reason="Aborted", message="Aborted by hand")
        case "retry" if progress.rejected:
            return _renewed(progress, step=0, reason="RetriedByHand", message="Tried once more, by hand")
    return progress


def _renewed(progress: Progress, step: int, reason: str, message: str) -> Progress:
    if (progress.phase, progress.step, progress.reason) == (PROGRESSING, step, reason):
        return progress
    return Progress(progress.revision, step, PROGRESSING, reason, message, progress.attempt + 1)


def advance(progress: Progress, observed: Observed, room: int, cause: str | None) -> Trial:
    """The next step. `room`: percent of the requests that the variants leave; `cause`: why pods do not come up."""
    stages = _stages(observed)
    stage = stages[progress.step] if progress.step < len(stages) else Stage(replicas=observed.replicas)
    if progress.rejected:
        return Trial(progress, 0)
    arm = _kept(observed, room)
    judged = observed.judgement or Judgement(passed=False, waits_for="the first look at the routers' counters")
    if judged.failed is not None and arm is not None and progress.phase == PROGRESSING and not _is_decided(progress):
        return _failed(progress, observed, stage, arm, judged.failed)
    if progress.phase == PAUSED:
        # What was compared is complete: no more copies.
        return Trial(progress, stage.replicas, replace(arm, mirror=0) if arm and progress.reason == "Reported" else arm)
    wanted = Arm(CANDIDATE, observed.target, min(stage.weight, room), stage.mirror)
    live = arm == observed.candidate_arm
    if not ready_for_traffic(observed, stage.replicas):
        if arm == wanted and live and observed.clock.step is not None and progress.step < len(stages):
            # Some pod of the candidate or of the router is being replaced: the step goes on, but does not end.
            return Trial(progress, stage.replicas, arm, step_since=observed.clock.step)
        return _waiting(progress, observed, stage, arm, cause)
    if progress.step == len(stages):
        return Trial(progress, observed.replicas, arm, promote=True)
    if arm != wanted or not live:
        # No event tells that our own write is there; where it leaves the configuration as it was, no router is asked.
        since = _waiting_since(observed.clock)
        return Trial(progress, stage.replicas, wanted, waiting_since=since, again_in=AT_ONCE)
    since = observed.clock.now if observed.clock.step is None else min(observed.clock.step, observed.clock.now)
    if not _over(stage, observed.clock.since(since), judged):
        left = stage.hold - observed.clock.since(since)
        return Trial(progress, stage.replicas, arm, step_since=since, again_in=left if left > 0 else None)
    if stage.reports:
        message = "The comparison is complete; promote or abort it by hand"
        return Trial(replace(progress, phase=PAUSED, reason="Reported", message=message), stage.replicas, arm)
    number, last = progress.step + 1, progress.step + 1 == len(stages)
    message = f"Step {number} of {len(stages)} is passed{', taking over' if last else ''}"
    passed = replace(progress, step=number, reason="StepPassed", message=message)
    # The next step has not been looked at yet, even where it gives the candidate what this one did.
    return advance(passed, replace(observed, clock=Clock(observed.clock.now), judgement=None), room, cause)


def ready_for_traffic(observed: Observed, replicas: int) -> bool:
    """Whether the target has `replicas` pods and answers through every router pod under the newest configuration."""
    target = observed.revisions.get(observed.target)
    router = observed.router
    return (
        target is not None
        and target.workload.complete
        and target.workload.available >= replicas
        and router.routes is not None
        and observed.target in router.routes.revisions
        and router.follows(router.version)
        and router.reaches(observed.target)
    )


def _stages(observed: Observed) -> tuple[Stage, ...]:
    return stages_of(observed.rollout, observed.carrying)


def _is_decided(progress: Progress) -> bool:
    """Whether the gates do not matter any more."""
    return progress.reason in ("PromotedByHand", "WasStable")


def _kept(observed: Observed, room: int) -> Arm | None:
    """What the candidate gets now and may keep: nothing where none of its pods is ready any more."""
    facts, arm = observed.revisions.get(observed.target), observed.candidate_arm
    if arm is None or facts is None or facts.workload.ready == 0:
        return None
    return replace(arm, weight=min(arm.weight, room))


def _failed(progress: Progress, observed: Observed, stage: Stage, arm: Arm, sentence: str) -> Trial:
    if observed.rollout.on_failure == PAUSE:
        paused = replace(progress, phase=PAUSED, reason="GateFailed", message=sentence)
        return Trial(paused, stage.replicas, arm)
    return Trial(replace(progress, phase=ROLLED_BACK, reason="GateFailed", message=sentence), 0)


def _waiting(progress: Progress, observed: Observed, stage: Stage, arm: Arm | None, cause: str | None) -> Trial:
    """Pods, or the way to them, are not there (any more); before the deadline that needs no decision."""
    since = _waiting_since(observed.clock)
    if observed.rollout.strategy == IMMEDIATE:
        # Nothing is lost while it waits, and whoever repairs the artifact need not tell the operator.
        return Trial(progress, stage.replicas, arm, waiting_since=since)
    left = seconds(observed.rollout.start_deadline) - observed.clock.since(since)
    if left <= 0:
        why = f": {cause}" if cause else ""
        message = f"Not ready within {observed.rollout.start_deadline} (spec.rollout.startDeadline){why}"
        return Trial(replace(progress, phase=ROLLED_BACK, reason="NotReady", message=message), 0)
    return Trial(progress, stage.replicas, arm, waiting_since=since, again_in=left)


def _waiting_since(clock: Clock) -> float:
    return clock.now if clock.waiting is None else min(clock.waiting, clock.now)


def _over(stage: Stage, elapsed: float, judged: Judgement) -> bool:
    """Whether a live step has lasted long enough and its gates let it pass."""
    enough = stage.requests is not None and judged.compared >= stage.requests
    lasted = elapsed >= stage.hold and (stage.requests is None or stage.hold > 0)
    return judged.passed and (enough or lasted)
