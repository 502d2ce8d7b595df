"""A rollout watched to its end, and told what to do. Pure: the clock and the cluster are the caller's.

A command is an annotation, which the operator takes away when it has taken it up: so it is done as soon as an operator
is there, and once.
"""

from dataclasses import dataclass
from typing import Final

from modelward_cli.fleet.state import ENDED, Model, number, table, text

ACTIONS: Final = ("promote", "pause", "resume", "abort", "retry")


@dataclass(frozen=True)
class Seen:
    """One look. `line`: what a person reads; `over`: nothing more comes by itself; `good`: it ended as it should."""

    line: str
    over: bool = False
    good: bool = False


def seen(model: Model) -> Seen:
    """How far it is."""
    if not model.status or not model.is_up_to_date:
        return Seen(model.waits_for or "The operator has written no status yet")
    rollout, phase = model.rollout, text(model.rollout, "phase")
    message = text(rollout, "message") or ""
    said = f"{text(rollout, 'progress') or phase or model.phase}  {model.waits_for or message}".strip()
    if rollout and phase in ENDED and phase != "Promoted":
        return Seen(said, over=True)
    if model.is_stalled or phase == "Paused":
        return Seen(said, over=True)
    if phase == "Promoted" or not rollout:
        well = model.conditions.get("Ready", {}).get("status") == "True"
        return Seen(said, over=well, good=well)
    return Seen(said)


def obstacle(model: Model, action: str) -> str | None:
    """Why a command makes no sense now; None: it does. As the actions of Argo CD have it (manifests/argocd)."""
    name, phase = model.name, text(model.rollout, "phase")
    given_up = phase in ("RolledBack", "Aborted")
    tried = bool(table(model.status, "candidate"))
    running = tried and not given_up
    if model.command is not None:
        return f"`{model.command}` is asked for already, and the operator has not taken it up yet"
    match action:
        case "promote" if not tried:
            return f"{name} has no candidate to promote"
        case "pause" if phase == "Paused":
            return f"the rollout of {name} is paused already"
        case "pause" | "abort" if not running:
            return f"{name} has no rollout under way{f'; the last one is {phase}' if phase else ''}"
        case "resume" if phase != "Paused":
            return f"the rollout of {name} is not paused{f'; it is {phase}' if phase else ''}"
        case "retry" if not given_up:
            return f"the rollout of {name} was not given up{f'; it is {phase}' if phase else ''}"
    return None


def took_effect(action: str, before: Model, now: Model) -> bool:
    """Whether the status shows what a command led to. The operator takes the annotation away first, and then writes."""
    phase = text(now.rollout, "phase")
    if now.command is not None:
        return False
    if action == "pause":
        return phase in ("Paused", *ENDED)
    if action == "abort":
        return phase in ENDED
    again = [(text(each.rollout, "revision"), number(each.rollout, "attempt")) for each in (before, now)]
    return again[0] != again[1] or phase in ("Promoting", "Promoted")
