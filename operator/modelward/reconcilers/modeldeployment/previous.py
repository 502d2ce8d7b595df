"""What was stable before: told when everything of it may be gone, so that the version before can still be looked at.

It is in the status alone: a status that is lost tells of what comes from then on.
"""

from collections.abc import Mapping
from typing import Any, Final

from modelward.facts import Observed
from modelward.values.times import show_time

PREVIOUS: Final = 3
"""Revisions that are told; a lineage may have some ten kilobytes."""

_KEPT: Final = ("revision", "uri", "version", "commit", "digest", "signedBy", "format", "features")


def previous(last: Mapping[str, Any], observed: Observed, stable: str, now: str) -> list[dict[str, Any]]:
    """`status.previous`: what was stable before, the latest first, each revision once, also what is gone by now.
    `last`: the status before this one."""
    known = [dict(each) for each in last.get("previous") or ()]
    before = last.get("stable") or {}
    name = before.get("revision")
    if name in (None, stable):
        return known
    facts = observed.revisions.get(name)
    told = last.get("model") or {}
    same = (told.get("uri"), told.get("version")) == (before.get("uri"), before.get("version"))
    lineage = facts.model.lineage if facts else before.get("lineage") or (told.get("lineage") if same else None)
    shown = {each: before.get(each) for each in _KEPT}
    shown["lineage"] = dict(lineage) if lineage else None
    shown["since"] = _shown(facts.promoted.at) if facts and facts.promoted else None
    shown["until"] = now
    entry = {key: value for key, value in shown.items() if value is not None}
    return [entry, *(each for each in known if each.get("revision") != name)][:PREVIOUS]


def _shown(time: float) -> str | None:
    """None for what is no time: anybody who may edit a Deployment may have written it."""
    try:
        return show_time(time)
    except (OverflowError, ValueError, OSError):
        return None
