"""Which revision spec asks for, where an earlier operator named revisions by their pods.

A revision is named by what the user wrote of it (the intent), so that any operator gives it the same name. Earlier ones
hashed the pods, which each of them made otherwise: what exists under such a name, and is of the same intent, stays what
spec asks for, with all that a person or a gate decided about it, until the intent changes.
"""

from collections.abc import Mapping
from dataclasses import replace

from modelward.facts import PAUSED, ModelFacts, Progress, RevisionFacts

ASKING = ("promote", "retry")
"""Commands by which a person lets a rejected model be tried again."""


def held(
    fresh: str,
    intent: str,
    progress: Progress | None,
    revisions: Mapping[str, RevisionFacts],
    command: str | None,
    *,
    unchanged: bool,
    last_stable: str | None = None,
    model: ModelFacts | None = None,
) -> tuple[str, Progress | None]:
    """The revision that is the target, and the progress of the rollout to it.

    `fresh`: what spec leads to; `intent`: of spec; `unchanged`: spec is the one that status speaks of, which says
    whether the intent is the same where an earlier operator stored none; `last_stable`, `model`: what was served then,
    and what spec asks for.
    """
    if progress is None:
        return known_as(fresh, intent, revisions, last_stable if unchanged else None, model), None
    if progress.revision == fresh:
        return fresh, progress
    same = progress.intent == intent if progress.intent else unchanged
    if not same or fresh in revisions or (progress.rejected and command in ASKING):
        return known_as(fresh, intent, revisions, None, model), progress
    if progress.rejected or progress.revision in revisions:
        return progress.revision, progress
    if progress.phase == PAUSED:
        # Its pods are gone for good; it waits with those of now.
        return fresh, replace(progress, revision=fresh)
    return fresh, progress


def known_as(
    fresh: str,
    intent: str,
    revisions: Mapping[str, RevisionFacts],
    settled: str | None,
    model: ModelFacts | None,
) -> str:
    """The name under which the revision `fresh` exists already: its own, that of a record with the same intent, or
    `settled`, what an earlier operator served for the same spec, where it is the same model."""
    if fresh in revisions:
        return fresh
    family = fresh.rpartition("-")[0]
    for name, facts in revisions.items():
        if facts.intent == intent and name.rpartition("-")[0] == family:
            return name
    found = revisions.get(settled) if settled is not None else None
    if found is not None and not found.intent and found.model == model:
        return found.name
    return fresh
