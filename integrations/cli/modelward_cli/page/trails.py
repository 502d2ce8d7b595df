"""How a feature's drift went from window to window, as far as it was seen: a status has the last window alone. Pure."""

from collections.abc import Mapping
from math import isfinite
from typing import Final

from modelward_cli.fleet.read import Fleet

LONGEST: Final = 48
"""Windows of a feature that are remembered: two days of hours."""

Key = tuple[str, str, str, str, str]
"""Namespace, model, policy (empty: its own monitor), feature, metric."""

Trails = Mapping[Key, tuple[tuple[str, float], ...]]
"""The end of each window and the value in it, the oldest first."""


def extended(trails: Trails, found: Fleet) -> Trails:
    """With what is seen now. A feature that nobody tells of any more is forgotten with its model or policy alone:
    statuses name the worst features, so that one comes and goes."""
    there = {(model.namespace, model.name, drift.policy or "") for model in found.models for drift in model.drifts}
    kept = {key: trail for key, trail in trails.items() if key[:3] in there}
    for model in found.models:
        for drift in model.drifts:
            for feature in drift.features if drift.end else ():
                key = (model.namespace, model.name, drift.policy or "", feature.name, feature.metric)
                value, trail = number(feature.value), kept.get(key, ())
                if value is not None and (not trail or trail[-1][0] != drift.end):
                    kept[key] = (*trail, (str(drift.end), value))[-LONGEST:]
    return kept


def number(shown: str) -> float | None:
    """A number as the operator writes them; None: it is none, or not a finite one."""
    try:
        found = float(shown)
    except ValueError:
        return None
    return found if isfinite(found) else None
