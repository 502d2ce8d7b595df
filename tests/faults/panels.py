"""Every question of the dashboards, asked of the Prometheus that scrapes the cluster.

What outcomes say is asked where any model of the cluster has outcomes: the demo's has (`make demo` before).
"""

import json
from collections.abc import Iterable
from typing import Final

from examples.observe.installed import Observed

from dashboards import asked, questions
from manifests.dashboards.generate import DASHBOARDS, HERE

OUTCOMES: Final = "modelward_quality"
"""In the names of what a model with outcomes alone has."""


def without_data(observed: Observed, models: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """How many questions there are, and which have no answer for any of `models` (namespace and name)."""
    common = {"datasource": "prometheus", "__rate_interval": "1m", "__range": "30m"}
    known = [{**common, "namespace": namespace, "model": name} for namespace, name in models]
    total, empty = 0, list[str]()
    has_outcomes = bool(observed.values(f"count({OUTCOMES})"))
    for dashboard in DASHBOARDS:
        for about, expr in questions(json.loads((HERE / dashboard).read_text())):
            if OUTCOMES in expr and not has_outcomes:
                continue
            total += 1
            if not any(observed.values(asked(expr, values)) for values in known):
                empty.append(f"{dashboard}: {about}")
    return total, empty
