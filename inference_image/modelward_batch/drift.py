"""Drift of a run's rows: what a server's monitor would have counted of them, and one verdict on all. Pure.

A unit's counts are written before its receipt, under a name of its own. Invariant: what is judged is the counts of each
unit of the plan once, whoever was killed, or nothing is judged. Failure: a verdict that is Unknown, with why; the
answers are as good without it.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from modelward_batch.accounts import Receipt
from modelward_batch.plan import SCHEMA, Plan
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.judging.causes import explained
from modelward_drift.judging.policy import Judgement, Policy, judge
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.features import Layout as Features
from modelward_inference.capture.wire import Batch
from modelward_inference.drift_report.policyfile import policy_from
from modelward_inference.protocol.messages import RequestError
from modelward_monitor.counting.arrivals import Arrival, tabulate
from modelward_monitor.counting.learning import count_table
from modelward_monitor.counting.placing import fitted

log = logging.getLogger(__name__)

DRIFTED, NO_DRIFT, UNKNOWN = "Drifted", "NoDrift", "Unknown"
"""Verdicts. Of UNKNOWN the reason is another word."""

NO_REFERENCE: Final = (
    "the model's bundle has no reference, so that nobody can say what its rows were like at training; publish the "
    "model as a bundle with one: `modelward reference` and save_bundle write it (docs/drift.md)"
)

TOLD: Final = 10
"""Features whose numbers the manifest and the pod's message have; the run's own file has all."""

LONGEST: Final = 700
"""Characters of a sentence."""


@dataclass(frozen=True)
class UnitCounts:
    """What was counted of a unit. `rows`: that were answered; `counts`: in the order of the reference's features;
    `plan`, `reference`: digests; `problem`: why nothing could be counted."""

    unit: int
    plan: str
    reference: str
    rows: int = 0
    counts: tuple[Counts, ...] = ()
    problem: str = ""

    @property
    def content(self) -> bytes:
        plain = [[each.cells.tolist(), each.quality.tolist()] for each in self.counts]
        document = {
            "schema": SCHEMA, "unit": self.unit, "plan": self.plan, "reference": self.reference, "rows": self.rows,
            "counts": plain, "problem": self.problem,
        }  # fmt: skip
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes | None, plan: Plan, receipt: Receipt, reference: Reference) -> Self | None:
        """None where they are none of the rows that `receipt` tells of, against this reference."""
        try:
            raw: dict[str, Any] = json.loads(content or b"")
            problem = str(raw["problem"])
            counts = () if problem else tuple(
                Counts.from_dict({"digest": profile.digest, "cells": cells, "quality": quality}, profile)
                for (cells, quality), profile in zip(raw["counts"], reference.profiles, strict=True)
            )  # fmt: skip
            found = cls(raw["unit"], raw["plan"], raw["reference"], raw["rows"], counts, problem)
        except (ValueError, TypeError, KeyError, RecursionError):  # DriftError is a ValueError
            return None
        same = (found.unit, found.plan, found.reference) == (receipt.unit, plan.digest, reference.digest)
        rows = receipt.rows - receipt.rejected
        # An output that the model has not has no rows; any other feature has all of them.
        whole = found.rows == rows and all(each.rows in (0, rows) for each in counts)
        return found if same and (problem or whole) else None


class UnitCounter:
    """Counts the rows of a unit that are answered, as a monitor does those of requests."""

    def __init__(self, reference: Reference) -> None:
        self._reference, self._features = reference, Features.of_reference(reference)
        self._counts = tuple(map(zero, reference.profiles))
        self._rows = 0
        self._problem = ""

    def add(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int) -> None:
        """`inputs`, `outputs`: (rows, …) by tensor."""
        if not rows or self._problem:
            return
        try:
            found = fitted(self._features, Arrival(Batch("", 0, rows, inputs, outputs)))
            counts = count_table(self._reference, tabulate(self._features, found))
        except RequestError as error:
            self._problem = str(error)
        except MemoryError:
            raise
        except Exception as error:  # Whatever it is, the answers are as good.
            log.exception("rows can't be counted")
            self._problem = shortened(f"counting failed: {type(error).__name__}: {error}")
        else:
            self._rows += rows
            self._counts = _sum(self._counts, counts)

    def counted(self, unit: int, plan: Plan) -> UnitCounts:
        """So far."""
        if self._problem:
            return UnitCounts(unit, plan.digest, self._reference.digest, problem=self._problem)
        return UnitCounts(unit, plan.digest, self._reference.digest, self._rows, self._counts)


@dataclass(frozen=True)
class DriftFound:
    """The verdict on a run. `reason`: one word; `reference`: its digest; `judged`, `drifted`: how many features;
    `features`: their numbers, the worst first."""

    verdict: str
    reason: str
    message: str
    rows: int = 0
    reference: str = ""
    judged: int = 0
    drifted: int = 0
    features: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def told(self) -> dict[str, Any]:
        """With the worst features alone."""
        return {**self._plain(), "message": shortened(self.message), "features": list(self.features[:TOLD])}

    @property
    def content(self) -> bytes:
        return json.dumps({"schema": SCHEMA, **self._plain(), "features": list(self.features)}, indent=1).encode()

    def _plain(self) -> dict[str, Any]:
        names = ("verdict", "reason", "message", "rows", "reference", "judged", "drifted")
        return {name: getattr(self, name) for name in names}


class Pool:
    """The counts of a run's units, added up as they come."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.counts = tuple(map(zero, reference.profiles))
        self.rows = self.missing = 0
        self.problem = ""

    def add(self, each: UnitCounts | None) -> None:
        """None: there are none of a unit."""
        if each is None:
            self.missing += 1
        elif each.problem:
            self.problem = self.problem or each.problem
        else:
            self.counts = _sum(self.counts, each.counts)
            self.rows += each.rows

    def judged(self, rules: Mapping[str, Any]) -> DriftFound:
        """By `rules`, as in a DriftPolicy's spec."""
        if self.problem:
            return _unknown("ReferenceUnfit", f"the rows can't be held against the reference: {self.problem}", self)
        if self.missing:
            return _unknown(
                "CountsMissing",
                f"the counts of {self.missing} of the run's units are not in its folder, or are of other rows; another "
                "run counts all of them",
                self,
            )  # fmt: skip
        try:
            policy = policy_from(rules)
            found = judge(self.reference, self.counts, policy)
        except (KeyError, TypeError, ValueError) as error:
            return _unknown("RulesUnfit", f"the rules of drift can't be applied: {error}", self)
        except Exception as error:  # noqa: BLE001  whatever it is, the answers are as good
            return _unknown("JudgingFailed", f"judging failed: {type(error).__name__}: {error}", self)
        return _verdict(self, policy, found)


