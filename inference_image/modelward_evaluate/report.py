"""What a Job tells the operator: values with their intervals, as short as the message of a pod that ends has to be.

The kubelet keeps 4096 bytes. So it is JSON, packed, with what the policy asks for first; what has no room is counted
and left out, from the end.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from modelward_evaluate.batches import ARM
from modelward_evaluate.cohorts import positive_of
from modelward_evaluate.evaluate import PARITIES, STABLE, Evaluation
from modelward_evaluate.pictures import BRIEF, group_rates, pictures
from modelward_evaluate.spec import Spec
from modelward_evaluate.sums import Group
from modelward_quality.estimate import Estimate
from modelward_quality.statistics import Statistics, values

VERSION: Final = 1

LIMIT: Final = 4000
"""Bytes; the kubelet cuts after 4096."""

PREFIX: Final = "modelward-quality:"

LONGEST: Final = 60
"""Characters of a group's name."""

ANSWERED: Final = ("stable", "candidate", "variant", ARM)
"""Arms whose answers somebody got by the router, or in a batch: copies have outcomes of another model's answers, and
what came past the router is mostly somebody who tries something."""

SHOWN: Final = 8
"""Parts of which it is said whether their loss has risen."""

MOST: Final = 1e9
"""Times the evidence that is needed: more is as sure."""

_NUMBERS: Final = ("rise", "low", "high", "before")

Row = list[Any]


@dataclass(frozen=True)
class Asked:
    """`revision`: whose quality; `level`: of the intervals; `metrics`: names that matter, the first most; `smallest`:
    rows of a group that is judged."""

    revision: str
    level: float
    metrics: tuple[str, ...] = ()
    smallest: int = 100


