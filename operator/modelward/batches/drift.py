"""Drift of a batch's rows: by whose rules a run is judged, and what its pods say came of it. Pure.

The pods count and judge (docs/batch-output.md); the operator says by which rules, when the run begins. Invariant: of
two that would contradict each other none is chosen silently, and what nobody could judge is Unknown, with why.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from modelward.api.asked import said
from modelward.api.batchinference import BatchInference, DriftRules
from modelward.api.driftpolicy import DriftPolicy, Schedule
from modelward.net.untrusted import printable
from modelward.retraining.schedule import ScheduleError, next_due
from modelward.values.stored import Stored, Text, known_text

DRIFTED, NO_DRIFT, UNKNOWN = "Drifted", "NoDrift", "Unknown"
"""Verdicts of a run."""

SHOWN: Final = 10
"""Features whose numbers status has."""

LONGEST: Final = 700
"""Characters of a verdict's sentence, 256 of a feature's name, 200 of a cause."""

NAMED: Final = 3
"""Policies that a sentence names."""

THIRTY_DAYS: Final = 30 * 86400.0
"""Seconds: what a budget of false alarms is of."""

DAILY: Final = 30
"""Runs in that time where no schedule says how many."""

COUNTED: Final = 100
"""Times of a schedule that are counted one by one; of more the rest is reckoned."""

MOST_RULES: Final = 24_000
"""Bytes of rules that a pod can be told besides columns and addresses: a variable of Linux has 128 KiB at most."""

SEVERAL, UNREADABLE, TOO_LONG, NOT_TOLD = "SeveralPolicies", "PolicyUnreadable", "RulesTooLong", "NotTold"
"""Why a run is not judged."""

_WORD: Final = re.compile(r"[A-Z][A-Za-z]{0,39}")


class Judging(Stored):
    """Of a run, on its Job. `rules`: whose, in words; or `reason`, one word, and `problem`: why there are none."""

    rules: str = ""
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True)
class DriftAsked:
    """What is written on the Job, and `rules`: what its pods are told, as in a DriftPolicy's spec; None: nothing."""

    judging: Judging
    rules: Mapping[str, Any] | None = None


class DriftFeature(Stored):
    """A feature's numbers, as text; as a DriftPolicy's status has them."""

    name: Text
    metric: str = ""
    value: str = ""
    threshold: str = ""
    cut: str = ""
    rows: int = 0
    outcome: str = ""
    cause: str = ""


class DriftEntry(Stored):
    """What status has of a run. `verdict`: DRIFTED, NO_DRIFT or UNKNOWN; `reason`: the same, or why; `rules`: whose;
    `judged`, `drifted`: how many features; `features`: the worst."""

    verdict: str
    reason: str
    message: str = ""
    rules: str = ""
    reference: str = ""
    rows: int = 0
    judged: int = 0
    drifted: int = 0
    features: list[DriftFeature] = msgspec.field(default_factory=list)


def asked_of_pods(
    batch: BatchInference, policies: Iterable[DriftPolicy], unreadable: Iterable[str], now: float
) -> DriftAsked | None:
    """What a run that begins now is asked. `policies`: that watch its ModelDeployment; `unreadable`: names of others
    that do; `now`: seconds since the epoch. None: nothing is to be judged."""
    if not batch.spec.drift.judges:
        return None
    watching, damaged, own = sorted(policies, key=lambda each: each.name), sorted(unreadable), batch.spec.drift.rules
    named = [each for each in watching if _is_about(each, batch)]
    if len(named) == 1 and not damaged:
        watching = named
    names = _named([*(each.name for each in watching), *damaged])
    model = batch.spec.model.model_deployment
    if own is not None:
        told = f"spec.drift.rules (not by those of DriftPolicy {names})" if names else "spec.drift.rules"
        return _asked(told, own, batch, now)
    if len(watching) + len(damaged) > 1:
        told = f"the DriftPolicies {names} all watch {model}; say in spec.drift.rules by which rules a run is judged"
        return _none(SEVERAL, told)
    if damaged:
        told = f"the DriftPolicy {names}, which watches {model}, can't be read; correct it, or write spec.drift.rules"
        return _none(UNREADABLE, told)
    if watching:
        spec, told = watching[0].spec, f"DriftPolicy {watching[0].name}"
        return _asked(told, DriftRules(spec.window.min_samples, spec.features, spec.false_alarms), batch, now)
    return _asked("the default rules", DriftRules(), batch, now)


def _is_about(policy: DriftPolicy, batch: BatchInference) -> bool:
    """Whether it says that it judges this batch, whatever others watch the model."""
    predictions = None if policy.spec.quality is None else policy.spec.quality.predictions
    return predictions is not None and predictions.batch_inference == batch.name


