"""Every question of the dashboards, asked of the Prometheus that scrapes the cluster."""

import json
from collections.abc import Iterable

from examples.observe.installed import Observed

from dashboards import asked, questions
from manifests.dashboards.generate import DASHBOARDS, HERE


def without_data(observed: Observed, models: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """How many questions there are, and which have no answer for any of `models` (namespace and name)."""
    common = {"datasource": "prometheus", "__rate_interval": "1m", "__range": "30m"}
    known = [{**common, "namespace": namespace, "model": name} for namespace, name in models]
    total, empty = 0, []
    for dashboard in DASHBOARDS:
        for about, expr in questions(json.loads((HERE / dashboard).read_text())):
            total += 1
            if not any(observed.values(asked(expr, values)) for values in known):
                empty.append(f"{dashboard}: {about}")
    return total, empty