def report(
    found: Evaluation, before: Evaluation | None, spec: Spec, asked: Asked, watched: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """`found`: of the cohort; `before`: of the days that it is compared with; `watched`: what `concept` says."""
    wholes = _wholes(found.groups, asked.revision)
    whole = wholes.get(("", ""), Statistics())
    positive = positive_of(spec)

    def told(statistics: Statistics, only: bool) -> Iterator[tuple[str, Estimate]]:
        by_name = values(statistics, positive, asked.level)
        first = [name for name in asked.metrics if name in by_name]
        rest = [] if only else [name for name in by_name if name not in first]
        return ((name, by_name[name]) for name in (*first, *rest))

    own = [["", "", name, *_numbers(each)] for name, each in told(whole, only=False)]
    parts = [
        [cut(segment), cut(value), name, *_numbers(each)]
        for (segment, value), statistics in wholes.items()
        if segment
        for name, each in told(statistics, only=True)
    ]
    earlier = Statistics() if before is None else _wholes(before.groups, asked.revision).get(("", ""), Statistics())
    return {
        "v": VERSION,
        "revision": asked.revision,
        "rows": rows_of(whole),
        "counts": found.counts,
        "before": [[name, *_numbers(each)] for name, each in told(earlier, only=True)],
        "fairness": _fairness(wholes, spec, asked),
        "concept": _concept(watched, asked),
        "pictures": _pictures(found, wholes, spec, asked),
        "values": [*own, *parts],
    }


def compared(found: Evaluation, asked: Asked, rows: list[Row]) -> dict[str, Any]:
    """`rows`: of arms against the stable one, as `pairs.told` has them."""
    return {"v": VERSION, "revision": asked.revision, "rows": 0, "counts": found.counts, "pairs": rows}


def nothing(asked: Asked, of: str) -> dict[str, Any]:
    """There are no files of `of`: predictions or outcomes."""
    return {"v": VERSION, "revision": asked.revision, "rows": 0, "nothing": of}


def rows_of(statistics: Statistics) -> int:
    """That were counted."""
    if statistics.confusion is not None:
        return statistics.confusion.rows
    found = statistics.errors.error if statistics.errors is not None else statistics.ndcg or statistics.mrr
    return 0 if found is None else found.rows


def pack(told: Mapping[str, Any]) -> str:
    """As the message of a pod. Of too many values the last ones are left out, and counted as `dropped`."""
    kept = dict(told)
    dropped = 0
    while len(message := _packed({**kept, "dropped": dropped} if dropped else kept)) > LIMIT:
        if kept.get("pictures") and not any(each[0] for each in kept.get("values", ())):
            # What is left are values that a verdict is made of; without pictures others have room, too.
            kept, dropped = {name: each for name, each in told.items() if name != "pictures"}, 0
            continue
        name = next((each for each in ("values", "pairs", "examples", "columns") if kept.get(each)), None)
        if name is None:
            break
        least = max(1, len(kept[name]) // 20)
        kept[name] = kept[name][:-least]
        dropped += least
    return message


def _packed(told: Mapping[str, Any]) -> str:
    text = json.dumps(told, allow_nan=False, separators=(",", ":"))
    return PREFIX + base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _wholes(groups: Iterable[Group], revision: str) -> dict[tuple[str, str], Statistics]:
    """Of all days and of the arms that answered, by segment and value."""
    by_key: dict[tuple[str, str], list[Statistics]] = {}
    for each in groups:
        if each.revision == revision and each.arm in ANSWERED:
            by_key.setdefault((each.segment, each.value), []).append(each.statistics)
    return {key: reduce(add, by_key[key]) for key in sorted(by_key)}


def _pictures(
    found: Evaluation, wholes: Mapping[tuple[str, str], Statistics], spec: Spec, asked: Asked
) -> dict[str, Any]:
    """Days of the metrics that matter most, and curves; `groups`: rates of those that `fairness` names."""
    positive, whole = positive_of(spec), wholes.get(("", ""), Statistics())
    days: dict[str, list[Statistics]] = {}
    for each in found.groups:
        if each.revision == asked.revision and each.arm in ANSWERED and not each.segment:
            days.setdefault(each.day, []).append(each.statistics)
    names = asked.metrics or tuple(values(whole, positive))
    made = pictures({day: reduce(add, days[day]) for day in days}, whole, names, positive, BRIEF)
    if spec.fairness is not None and positive is not None:
        groups = {cut(value): of for (segment, value), of in wholes.items() if segment == spec.fairness.name}
        made |= {
            "fairness": cut(spec.fairness.name),
            "groups": group_rates(groups, positive, asked.smallest, BRIEF),
        }
    return {name: value for name, value in made.items() if value}


def _fairness(wholes: Mapping[tuple[str, str], Statistics], spec: Spec, asked: Asked) -> list[Row]:
    positive = positive_of(spec)
    if spec.fairness is None or positive is None:
        return []
    tables = {
        value: statistics.confusion
        for (segment, value), statistics in wholes.items()
        if segment == spec.fairness.name and statistics.confusion is not None
    }
    made = []
    for name, parity in PARITIES.items():
        gap = parity(tables, positive, asked.smallest, asked.level)
        if gap is None:
            continue
        groups = [cut(gap.highest), cut(gap.lowest), len(gap.left_out)]
        made.append([name, "difference", *_numbers(gap.difference), *groups])
        if gap.ratio is not None:
            made.append([name, "ratio", *_numbers(gap.ratio), *groups])
    return made


def _concept(watched: Iterable[Mapping[str, Any]], asked: Asked) -> list[Row]:
    """Of the stable arm, all rows first, then the parts with the most evidence."""
    own = [each for each in watched if (each["revision"], each["arm"]) == (asked.revision, STABLE)]
    own.sort(key=lambda each: (bool(each["segment"]), -each["evidence"] / each["needed"]))
    return [
        [
            cut(each["segment"]), cut(each["value"]), each["since"], *(short(each[name]) for name in _NUMBERS),
            short(min(each["evidence"] / each["needed"], MOST)), each["rows"],
        ]
        for each in own[:SHOWN]
    ]  # fmt: skip


def _numbers(each: Estimate) -> Row:
    """Value, low, high and rows; an interval is wider by what cells of scores may be off."""
    low = None if each.low is None else short(each.low - each.within)
    high = None if each.high is None else short(each.high + each.within)
    return [short(each.value), low, high, each.rows]


def short(value: float) -> float:
    return float(f"{value:.7g}")


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
