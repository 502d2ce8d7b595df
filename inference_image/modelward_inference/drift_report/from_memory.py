"""What a policy's operator remembers of a model, as the page shows it: the ConfigMap of one target.

Its evaluator's message is in it word for word (modelward_evaluate/report.py). Whoever may write ConfigMaps may have
written another one: what can't be read is told, and a message is unpacked to a bound.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelward_inference.drift_report import fields
from modelward_inference.drift_report.from_result import calibration, roc
from modelward_inference.drift_report.worth import (
    ColumnShare,
    DayMeasure,
    FeatureParity,
    GroupGap,
    LossRise,
    Measure,
    PartMeasure,
    RuleState,
    Worth,
    by_favour,
)
from modelward_inference.errors import InvalidConfiguration

PREFIX: Final = "modelward-quality:"

VERSION: Final = 1

UNPACKED: Final = 256 * 1024
"""Bytes of a message at most."""


def read_memory(path: Path) -> tuple[Worth | None, FeatureParity | None]:
    """None: the policy asks for none, or nothing is known yet. Raises InvalidConfiguration."""
    try:
        memory = json.loads(json.loads(path.read_text())["data"]["memory"])
        return _worth(memory), _parity(fields.table(memory, "parity"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, zlib.error, RecursionError) as error:
        raise InvalidConfiguration(
            f"{path} is not what the operator remembers of a model ({type(error).__name__}: {error}); write "
            "`kubectl get configmap -l modelward.io/policy=POLICY,modelward.io/target=MODEL -o json`, one of its items"
        ) from None


def unpacked(message: str) -> Mapping[str, Any]:
    """What a Job's pod said. Raises ValueError, zlib.error."""
    if not message.startswith(PREFIX):
        raise ValueError("its message is none of an evaluation")
    unpack = zlib.decompressobj()
    told = unpack.decompress(base64.b85decode(message.removeprefix(PREFIX)), UNPACKED)
    if not unpack.eof:
        raise ValueError("its message is cut off, or too long")
    found = json.loads(told)
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise ValueError(f"its message is not of version {VERSION}, which this program reads")
    return found


def _worth(memory: Mapping[str, Any]) -> Worth | None:
    kept = fields.table(memory, "quality")
    rules = tuple(_rule(each) for each in fields.tables(memory, "signals") if each.get("kind") != "window")
    problem = fields.text(fields.table(kept, "problem").get("message"))
    cohort, message = fields.table(kept, "cohort"), fields.text(kept.get("message"))
    if not message or not cohort:
        return Worth("", (), {}, None, 0.0, 0.0, rules=rules, problem=problem) if rules or problem else None
    told = unpacked(message)
    pictures, counts = fields.table(told, "pictures"), fields.counts(told, "counts")
    values = {name: fields.measure(*of) for segment, _, name, *of in fields.listed(told, "values") if not segment}
    days = {
        (fields.text(day), fields.text(revision), fields.text(metric)): fields.measure(*of)
        for day, revision, metric, *of in (
            *((day, told["revision"], *rest) for day, *rest in fields.listed(pictures, "days")),
            *fields.listed(kept, "history"),  # It knows whole days where the cohort begins or ends within one.
        )
    }
    matured, fairness = counts.get("matured", 0), fields.text(pictures.get("fairness"))
    reference, reference_name = _reference(kept, told)
    metrics = tuple(dict.fromkeys(metric for *_, metric in days if metric in values))
    return Worth(
        revision=fields.text(told["revision"]),
        metrics=(*metrics, *(each for each in by_favour(values) if each not in metrics)),
        values=values,
        begin=fields.seconds(cohort["begin"]),
        matured=fields.seconds(cohort["end"]),
        now=fields.seconds(cohort["slot"]),
        level=fields.number(cohort["level"]),
        coverage=counts.get("withOutcome", 0) / matured if matured else None,
        days=tuple(
            DayMeasure(fields.moment(day), revision, metric, measure)
            for (day, revision, metric), measure in sorted(days.items(), key=lambda each: each[0])
        ),
        roc=roc(pictures),
        calibration=calibration(pictures),
        parts=tuple(
            PartMeasure(fields.text(segment), fields.text(part), fields.text(name), fields.measure(*of))
            for segment, part, name, *of in fields.listed(told, "values")
            if segment
        ),
        fairness=fairness,
        groups=tuple(
            PartMeasure(fairness, fields.text(group), fields.text(name), fields.measure(*of))
            for group, name, *of in fields.listed(pictures, "groups")
        ),
        gaps=_gaps(told),
        shifts=tuple(_shift(*each) for each in fields.listed(told, "concept")),
        reference=reference,
        reference_name=reference_name,
        counts=counts,
        dropped=fields.rows(told.get("dropped", 0)),
        rules=rules,
        problem=problem,
    )  # fmt: skip


