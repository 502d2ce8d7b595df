"""The condition that says whether a model's pods are what the operator would make of them now, and its Events. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import ANNOTATION_PLATFORM
from modelward.revisions.update import COMMANDS, RETRY, SKIP, Phase, Update
from modelward.values.transition import Transition

_REASONS: Final = {
    Phase.CURRENT: "UpToDate", Phase.WAITING: "NotAtRest", Phase.READY: "InLine", Phase.UPDATING: "Updating",
    Phase.FAILED: "UpdateFailed", Phase.REFUSED: "Refused", Phase.SKIPPED: "Skipped",
}  # fmt: skip

_MESSAGES: Final = {
    Phase.CURRENT: "Its pods are what the operator makes of spec now",
    Phase.WAITING: "Its pods are made anew for a newer platform once nothing else goes on: no rollout, no pause, and "
    "every pod ready",
    Phase.READY: "Its pods are made anew for a newer platform when it is their turn: a few models at a time, and none "
    "after one that failed (the operator's metric modelward_platform_models tells how far that is)",
    Phase.UPDATING: "Its pods are being made anew for a newer platform",
    Phase.REFUSED: "Its pods stay as they are: Stalled says why new ones are refused",
    Phase.SKIPPED: "Its pods stay as they are until the platform changes again: somebody asked for that",
}

NEWS: Final = ("Updating", "UpdateFailed", "Refused", "Skipped")
"""Reasons that are told at once."""


def condition(owner: ModelDeployment, update: Update) -> Condition:
    """PlatformCurrent."""
    message = _MESSAGES.get(update.phase) or (
        f"Its pods went back to what is recorded of them, and no other model is updated: {update.message}. Go on with "
        f"`kubectl annotate modeldeployment {owner.name} -n {owner.namespace} {ANNOTATION_PLATFORM}={RETRY}`, or leave "
        f"this model as it is with {ANNOTATION_PLATFORM}={SKIP}"
    )
    return Condition(
        conditions.PLATFORM_CURRENT, update.phase is Phase.CURRENT, _REASONS[update.phase], message
    )  # fmt: skip


def events(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], since: str
) -> Iterator[Transition]:
    """An update began, ended or failed. `before`, `after`: conditions by type."""
    old, new = before.get(conditions.PLATFORM_CURRENT), after.get(conditions.PLATFORM_CURRENT)
    was = None if old is None else old["reason"]  # nothing is said while the API server refuses something
    if new is None or was == new["reason"]:
        return
    match new["reason"]:
        case "Updating":
            yield Transition("Normal", "PlatformUpdating", new["message"], since)
        case "UpToDate" if was == "Updating":
            yield Transition("Normal", "PlatformUpdated", new["message"], since)
        case "UpdateFailed":
            yield Transition("Warning", "PlatformUpdateFailed", new["message"], since)


def platform_command_event(command: str, update: Update, owner: ModelDeployment) -> Transition:
    """What came of ANNOTATION_PLATFORM."""
    since = f"{command}@{owner.resource_version}"
    if command not in COMMANDS:
        message = f"An update to a newer platform can't {command!r}; write one of {', '.join(COMMANDS)}"
        return Transition("Warning", "UnknownCommand", message, since)
    if update.phase is Phase.CURRENT:
        return Transition("Warning", "CommandIgnored", f"{command}: no newer platform waits for this model", since)
    return Transition("Normal", "PlatformCommand", f"{command} was asked for by annotation", since)


def restart_event(owner: ModelDeployment, revision: str) -> Transition:
    """Somebody asked for new pods."""
    message = f"The pods of {revision} are made anew: the annotation asks for it ({owner.restart!r})"
    return Transition("Normal", "Restarted", message, f"{owner.restart}@{revision}")
