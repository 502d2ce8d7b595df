"""Conditions of a custom resource, as kstatus, Argo CD and Flux read them.

All types are present from the first status on. `lastTransitionTime` moves only when `status` does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

READY: Final = "Ready"
SERVABLE: Final = "Servable"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
PLATFORM_CURRENT: Final = "PlatformCurrent"
MONITORED: Final = "Monitored"
"""Only where spec.monitor asks for it."""

PREDICTION_LOGGED: Final = "PredictionLogged"
"""Only where spec.predictionLog asks for it."""

RESOLVED: Final = "Resolved"
"""Only where spec.model.uri is a reference that a registry resolves."""

CACHE_USABLE: Final = "CacheUsable"
"""Only where spec.model.cache names a claim."""

AUTOSCALED: Final = "Autoscaled"
"""Only where spec.autoscaling asks for it."""

MEASURED: Final = "Measured"
"""Of a DriftPolicy, only where spec.quality asks for it."""

FEATURE_PARITY: Final = "FeatureParity"
"""Of a DriftPolicy, only where spec.parity asks for it."""

COMPLETE: Final = "Complete"
"""Of a BatchInference: whether its last run was."""

INPUT_DRIFT: Final = "InputDrift"
"""Of a BatchInference: whether the rows of the last run that was judged drift; not where spec.drift.mode is Ignore."""

OUTCOMES_WORSE: Final = "OutcomesWorse"
"""Of a BatchInference: whether its predictions are worth less than a DriftPolicy allows; only where one judges them."""

OUTCOMES_COMPARED: Final = "OutcomesCompared"
"""Of a ModelDeployment, only where spec.rollout.gates.quality asks for it."""

WRITTEN_BACK: Final = "WrittenBack"
"""Only where the ModelRegistry has spec.writeBack."""


@dataclass(frozen=True)
class Condition:
    """One observation. `status`: True, False, or None for Unknown; `reason`: one CamelCase word."""

    type: str
    status: bool | None
    reason: str
    message: str

    @property
    def status_text(self) -> str:
        return "Unknown" if self.status is None else str(self.status)


def by_type(stored: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Index stored conditions by their type."""
    return {condition["type"]: condition for condition in stored}


def render(
    conditions: Iterable[Condition], stored: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Conditions as status holds them.

    `stored`: the conditions of the last status, for the times of transition. `now`: RFC 3339, UTC.
    """
    previous = by_type(stored)
    rendered = []
    for condition in conditions:
        old = previous.get(condition.type)
        unchanged = old is not None and old["status"] == condition.status_text
        rendered.append(
            {
                "type": condition.type,
                "status": condition.status_text,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": old["lastTransitionTime"] if old is not None and unchanged else now,
                "observedGeneration": generation,
            }
        )
    return rendered
