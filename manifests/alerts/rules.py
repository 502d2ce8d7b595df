"""Rules of Prometheus as values: what the files beside it, the tests and docs/metrics.md are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

INTERVAL: Final = 60
"""Seconds between two evaluations. What SLOs add up counts each recorded value for so many seconds; tests over long
times look less often."""

PAGE, TICKET = "page", "ticket"
"""Severities: somebody is woken; somebody looks at it on a working day."""

BOOKS: Final = "docs/runbooks"
"""Where runbooks are in the repository."""

RUNBOOKS: Final = ""
"""Where they can be read in a browser: `make alerts RUNBOOKS=https://…`. Nobody but who installs knows; without it an
alert has no link, rather than one that leads nowhere, or to whoever has the address."""

MODEL: Final = "namespace, name"
"""The labels by which series of a model are joined."""


@dataclass(frozen=True)
class Recording:
    """`name`: after the convention level:metric:operations; `about`: in a sentence, for docs/metrics.md."""

    name: str
    expr: str
    about: str

    def rendered(self, _runbooks: str) -> dict[str, Any]:
        return {"record": self.name, "expr": self.expr}


@dataclass(frozen=True)
class Alert:
    """`wait`: how long it has to hold; `runbook`: the file in docs/runbooks, without its ending."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    runbook: str
    wait: str = "0m"
    labels: Mapping[str, str] = field(default_factory=dict)

    def rendered(self, runbooks: str) -> dict[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook": f"{BOOKS}/{self.runbook}.md",
                **({"runbook_url": f"{runbooks}/{self.runbook}.md"} if runbooks else {}),
            },
        }


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after another, each `interval` seconds."""

    name: str
    interval: int
    rules: Sequence[Recording | Alert]

    def rendered(self, runbooks: str = RUNBOOKS) -> dict[str, Any]:
        return {
            "name": self.name,
            "interval": f"{self.interval}s",
            "rules": [each.rendered(runbooks) for each in self.rules],
        }


def total(expr: str, by: str = MODEL) -> str:
    return f"sum by ({by}) ({expr})"


def told(expr: str, by: str = MODEL) -> str:
    """One series of what the operator tells. While another one takes over there may be two, and a join would fail."""
    return f"max by ({by}) ({expr})"


def promised(gauge: str, by: str = MODEL) -> str:
    """What spec.slo says, also while no operator is there to tell: failures are told of all the same. What is taken out
    of spec holds for an hour."""
    return told(f"last_over_time({gauge}[1h])", by)


def first(*alternatives: str) -> str:
    """Of each model, what the first of them says that says something."""
    return f"\nor on ({MODEL})\n".join(alternatives)
