"""The interface of triggers, and what stands in for one that there is not.

Each method may be repeated for the same run at any time, after a crash too, and by another operator: the run's key is
the same then, and nothing starts twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from modelward.api.driftpolicy import DriftPolicy
from modelward.retraining.lifecycle.run import BROKE, Outcome, Run
from modelward.retraining.target import TargetFacts


@dataclass(frozen=True)
class Order:
    """A run, whose policy it is, and its target (None: it is gone)."""

    policy: DriftPolicy
    run: Run
    target: TargetFacts | None


class Trigger(Protocol):
    """Raises ApiError and ApiUnreachableError of the API server; what goes wrong elsewhere is in the outcome."""

    async def start(self, order: Order) -> Outcome:
        """See that it runs. Working: it does; Broke: it can't be started; Waits: it could not be started now."""
        ...

    async def poll(self, order: Order) -> Outcome:
        """How it goes. Succeeded: with its report; Broke: why, with the end of its log; Untold: nobody tells."""
        ...

    async def cancel(self, order: Order) -> Outcome | None:
        """Stop it. None, Succeeded: that is done; Asked, Waits: not yet, ask again; Broke: why that is not possible."""
        ...


class _Unknown:
    """Of a kind that another operator knows, or that somebody wrote by hand."""

    async def start(self, order: Order) -> Outcome:
        return Outcome(BROKE, f"This operator knows no runs of kind {order.run.kind[:100]!r}")

    poll = cancel = start


def trigger_of(order: Order, triggers: Mapping[str, Trigger]) -> Trigger:
    """That of the run's kind. `triggers`: by kind."""
    return triggers.get(order.run.kind, _Unknown())
