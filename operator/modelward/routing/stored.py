"""The traffic and the rollout as an annotation holds them, beside the router's configuration that they stand for.

One object carries both, so one write changes both: whatever the operator dies between, the two agree. What somebody
else wrote there says nothing of the router's configuration: it is taken for nothing at all.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from modelward.facts import Arm, Match, Progress, RouteTable
from modelward.values.hashing import content_hash

_SUM = "sum"
"""Of the rest: an edit by hand is told from what the operator wrote. Not there: an earlier operator wrote it."""

Part = TypeVar("Part", Arm, Match, Progress)


def dump_routes(routes: RouteTable, version: str, progress: Progress | None = None) -> str:
    """As ANNOTATION_ROUTES holds it. `version`: of the configuration that `routes` become."""
    # Not within the progress, where an earlier operator would stumble over it.
    shown = asdict(progress) if progress else {}
    intent = shown.pop("intent", None)
    stored = {"version": version, **asdict(routes), "progress": shown, "intent": intent}
    kept = {name: value for name, value in stored.items() if value}
    return json.dumps({**kept, _SUM: content_hash(kept)})


def load_routes(annotation: str | None) -> tuple[RouteTable, str, Progress | None] | None:
    """The inverse of `dump_routes`: routes, version and progress; None where there is none that can be trusted."""
    try:
        raw = json.loads(annotation or "null")
        if not isinstance(raw, Mapping):
            return None
        if raw.get(_SUM) not in (None, content_hash({name: raw[name] for name in raw if name != _SUM})):
            return None
        routes = RouteTable(
            _text(raw["stable"]),
            tuple(_part(Arm, arm) for arm in raw.get("arms", ())),
            tuple(_text(name) for name in raw.get("attached", ())),
            tuple(_part(Match, match) for match in raw.get("matches", ())),
        )
        progress = raw.get("progress")
        told = {**progress, "intent": _text(raw.get("intent", ""))} if progress else None
        return routes, _text(raw["version"]), _part(Progress, told) if told else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _part(kind: type[Part], raw: Mapping[str, Any]) -> Part:
    """Fields that this operator does not know are a later one's."""
    known = {each.name: each.type for each in fields(kind)}
    values = {name: value for name, value in raw.items() if name in known}
    for name, value in values.items():
        if not isinstance(value, int if known[name] is int else str):
            raise TypeError(f"{name} has another type")
    return kind(**values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