def looks_of(batch: BatchInference, now: float) -> int:
    """Runs in the thirty days from `now`, over which the budget of false alarms is spent."""
    asked = batch.spec.schedule
    if asked is None:
        return DAILY
    schedule, at = Schedule(asked.cron, asked.time_zone), now
    try:
        for times in range(COUNTED):
            at = next_due(schedule, at)
            if at > now + THIRTY_DAYS:
                return max(1, times)
    except ScheduleError:
        return DAILY
    return round(COUNTED * THIRTY_DAYS / (at - now))


def entry_of(judging: Judging | None, told: Iterable[Any]) -> DriftEntry | None:
    """What status has of a run that ended well. `told`: what its pods say of drift, as JSON. None: nobody asked."""
    if judging is None:
        return None
    # Whoever may write Jobs may have written another annotation: status is refused where it is too long.
    if judging.reason:
        reason = judging.reason if _WORD.fullmatch(judging.reason) else UNKNOWN
        return DriftEntry(verdict=UNKNOWN, reason=reason, message=_text(judging.problem, LONGEST))
    judging = Judging(rules=_text(judging.rules, LONGEST))
    for each in told:
        found = _heard(each, judging)
        if found is not None:
            return found
    why = "none of the run's pods that are left says what came of it; look for _drift.json in its folder"
    return DriftEntry(verdict=UNKNOWN, reason=NOT_TOLD, message=why, rules=judging.rules)


Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]

Features = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
"""As many as status may have of them: an API server refuses the whole status for a larger number."""


class _Feature(Stored):
    name: Text
    metric: str = ""
    value: float | None = None
    threshold: float | None = None
    cut: float | None = None
    rows: Count = 0
    outcome: str = ""
    cause: str = ""


class _Told(Stored):
    """As a pod says it."""

    verdict: str
    reason: str = ""
    message: str = ""
    reference: str = ""
    rows: Count = 0
    judged: Features = 0
    drifted: Features = 0
    features: list[_Feature] = msgspec.field(default_factory=list)


def _heard(raw: Any, judging: Judging) -> DriftEntry | None:
    """Believed in nothing but words and numbers within bounds. None: it is no verdict."""
    try:
        told = known_text(_Told, bytes(raw))
    except (ValueError, TypeError):
        return None
    if not _agrees(told):
        return None
    reason = told.reason if _WORD.fullmatch(told.reason) else told.verdict
    return DriftEntry(
        verdict=told.verdict, reason=reason if told.verdict == UNKNOWN else told.verdict,
        message=_text(told.message, LONGEST), rules=judging.rules, reference=_text(told.reference, 80), rows=told.rows,
        judged=told.judged, drifted=told.drifted, features=_once(map(_feature, told.features[:SHOWN])),
    )  # fmt: skip


def _agrees(told: _Told) -> bool:
    """A verdict needs something that was judged, and says what its numbers do: nothing is green of which nobody knows
    anything."""
    if told.verdict == UNKNOWN:
        return True
    return told.verdict == (DRIFTED if told.drifted else NO_DRIFT) and 1 <= told.judged >= told.drifted


def _once(features: Iterable[DriftFeature]) -> list[DriftFeature]:
    """Each name once, as metrics must have them, whoever has written it: the first is the worst."""
    found: dict[str, DriftFeature] = {}
    for each in features:
        found.setdefault(each.name, each)
    return list(found.values())


def _feature(each: _Feature) -> DriftFeature:
    return DriftFeature(
        name=_text(each.name, 256) or "?", metric=_text(each.metric, 32), value=_number(each.value),
        threshold=_number(each.threshold), cut=_number(each.cut), rows=each.rows, outcome=_text(each.outcome, 32),
        cause=_text(each.cause, 200),
    )  # fmt: skip


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _text(text: str, most: int) -> str:
    words = " ".join(printable(text[: 8 * most]).split())
    return words if len(words) <= most else f"{words[: most - 3]}..."


def _none(reason: str, problem: str) -> DriftAsked:
    return DriftAsked(Judging(reason=reason, problem=problem))


def _asked(whose: str, asked: DriftRules, batch: BatchInference, now: float) -> DriftAsked:
    # A run is a window: so many of them are looked at in thirty days.
    duration = max(1, round(THIRTY_DAYS / looks_of(batch, now)))
    rules = {
        "window": {"duration": f"{duration}s", "minSamples": asked.min_samples}, "features": said(asked.features),
        "falseAlarms": {"maxPer30Days": asked.false_alarms.max_per30_days},
    }  # fmt: skip
    length = len(json.dumps(rules).replace("$", "$$"))
    if length > MOST_RULES:
        return _none(
            TOO_LONG,
            f"the rules of {whose} have {length} bytes, and a pod can be told {MOST_RULES}: write fewer overrides and "
            "ignored features, in spec.drift.rules",
        )
    return DriftAsked(Judging(rules=whose), rules)
