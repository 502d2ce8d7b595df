"""`spec.rollout.gates.quality` as frozen values: what outcomes are to say of a candidate, held against the stable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelward.api.quality import WORTH, Outcomes, Task, parse_outcomes, parse_task
from modelward.api.rollout import HOLD, Gates

NAME: Final = "quality"
"""Among the gates."""

EVERY_STEP, LAST_STEP = "EveryStep", "LastStep"


@dataclass(frozen=True)
class MetricMargin:
    """By how much a metric may be worse than the stable's: the text of a number, in the metric's unit."""

    name: str
    margin: str


@dataclass(frozen=True)
class BusinessMargin:
    """The same of what a row is worth. `expression`: SQL of one row."""

    expression: str
    margin: str


@dataclass(frozen=True)
class QualityGate:
    """`label_window`: None: every outcome counts at once; `every`: least time between two looks; `days`: of matured
    predictions that are compared at most, the latest; `min_samples`: rows with an outcome that each side needs;
    `unit`: the log's column that says whose a row is, None: rows are taken as independent;
    `max_duration`: since the rollout began, None: a week beyond the label window; `wait_at`: which steps wait."""

    task: Task
    outcomes: Outcomes = field(default_factory=Outcomes)
    label_window: str | None = None
    metrics: tuple[MetricMargin, ...] = ()
    business: BusinessMargin | None = None
    min_samples: int = 500
    unit: str | None = None
    every: str = "1h"
    days: int = 28
    max_duration: str | None = None
    on_no_data: str = HOLD
    wait_at: str = EVERY_STEP
    memory: str | int = "2Gi"
    deadline: str = "1h"

    @property
    def margins(self) -> tuple[MetricMargin, ...]:
        """Of all that is judged, as metrics."""
        worth = () if self.business is None else (MetricMargin(WORTH, self.business.margin),)
        return (*self.metrics, *worth)


def quality_gate_of(gates: Gates) -> QualityGate | None:
    """None: spec asks for none. Raises KeyError, TypeError, ValueError for what the CRD would have refused."""
    raw = gates.others.get(NAME)
    return None if raw is None else parse_quality_gate(raw)


def parse_quality_gate(raw: Mapping[str, Any]) -> QualityGate:
    """Raises KeyError, TypeError, ValueError for what the CRD would have refused."""
    business = raw.get("business")
    return QualityGate(
        task=parse_task(raw["task"]),
        outcomes=parse_outcomes(raw.get("outcomes") or {}),
        label_window=raw.get("labelWindow"),
        metrics=tuple(MetricMargin(str(each["name"]), str(each["margin"])) for each in raw.get("metrics") or ()),
        business=None if business is None else BusinessMargin(str(business["expression"]), str(business["margin"])),
        min_samples=int(raw.get("minSamples", QualityGate.min_samples)),
        unit=raw.get("unit"),
        every=str(raw.get("every", QualityGate.every)),
        days=int(raw.get("days", QualityGate.days)),
        max_duration=raw.get("maxDuration"),
        on_no_data=str(raw.get("onNoData", QualityGate.on_no_data)),
        wait_at=str(raw.get("waitAt", QualityGate.wait_at)),
        memory=raw.get("memory", QualityGate.memory),
        deadline=str(raw.get("deadline", QualityGate.deadline)),
    )