def _rule(each: Mapping[str, Any]) -> RuleState:
    names = fields.text(each.get("kind")), fields.text(each.get("name"))
    said = fields.text(each.get("missing") or each.get("message"))
    since = fields.moment(each["since"]) if each.get("since") else None
    breached = each.get("breached") is True
    known = each.get("value") is not None and not each.get("missing")
    return RuleState(*names, breached, since, said, known or breached)


def _reference(kept: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[dict[str, Measure], str]:
    """What a fall is measured against: the days before, or the revision's first cohort, unless it is this one."""
    before = {name: fields.measure(*of) for name, *of in fields.listed(told, "before")}
    if before:
        return before, "the days before"
    first = fields.table(kept, "first")
    if first.get("revision") != told["revision"] or first.get("end") == kept["cohort"]["end"]:
        return {}, ""
    return {name: fields.estimate(each) for name, each in fields.table(first, "values").items()}, "its first days"


def _gaps(told: Mapping[str, Any]) -> tuple[GroupGap, ...]:
    by_name: dict[str, dict[str, Any]] = {}
    for name, what, value, low, high, rows, highest, lowest, left_out in fields.listed(told, "fairness"):
        found = by_name.setdefault(fields.text(name), {"groups": (fields.text(highest), fields.text(lowest))})
        found[what] = fields.measure(value, low, high, rows)
        found["left_out"] = fields.rows(left_out)
    return tuple(
        GroupGap(
            name,
            found.get("difference"),
            found.get("ratio"),
            highest=found["groups"][0],
            lowest=found["groups"][1],
            left_out=found["left_out"],
        )
        for name, found in by_name.items()
    )


def _shift(
    segment: Any, part: Any, since: Any, rise: Any, low: Any, high: Any, before: Any, sure: Any, of: Any
) -> LossRise:
    """`sure`: its evidence, in units of what an alarm needs."""
    names = fields.text(segment), fields.text(part)
    found = fields.measure(rise, low, high, of)
    return LossRise(*names, fields.moment(since), found, fields.number(before), fields.number(sure) >= 1)


def _parity(kept: Mapping[str, Any]) -> FeatureParity | None:
    problem = fields.text(fields.table(kept, "problem").get("message"))
    if not kept.get("message"):
        return FeatureParity(0, 0, (), problem=problem) if problem else None
    told, since = unpacked(fields.text(kept["message"])), fields.table(kept, "since")
    return FeatureParity(
        rows=fields.rows(told["rows"]),
        checked=fields.rows(told.get("checked", 0)),
        columns=tuple(_column(each, since) for each in fields.listed(told, "columns")),
        begin=None if kept.get("begin") is None else fields.seconds(kept["begin"]),
        end=None if kept.get("end") is None else fields.seconds(kept["end"]),
        problem=problem,
    )


def _column(told: Any, since: Mapping[str, Any]) -> ColumnShare:
    """`since`: longer ago than the days of one check, where the operator knows."""
    column, feature, wrong, value, low, high, rows, _, logged_missing, feature_missing, began = told
    name = fields.text(column)
    return ColumnShare(
        name, fields.text(feature), bool(wrong), fields.measure(value, low, high, rows), fields.rows(logged_missing),
        fields.rows(feature_missing), fields.text(since.get(name) or began),
    )  # fmt: skip