def told_before(raw: Any) -> dict[str, Any] | None:
    """What a manifest says of drift, as `told` has it: no more features, and nothing but texts and numbers, whoever has
    written it. None: it says nothing of the kind."""
    if not isinstance(raw, Mapping):
        return None
    features = raw.get("features")
    listed = features[:TOLD] if isinstance(features, list) else []
    return {**_flat(raw), "features": [_flat(each) for each in listed if isinstance(each, Mapping)]}


def _flat(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in raw.items() if each is None or isinstance(each, str | int | float)}


def without_reference(why: str, rows: int) -> DriftFound:
    """Of a model that nothing can be held against."""
    return DriftFound(UNKNOWN, "NoReference", why, rows)


def shortened(text: str, most: int = LONGEST) -> str:
    """On one line, cut."""
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _verdict(pool: Pool, policy: Policy, found: Judgement) -> DriftFound:
    decisions, drifted, least = found.decisions, found.drifted, policy.rules.window.min_samples
    if not decisions:
        return _unknown("NothingJudged", "no feature is judged: the rules ignore all of them", pool)
    if all(each.outcome == "TooFewRows" for each in decisions):
        return _unknown("TooFewRows", f"{pool.rows} rows were answered, of {least} that a verdict needs", pool)
    if drifted:
        name = drifted[0].statistic.feature
        others = f", and {len(drifted) - 1} more" if len(drifted) > 1 else ""
        message = explained(f"{drifted[0].message}{others}", found.causes(name), found.hint(name))
    else:
        message = f"none of {len(decisions)} features drifts in {pool.rows} rows; {decisions[0].message}"
    verdict = DRIFTED if drifted else NO_DRIFT
    features = tuple(_numbers(each, found) for each in decisions)
    return DriftFound(
        verdict, verdict, message, pool.rows, pool.reference.digest, len(decisions), len(drifted), features
    )


def _numbers(decision: Decision, found: Judgement) -> dict[str, Any]:
    seen = decision.statistic
    causes = found.causes(seen.feature) if decision.drifted else ()
    return {
        "name": seen.feature, "metric": seen.metric, "value": _rounded(seen.value),
        "threshold": _rounded(decision.rule.threshold), "cut": _rounded(decision.cut), "rows": seen.rows,
        "outcome": decision.outcome, **({"cause": causes[0]} if causes else {}),
    }  # fmt: skip


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _unknown(reason: str, message: str, pool: Pool) -> DriftFound:
    return DriftFound(UNKNOWN, reason, message, pool.rows, pool.reference.digest)


def _sum(first: Sequence[Counts], second: Iterable[Counts]) -> tuple[Counts, ...]:
    return tuple(one + other for one, other in zip(first, second, strict=True))
