"""The traffic and the rollout as an annotation holds them, beside the router's configuration that they stand for.

One object carries both, so one write changes both: whatever the operator dies between, the two agree.
"""

import json
from dataclasses import asdict

from modelward.domain.facts import Arm, Match, Progress, RouteTable


def dump_routes(routes: RouteTable, version: str, progress: Progress | None = None) -> str:
    """As ANNOTATION_ROUTES holds it. `version`: of the configuration that `routes` become."""
    stored = {"version": version, **asdict(routes), "progress": asdict(progress) if progress else None}
    return json.dumps({name: value for name, value in stored.items() if value})


def load_routes(annotation: str) -> tuple[RouteTable, str, Progress | None]:
    """The inverse of `dump_routes`: routes, version and progress."""
    raw = json.loads(annotation)
    routes = RouteTable(
        raw["stable"],
        tuple(Arm(**arm) for arm in raw.get("arms", ())),
        tuple(raw.get("attached", ())),
        tuple(Match(**match) for match in raw.get("matches", ())),
    )
    progress = raw.get("progress")
    return routes, str(raw["version"]), Progress(**progress) if progress else None
