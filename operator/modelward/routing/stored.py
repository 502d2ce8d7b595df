"""The traffic and the rollout as an annotation holds them, beside the router's configuration that they stand for.

One object carries both, so one write changes both: whatever the operator dies between, the two agree. What somebody
else wrote there says nothing of the router's configuration: it is taken for nothing at all.
"""

import json
from dataclasses import asdict, replace
from typing import Any

from modelward.facts import Progress, RouteTable
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, Text, known, known_text

_SUM = "sum"
"""Of the rest: an edit by hand is told from what the operator wrote. Not there: an earlier operator wrote it."""


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
        raw = known_text(dict[str, Any], annotation or "{}")
        if raw.pop(_SUM, None) not in (None, content_hash(raw)):
            return None
        stored, routes = known(_Beside, raw), known(RouteTable, raw)
    except ValueError:
        return None
    progress = stored.progress and replace(stored.progress, intent=stored.intent)
    return routes, stored.version, progress


class _Beside(Stored):
    """What is stored with the routes."""

    stable: Text
    version: str
    progress: Progress | None = None
    intent: str = ""
