"""Which revision spec asks for, when the operator that reads it makes other pods than the one before.

A revision is named by its pods, so an upgrade of the operator gives the same model another name. What a person or a
gate decided is about the model and what the user wrote beside it (the intent), and holds until that changes: rejected
stays rejected, paused stays paused, and a candidate that gets traffic goes on with the pods that it was measured with.
"""

from collections.abc import Mapping
from dataclasses import replace

from modelward.facts import PAUSED, PROGRESSING, Progress, RevisionFacts, RouterFacts

ASKING = ("promote", "retry")
"""Commands by which a person lets a rejected model be tried again: with the pods of now."""


def held(
    fresh: str,
    intent: str,
    progress: Progress | None,
    router: RouterFacts,
    revisions: Mapping[str, RevisionFacts],
    command: str | None,
    *,
    unchanged: bool,
) -> tuple[str, Progress | None]:
    """The revision that is the target, and the progress of the rollout to it.

    `fresh`: what spec leads to now; `intent`: of spec; `unchanged`: spec is the one that status speaks of, which says
    whether the intent is the same where an earlier operator stored none.
    """
    if progress is None or progress.revision == fresh:
        return fresh, progress
    same = progress.intent == intent if progress.intent else unchanged
    if not same or (progress.rejected and command in ASKING):
        return fresh, progress
    if progress.rejected or (progress.revision in revisions and _goes_on(progress, router, revisions)):
        return progress.revision, progress
    if progress.phase == PAUSED:
        # Its pods are gone for good; it waits with those of now.
        return fresh, replace(progress, revision=fresh)
    return fresh, progress


def _goes_on(progress: Progress, router: RouterFacts, revisions: Mapping[str, RevisionFacts]) -> bool:
    """Whether the rollout waits for a person, or is under way with pods that answer."""
    arms = router.routes.arms if router.routes else ()
    fed = any(arm.revision == progress.revision for arm in arms) and revisions[progress.revision].workload.ready > 0
    return progress.phase == PAUSED or (progress.phase == PROGRESSING and fed)
