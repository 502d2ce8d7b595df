"""The status of a ModelRegistry: whether it answers, and what is followed in it. Pure.

When it was asked last changes with each poll, and each write costs: it is told with everything else that changes, and
alone only every few minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modelregistry import ModelRegistry
from modelward.models.following import Said
from modelward.values.times import read_time, show_time

TOLD_EVERY: Final = 300.0
"""Seconds between two writes in which only the time of the last poll changed."""

MODELS: Final = 50
"""References that are named in status."""

NAMED: Final = 5
"""ModelDeployments that are named of each."""


@dataclass(frozen=True)
class Use:
    """A reference, the ModelDeployments that have it, and the values by which they asked for a look now."""

    reference: str
    by: tuple[str, ...] = ()
    refreshed: tuple[str, ...] = ()


def build_status(
    registry: ModelRegistry,
    uses: Sequence[Use],
    said: Mapping[str, Said | None],
    polled_at: float | None,
    now: datetime,
) -> dict[str, Any]:
    """The whole status. `said`: by reference, None: no look has ended yet; `polled_at`: seconds since the epoch.

    What an operator before this one told of the same spec holds until the registry says something.
    """
    old = registry.status
    shown = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    known = [each for each in said.values() if each is not None]
    reachable = None if not known else any(each.trouble is None or each.trouble.answered for each in known)
    built = _conditions(registry, known, reachable)
    if reachable is None and old.get("conditions") and old.get("observedGeneration") == registry.generation:
        return dict(old)
    before = {each["reference"]: each for each in old.get("models") or ()}
    models = [_model(each, said.get(each.reference), before.get(each.reference) or {}) for each in uses[:MODELS]]
    status: dict[str, Any] = {
        "observedGeneration": registry.generation,
        "kind": registry.serves,
        "following": len(uses),
        "conditions": conditions.render(built, old.get("conditions") or (), registry.generation, shown),
    }
    if reachable is not None:
        status["reachable"] = reachable
    if models:
        status["models"] = models
    return status | _last_poll(old, status, polled_at)


def _last_poll(old: Mapping[str, Any], new: Mapping[str, Any], polled_at: float | None) -> dict[str, str]:
    told = old.get("lastPoll")
    if polled_at is None:
        return {"lastPoll": told} if told else {}
    same = {name: value for name, value in old.items() if name != "lastPoll"} == dict(new)
    try:
        fresh = told is not None and polled_at - read_time(told) < TOLD_EVERY
    except ValueError:
        fresh = False
    return {"lastPoll": str(told)} if same and fresh else {"lastPoll": show_time(int(polled_at))}


def _model(use: Use, said: Said | None, before: Mapping[str, Any]) -> dict[str, Any]:
    more = len(use.by) - NAMED
    if said is None:
        version, problem = before.get("version"), before.get("problem")
    else:
        version = said.resolved.version if said.resolved is not None else before.get("version")
        problem = said.trouble.message if said.trouble is not None else None
    shown: dict[str, Any] = {
        "reference": use.reference,
        "version": version,
        "problem": problem,
        "usedBy": [*use.by[:NAMED], *([f"and {more} more"] if more > 0 else ())],
    }
    return {name: value for name, value in shown.items() if value is not None}


def _conditions(registry: ModelRegistry, known: Sequence[Said], reachable: bool | None) -> tuple[Condition, ...]:
    """Ready: it answers, whatever it says of single models: those tell of that themselves."""
    troubles = [each.trouble for each in known if each.trouble is not None]
    worst = next((each for each in troubles if not each.answered), None)
    login = next((each for each in troubles if each.reason in _OF_THE_LOGIN), None)
    if reachable is None:
        told = "Waiting for its first answer"
        return (
            Condition(conditions.READY, None, "NotAskedYet", told),
            Condition(conditions.RECONCILING, True, "NotAskedYet", told),
            Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person"),
        )
    problem = login or (None if reachable else worst)
    if problem is None:
        return (
            Condition(conditions.READY, True, "Answers", f"{registry.serves} at {registry.address} answers"),
            Condition(conditions.RECONCILING, False, "UpToDate", "Everything is as spec asks"),
            Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person"),
        )
    waits = "Waiting for the cause of Stalled to go"
    return (
        Condition(conditions.READY, False, problem.reason, problem.message),
        Condition(conditions.RECONCILING, False, problem.reason, waits),
        Condition(conditions.STALLED, True, problem.reason, problem.message),
    )


_OF_THE_LOGIN: Final = ("Unauthorized", "Forbidden", "HostRefused")
"""It answers, and to nobody's use."""
