"""A rollout as the status tells of it: where it stands, its evidence, and the last decision in a sentence; and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from modelward.facts import ABORTED, PAUSED, PROGRESSING, PROMOTED, ROLLED_BACK, Arm, Clock, Observed, Progress
from modelward.rollouts.decision import Decision
from modelward.rollouts.strategies import Stage, stages_of
from modelward.rollouts.trial import ready_for_traffic

PREPARING, PROMOTING = "Preparing", "Promoting"


def rollout_status(
    stored: Mapping[str, Any],
    observed: Observed,
    decision: Decision,
    gates: Sequence[Mapping[str, Any]] | None,
    now: str,
) -> dict[str, Any] | None:
    """`status.rollout`, None where there never was one. `stored`: the last one; `gates`: None to keep what it holds."""
    progress = decision.progress
    if progress is None:
        return None
    same = (stored.get("revision"), stored.get("attempt")) == (progress.revision, progress.attempt)
    stages = stages_of(observed.rollout, observed.carrying)
    ended = progress.phase == PROMOTED
    kept = stored.get("gates") if same else None
    built: dict[str, Any] = {
        "revision": progress.revision,
        "attempt": progress.attempt,
        "uri": stored.get("uri") if same else observed.target_model.uri,
        "from": stored.get("from") if same else _rival(observed, decision),
        "strategy": stored.get("strategy", observed.rollout.strategy) if same and ended else observed.rollout.strategy,
        "phase": phase_of(progress, decision, len(stages)),
        "step": progress.step + 1,
        "steps": len(stages),
        "progress": in_short(progress, decision, stages),
        "startedAt": stored.get("startedAt", now) if same else now,
        "endedAt": _ended_at(stored if same else {}, progress, now),
        "stepStartedAt": _text(decision.step_since),
        "waitingSince": _text(decision.waiting_since),
        "message": sentence(progress, observed, decision, stages),
        "gates": list(gates) if gates is not None else kept,
    }
    return {key: value for key, value in built.items() if value not in (None, [])}


def _ended_at(stored: Mapping[str, Any], progress: Progress, now: str) -> str | None:
    """When it came to its end; nothing of one that an earlier operator saw ending. `stored`: of the same rollout."""
    if progress.phase not in (PROMOTED, ROLLED_BACK, ABORTED):
        return None
    return stored.get("endedAt") if stored.get("phase") == progress.phase else now


def _rival(observed: Observed, decision: Decision) -> str | None:
    """The stable that a candidate is measured against; what was stable before, where it has just been promoted."""
    routes = observed.router.routes
    return routes.stable if routes else decision.routes.stable


def _text(time: float | None) -> str | None:
    # To the microsecond: rounding would make a clock that restarts with each reading of the status run late.
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat()


def progress_of(stored: Mapping[str, Any]) -> Progress | None:
    """The progress that `stored` tells of, but for its reason."""
    if "revision" not in stored:
        return None
    phase = stored.get("phase", PROGRESSING)
    return Progress(
        stored["revision"],
        step=stored.get("step", 1) - 1,
        phase=PROGRESSING if phase in (PREPARING, PROMOTING) else phase,
        message=stored.get("message", ""),
        attempt=stored.get("attempt", 1),
    )


def clock_of(stored: Mapping[str, Any], progress: Progress | None, target: str, now: float) -> Clock:
    """The times of the rollout to `target` that `stored` tells. They are kept nowhere else: those lost begin anew."""
    step, attempt = (progress.step, progress.attempt) if progress and progress.revision == target else (0, 1)
    if (stored.get("revision"), stored.get("step"), stored.get("attempt")) != (target, step + 1, attempt):
        return Clock(now)
    return Clock(now, _time(stored.get("stepStartedAt")), _time(stored.get("waitingSince")))


def _time(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def phase_of(progress: Progress, decision: Decision, steps: int) -> str:
    """One word."""
    if progress.phase != PROGRESSING:
        return progress.phase
    if progress.step >= steps > 0:
        return PROMOTING
    return PREPARING if _arm(progress, decision) is None else PROGRESSING


def in_short(progress: Progress, decision: Decision, stages: Sequence[Stage]) -> str:
    """For the printer column."""
    if progress.phase in (PROMOTED, ROLLED_BACK, ABORTED):
        return progress.phase
    where = f"{min(progress.step + 1, len(stages))}/{len(stages)} " if stages else ""
    prefix = "Paused " if progress.phase == PAUSED else ""
    arm = _arm(progress, decision)
    if arm is None:
        return f"{prefix}{where}{PROMOTING if progress.step >= len(stages) > 0 else PREPARING}"
    return f"{prefix}{where}{f'{arm.mirror}% mirrored' if arm.mirror and not arm.weight else f'{arm.weight}%'}"


def sentence(progress: Progress, observed: Observed, decision: Decision, stages: Sequence[Stage]) -> str:
    """The last decision and its reason, and what comes next."""
    arm = _arm(progress, decision)
    if progress.phase != PROGRESSING or arm is None or progress.step >= len(stages):
        return progress.message
    stage = stages[progress.step]
    room = decision.routes.stable_weight + arm.weight
    if (arm.weight, arm.mirror) != (min(stage.weight, room), stage.mirror):
        return f"{progress.message}. Waiting for more pods of {progress.revision} to become ready"
    copies = f" and copies of {arm.mirror}%" if arm.mirror else ""
    said = f"Step {progress.step + 1} of {len(stages)}: {progress.revision} gets {arm.weight}% of the requests{copies}"
    judged = observed.judgement
    if decision.step_since is None:
        return f"{said}, as soon as the router follows"
    if not ready_for_traffic(observed, stage.replicas):
        return f"{said}. Waiting for every pod of it and of the router to be ready again"
    if judged is not None and judged.waits_for:
        return f"{said}. Waiting for {judged.waits_for}"
    if stage.requests is not None:
        return f"{said}. {judged.compared if judged else 0:,} of {stage.requests:,} requests are compared"
    return f"{said}, for {stage.hold:g} s at least"


def _arm(progress: Progress, decision: Decision) -> Arm | None:
    return next((arm for arm in decision.routes.arms if arm.revision == progress.revision), None)


def rollout_essence(rollout: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is worth a write at once: not the counts and the words around them."""
    kept = {key: value for key, value in rollout.items() if key not in ("gates", "message")}
    return {**kept, "verdicts": {each.get("name"): each.get("verdict") for each in rollout.get("gates") or ()}}
