"""Arms against the stable one: by how much each value differs, with intervals of the levels that are asked for.

An arm's share of the requests changes while a rollout goes on, and so does how hard requests are: of all days together
an arm would look bad whose share was larger when all were hard. So hours are held against hours: of the stable, an hour
counts by as much as the arm has of it, and an hour that one of them has nothing of does not count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from modelward_evaluate.evaluate import STABLE, Buckets
from modelward_evaluate.report import Row, cut, short
from modelward_evaluate.sums import Factors, Group
from modelward_quality.clustered import errors, widened
from modelward_quality.difference import difference
from modelward_quality.estimate import Estimate
from modelward_quality.reweighted import reweighted, weight_of
from modelward_quality.statistics import Statistics, values

Name = Annotated[str, Field(min_length=1, max_length=100)]
Level = Annotated[float, Field(gt=0, lt=1)]


class Pair(BaseModel):
    """`arm` of `revision`, as the log names them, against the stable arm of `against`; `name`: what it is told as;
    `begin`: of its predictions; `levels`: of intervals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    revision: Name
    arm: Name
    against: Name
    begin: AwareDatetime
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=2)]


@dataclass(frozen=True)
class Sides:
    """Of the hours that both have rows of. `stable`: weighted as those of the arm are."""

    arm: Statistics
    stable: Statistics


def sides(found: Iterable[Group], pair: Pair) -> Sides | None:
    """`found`: by the hour. None: there is no hour that both have rows of."""
    arm, stable, both = _both(found, pair)
    if not both:
        return None
    as_of_arm = (reweighted(stable[hour], _factor(arm, stable, hour)) for hour in both)
    return Sides(reduce(add, (arm[hour] for hour in both)), reduce(add, as_of_arm))


def factors(found: Iterable[Group], pair: Pair) -> Factors:
    """What weights of rows are multiplied by for the same two sides, by the hour."""
    arm, stable, both = _both(found, pair)
    return {
        (pair.revision, pair.arm): dict.fromkeys(both, 1.0),
        (pair.against, STABLE): {hour: _factor(arm, stable, hour) for hour in both},
    }


_Hours = Mapping[str, Statistics]


def _both(found: Iterable[Group], pair: Pair) -> tuple[_Hours, _Hours, list[str]]:
    """Sums by the hour of the arm and of the stable, and the hours that both have."""
    known = [each for each in found if not each.segment and datetime.fromisoformat(each.day) >= _floor(pair.begin)]
    arm, stable = (_hours(known, *side) for side in ((pair.revision, pair.arm), (pair.against, STABLE)))
    return arm, stable, sorted(arm.keys() & stable.keys())


def _factor(arm: _Hours, stable: _Hours, hour: str) -> float:
    return weight_of(arm[hour]) / weight_of(stable[hour])


def _floor(begin: datetime) -> datetime:
    """The hour that it is in, without a zone, as hours of groups are written. What came before `begin` within it was
    left out by the evaluation's own beginning, or is of another arm."""
    return begin.astimezone(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)


def _hours(found: Iterable[Group], revision: str, arm: str) -> dict[str, Statistics]:
    own = (each for each in found if (each.revision, each.arm) == (revision, arm))
    return {each.day: each.statistics for each in own if weight_of(each.statistics) > 0}


def told(
    found: Iterable[Group], pairs: Sequence[Pair], positive: str | None, metrics: Iterable[str],
    buckets: Sequence[Buckets] = (),
) -> list[Row]:  # fmt: skip
    """For the message of a Job, for each pair and metric that both have: its name, the metric, value and rows of the
    arm, value and rows of the stable, the difference, and lower and upper end at each level (None: it has no
    interval). `buckets`: of units, for each pair, where rows of one are not independent."""
    known, wanted = tuple(found), tuple(metrics)
    units: Sequence[Buckets | None] = buckets or [None] * len(pairs)
    return [
        row
        for pair, own in zip(pairs, units, strict=True)
        for row in _rows(known, pair, positive, wanted, own)
    ]  # fmt: skip


def _rows(
    found: tuple[Group, ...], pair: Pair, positive: str | None, metrics: tuple[str, ...], units: Buckets | None
) -> Iterator[Row]:
    both = sides(found, pair)
    if both is None:
        return
    unsure: Mapping[str, float] = {}
    freedom = 0.0
    if units is not None:
        unsure, freedom = errors(units[pair.revision, pair.arm], units[pair.against, STABLE], positive)
    by_level = [_values(both, positive, level) for level in pair.levels]
    for name in metrics:
        if any(name not in side for side in by_level[0]):
            continue
        arm, stable = (side[name] for side in by_level[0])
        gaps = [difference(own[name], other[name]) for own, other in by_level]
        if units is not None:
            gaps = [
                widened(gap, unsure.get(name), freedom, level) for gap, level in zip(gaps, pair.levels, strict=True)
            ]  # fmt: skip
        yield [
            cut(pair.name), name, short(arm.value), arm.rows, short(stable.value), stable.rows, short(gaps[0].value),
            [_ends(gap) for gap in gaps],
        ]  # fmt: skip


def _values(both: Sides, positive: str | None, level: float) -> tuple[Mapping[str, Estimate], Mapping[str, Estimate]]:
    return values(both.arm, positive, level), values(both.stable, positive, level)


def _ends(gap: Estimate) -> tuple[float | None, float | None]:
    """Wider by what cells of scores may be off."""
    if gap.low is None or gap.high is None:
        return None, None
    return short(gap.low - gap.within), short(gap.high + gap.within)
