"""What a ModelDeployment's status says of its registry. Pure.

A registry that can't be asked, or is gone, is told by the condition Resolved alone while the version that it named last
goes on being served; only where nothing is known of what spec asks for, Ready and Stalled tell of it, too.
"""

from typing import Any

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.models.following import WAITING, Following
from modelward.revisions.health.diagnosis import Problem


def resolved_condition(following: Following, owner: ModelDeployment) -> Condition:
    """Whether the registry says what spec.model.uri means, as of the last look."""
    trouble, known = following.trouble, following.resolution
    told = conditions.by_type(owner.status.get("conditions") or ()).get(conditions.RESOLVED)
    if not following.heard and told is not None and told["observedGeneration"] == owner.generation:
        status = {"True": True, "False": False}.get(told["status"])
        return Condition(conditions.RESOLVED, status, told["reason"], told["message"])
    if known is not None:
        alias = f", by the alias {known.resolved.alias}" if known.resolved.alias else ""
        said = f"{known.reference} is version {known.resolved.version}{alias}, says ModelRegistry {known.registry}"
        if trouble is None:
            return Condition(conditions.RESOLVED, True, "Resolved", said)
        message = f"{trouble.message}. Until then version {known.resolved.version} stays, as it was resolved last"
        return Condition(conditions.RESOLVED, None if trouble.reason == WAITING else False, trouble.reason, message)
    if trouble is None:
        return Condition(conditions.RESOLVED, None, WAITING, "Waiting for the registry")
    return Condition(conditions.RESOLVED, None if trouble.reason == WAITING else False, trouble.reason, trouble.message)


def unresolved(following: Following, stable: str | None = None) -> tuple[Problem | None, str | None, str]:
    """Of one that can't be followed: the problem, what is waited for as the end of a sentence, and the reason.

    `stable`: what serves meanwhile, None: nothing does.
    """
    trouble = following.trouble
    if trouble is None or trouble.reason == WAITING:
        whom = f"ModelRegistry {following.registry}" if following.registry else "its registry"
        return None, f"the first answer of {whom}", WAITING
    keeps = f". {stable} keeps serving" if stable is not None else ""
    return Problem(trouble.reason, f"{trouble.message}{keeps}"), None, trouble.reason


def unresolved_status(owner: ModelDeployment, following: Following, now: str) -> dict[str, Any]:
    """Of one of which nothing serves yet. `now`: RFC 3339, UTC."""
    problem, waiting, reason = unresolved(following)
    message = problem.message if problem else f"Waiting for {waiting}"
    nothing = "There is no revision yet: nobody knows which model spec.model.uri means"
    built = (
        Condition(conditions.READY, False, reason, message),
        Condition(conditions.SERVABLE, False, reason, nothing),
        Condition(
            conditions.RECONCILING, problem is None, reason,
            message if problem is None else "Waiting for the cause of Stalled to go",
        ),
        Condition(
            conditions.STALLED, problem is not None, reason if problem else "NoProblem",
            message if problem else "Nothing needs a person",
        ),
        resolved_condition(following, owner),
    )  # fmt: skip
    shown = conditions.render(built, owner.status.get("conditions") or (), owner.generation, now)
    return {
        **owner.status,
        "observedGeneration": owner.generation,
        "phase": "Failed" if problem else "Pending",
        "conditions": shown,
    }
