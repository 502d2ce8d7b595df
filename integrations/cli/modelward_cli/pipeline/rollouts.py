"""How far the rollout of a version is, in one look: what a sensor asks, statelessly, again and again.

Never "promoted" before it is so: not by a status of an older spec, not while the stable revision is still the one
before, not where somebody has meanwhile asked for another version.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from modelward_cli.fleet.document import of_rollout
from modelward_cli.fleet.rollout import seen
from modelward_cli.fleet.state import Model, table, text
from modelward_cli.kubectl import KubectlError
from modelward_cli.pipeline.deploying import Version, asked


class State(Enum):
    WAITING = "waiting"
    PROMOTED = "promoted"
    PAUSED = "paused"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Progress:
    """`message`: a sentence, with the reason where it failed; `rollout`: its document, with the evidence of each gate;
    None: there never was one."""

    state: State
    message: str
    rollout: dict[str, Any] | None


def progress(shown: Model, wanted: Version | None = None) -> Progress:
    """`wanted`: the version that is waited for; None: whatever spec asks for."""
    rollout = of_rollout(shown.rollout)
    if wanted is not None and (now := asked(shown)) != wanted:
        return Progress(State.SUPERSEDED, f"spec.model asks for {now} by now, not for {wanted}", rollout)
    look = seen(shown)
    if not look.over:
        return Progress(State.WAITING, look.line, rollout)
    if look.good:
        if (other := _serves_another(shown, wanted)) is not None:
            return Progress(State.WAITING, other, rollout)
        return Progress(State.PROMOTED, look.line, rollout)
    paused = text(shown.rollout, "phase") == "Paused" and not shown.is_stalled
    return Progress(State.PAUSED if paused else State.FAILED, _with_gates(look.line, shown), rollout)


class NotPromotedError(KubectlError):
    """It ended otherwise, or waits for a person."""


def is_promoted(now: Progress, *, when_paused: str = "fail") -> bool:
    """False: not yet. `when_paused`: fail or wait. Raises NotPromotedError with the reason."""
    if now.state in (State.FAILED, State.SUPERSEDED) or (now.state is State.PAUSED and when_paused != "wait"):
        raise NotPromotedError(f"{now.state.value}: {now.message}")
    return now.state is State.PROMOTED


def _serves_another(shown: Model, wanted: Version | None) -> str | None:
    """What is stable instead of what is to be served."""
    stable, effective = table(shown.status, "stable"), table(shown.status, "model")
    uri, expected = text(stable, "uri"), text(effective, "uri")
    if uri and expected and uri != expected:
        return f"{uri} is stable still, {expected} is to follow"
    digest = text(stable, "digest")
    if wanted is not None and wanted.digest and digest and digest != wanted.digest:
        return f"{uri} with the digest {digest} is stable still"
    return None


def _with_gates(line: str, shown: Model) -> str:
    """The sentence, and that of each gate that failed and is not in it."""
    rollout = of_rollout(shown.rollout)
    failed = [each for each in (rollout or {}).get("gates", ()) if each["verdict"] == "Fail" and each["message"]]
    told = [f"{each['name']}: {each['message']}" for each in failed if each["message"] not in line]
    return "; ".join([line, *told])
