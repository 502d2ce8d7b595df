"""The gate on the value of a PromQL query: thresholds of the user's, and no promise about false rollbacks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from modelward.api.rollout import FAIL, PASS, Gates, Metric
from modelward.facts import Judgement
from modelward.rollouts.gates.gate import Context, Kind, Observation, Stored
from modelward.rollouts.gates.query import Reading, Threshold, judge


@dataclass(frozen=True)
class Query:
    """`failures`: bad values in a row; `answered`: whether the last answer had a value."""

    name: str
    metric: Metric
    verdict: str = "Inconclusive"
    failures: int = 0
    answered: bool = False
    message: str = "not asked yet"

    is_test: ClassVar[bool] = False
    by_requests: ClassVar[bool] = False
    by_pairs: ClassVar[bool] = False
    compared: ClassVar[int] = 0
    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def bounds(self) -> str:
        """The values that are good."""
        given = (("at least", self.metric.min), ("at most", self.metric.max))
        return " and ".join(f"{word} {bound}" for word, bound in given if bound is not None)

    @property
    def limit(self) -> str:
        return f"{self.bounds}: {self.metric.query}"

    @property
    def terms(self) -> object:
        return self.metric

    def add(self, seen: Observation) -> "Query":
        reading = seen.readings.get(self.name)
        return self if reading is None else self._after(reading)

    def _after(self, reading: Reading) -> "Query":
        metric = self.metric
        threshold = Threshold(max=_number(metric.max), min=_number(metric.min))
        verdict, failures = judge(threshold, self.failures, reading, metric.failure_limit)
        answered = False
        if reading.error is not None:
            message = reading.error
        elif reading.value is None or math.isnan(reading.value):
            message = "the query gives no data"
        else:
            message, answered = f"{reading.value:.6g}, wanted: {self.bounds}", True
        return replace(self, verdict=verdict, failures=failures, answered=answered, message=message)

    def opinion(self, context: Context) -> Judgement:
        said = f"{self.name}: {self.message}"
        if self.verdict == FAIL:
            return Judgement(f"{said}, {self.failures} times in a row")
        if self.verdict == PASS:
            return Judgement()
        return Judgement(waits_for=said) if self.answered else context.without_data(said)

    def dump(self, alpha: float) -> dict[str, Any]:  # noqa: ARG002 (as every gate)
        return {
            "name": self.name,
            "limit": self.limit,
            "verdict": self.verdict,
            "message": self.message,
            "failures": self.failures,
        }


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _opened(gates: Gates, stored: Stored) -> Iterator[Query]:
    for metric in gates.metrics:
        begun = Query(metric.name, metric)
        last = stored.get(metric.name, {})
        failures = last.get("failures")
        # Another version of the operator may have written it: what can't be read begins anew.
        if last.get("limit") == begun.limit and isinstance(failures, int):
            begun = replace(begun, failures=failures)
        yield begun


KIND: Final = Kind("metrics", _opened)
