"""What `python -m modelward_evaluate` and `modelward parity-check` wrote, as the page shows it."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from modelward_inference.drift_report import fields
from modelward_inference.drift_report.worth import (
    ArmDifference,
    CalibratedBin,
    ColumnShare,
    DayMeasure,
    FeatureParity,
    GroupGap,
    LossRise,
    Measure,
    PartMeasure,
    Worth,
    by_favour,
)
from modelward_inference.errors import InvalidConfiguration

STABLE: Final = "stable"

RATES: Final = {
    "statisticalParity": "selectionRate",
    "equalOpportunity": "recall",
    "predictiveEquality": "falsePositiveRate",
}
"""What gaps are made of."""

Side = tuple[str, str]
"""Revision and arm."""

T = TypeVar("T")


def read_result(path: Path) -> Worth:
    """Of the revision that answered last as the stable arm. Raises InvalidConfiguration."""
    return _read(path, _worth, "a result of `python -m modelward_evaluate`")


def read_parity(path: Path) -> FeatureParity:
    """Raises InvalidConfiguration."""
    return _read(path, _parity, "a result of `modelward parity-check`")


def _read(path: Path, made: Callable[[Any], T], what: str) -> T:
    try:
        raw = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InvalidConfiguration(f"{path} is no JSON: {error}; give {what}") from None
    try:
        return made(raw)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidConfiguration(f"{path} is not {what} ({type(error).__name__}: {error})") from None


def _worth(raw: Any) -> Worth:
    found = list(fields.tables(raw, "values"))
    if not found:
        raise ValueError("no prediction in it has matured with an outcome, so there are no values")
    drawn = {_side(each): each for each in fields.tables(raw, "pictures")}
    side = _last(drawn) if drawn else _side(found[0])
    own = [each for each in found if _side(each) == side]
    values = next((_measures(each) for each in own if not each["segment"]), {})
    days = [
        DayMeasure(fields.moment(day), revision, fields.text(metric), fields.measure(*of))
        for (revision, arm), each in drawn.items()
        if arm == side[1]
        for day, metric, *of in fields.listed(each, "days")
    ]
    fairness, gaps, small = _gaps(raw, side)
    parts = tuple(
        PartMeasure(fields.text(each["segment"]), fields.text(each["value"]), metric, measure)
        for each in own
        if each["segment"]
        for metric, measure in _measures(each).items()
    )
    counts = fields.counts(raw, "counts")
    matured = counts.get("matured", 0)
    to_come = next((each for each in fields.tables(raw, "estimates") if _side(each) == side), None)
    pictures = drawn.get(side, {})
    return Worth(
        revision=side[0],
        metrics=by_favour(values),
        values=values,
        begin=min((each.day for each in days if each.revision == side[0]), default=None),
        matured=fields.moment(raw["matured"]),
        now=fields.moment(raw["now"]),
        coverage=counts.get("withOutcome", 0) / matured if matured else None,
        days=tuple(sorted(days, key=lambda each: (each.day, each.revision))),
        roc=roc(pictures),
        calibration=calibration(pictures),
        parts=parts,
        fairness=fairness,
        groups=tuple(
            each
            for each in parts
            if each.segment == fairness and each.metric in small and each.part not in small[each.metric]
        ),
        gaps=gaps,
        shifts=tuple(_shift(each) for each in fields.tables(raw, "concept") if _side(each) == side),
        arms=tuple(
            ArmDifference(*_side(each), _measures(each))
            for each in fields.tables(raw, "differences")
            if each["against"] == side[0]
        ),
        to_come={} if to_come is None else _measures(to_come),
        waiting=None if to_come is None else fields.rows(to_come["rows"]),
        counts=counts,
    )


def _side(each: Mapping[str, Any]) -> Side:
    return fields.text(each["revision"]), fields.text(each["arm"])


def _last(drawn: Mapping[Side, Mapping[str, Any]]) -> Side:
    """The stable arm's that answered last."""

    def by_age(side: Side) -> tuple[bool, float]:
        days = [fields.moment(day) for day, *_ in fields.listed(drawn[side], "days")]
        return side[1] == STABLE, max(days, default=0.0)

    return max(drawn, key=by_age)


def _measures(each: Mapping[str, Any]) -> dict[str, Measure]:
    return {name: fields.estimate(value) for name, value in fields.table(each, "metrics").items()}


def roc(pictures: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    return tuple((fields.number(false), fields.number(true)) for false, true in fields.listed(pictures, "roc"))


def calibration(pictures: Mapping[str, Any]) -> tuple[CalibratedBin, ...]:
    return tuple(
        CalibratedBin(fields.number(score), fields.measure(*share))
        for score, *share in fields.listed(pictures, "calibration")
    )


def _gaps(raw: Any, side: Side) -> tuple[str, tuple[GroupGap, ...], Mapping[str, Collection[str]]]:
    """The segment whose groups are compared, how far these are apart, and of which a rate says nothing: by rate."""
    found = next((each for each in fields.tables(raw, "fairness") if _side(each) == side), None)
    if found is None:
        return "", (), {}
    told = fields.table(found, "gaps")
    gaps = tuple(
        GroupGap(
            name,
            fields.estimate(each["difference"]),
            fields.estimate(each["ratio"]) if each.get("ratio") else None,
            fields.text(each["highest"]),
            fields.text(each["lowest"]),
            len(fields.listed(each, "left_out")),
        )
        for name, each in told.items()
    )
    small = {RATES[name]: fields.listed(each, "left_out") for name, each in told.items() if name in RATES}
    return fields.text(found["segment"]), gaps, small


def _shift(each: Mapping[str, Any]) -> LossRise:
    rise = fields.measure(each["rise"], each["low"], each["high"], each["rows"])
    names = fields.text(each["segment"]), fields.text(each["value"])
    return LossRise(*names, fields.moment(each["since"]), rise, fields.number(each["before"]), each["alarm"] is True)


def _parity(raw: Any) -> FeatureParity:
    unequal, found = set(fields.listed(raw, "unequal")), fields.counts(raw, "counts")
    columns = [_column(each, each["column"] in unequal) for each in fields.tables(raw, "columns") if each["share"]]
    return FeatureParity(
        rows=found.get("compared", 0),
        checked=len(fields.listed(raw, "columns")),
        columns=tuple(sorted(columns, key=lambda each: (not each.wrong, -each.share.value))),
    )


def _column(each: Mapping[str, Any], wrong: bool) -> ColumnShare:
    names = fields.text(each["column"]), fields.text(each["feature"])
    missing = fields.rows(each["loggedMissing"]), fields.rows(each["featureMissing"])
    return ColumnShare(*names, wrong, fields.estimate(each["share"]), *missing, fields.text(each["since"]))
