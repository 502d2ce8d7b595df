"""What an evaluation said, as it is kept: the message of its pod, word for word, and of which days it is.

Invariant: what is stored is as long as a pod's message, whatever was asked for. Failure: a message that is none of ours
is a ValueError; whoever made the pod may have written it.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

import msgspec

from modelward.api.driftpolicy import Spec
from modelward.api.quality import Quality
from modelward.net.untrusted import decoded, printable
from modelward.values.durations import period
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, known

PREFIX: Final = "modelward-quality:"
VERSION: Final = 1

UNPACKED: Final = 256 * 1024
"""Bytes of a message at most: 4096 may be packed out of very many."""

PARTS: Final = 300
"""Values by segment; a message of ours has a third of it."""

NAME: Final = 100
"""Characters of a name; whoever made the pod may have written another one."""

DAY: Final = 86400.0

METRICS: Final = 2
"""Of which days are remembered."""

HISTORY: Final = 60
"""Days that are remembered of each of them."""

OUTCOMES: Final = "outcomes"
"""Of what there were no files at all."""

PREDICTIONS: Final = "predictions"


@dataclass(frozen=True)
class Value:
    """`low`, `high`: None where there is no interval; `rows`: behind it."""

    value: float
    low: float | None
    high: float | None
    rows: int


@dataclass(frozen=True)
class Gap:
    """How far groups are apart. `what`: difference or ratio; `left_out`: how many groups were too small."""

    name: str
    what: str
    value: Value
    highest: str
    lowest: str
    left_out: int


@dataclass(frozen=True)
class Shift:
    """Of the loss, in a part of the rows (both empty: in all). `since`: the day that most likely began it, seconds
    since the epoch; `rise`: since then, with its interval; `before`: the mean loss until then; `evidence`: in units of
    what an alarm needs."""

    segment: str
    part: str
    since: float
    rise: Value
    before: float
    evidence: float

    @property
    def alarm(self) -> bool:
        return self.evidence >= 1


@dataclass(frozen=True)
class PastDay:
    """A metric's value of the matured predictions of one day. `day`: as 2026-01-31."""

    day: str
    revision: str
    metric: str
    value: Value


@dataclass(frozen=True)
class Measured:
    """Of a cohort. `values`, `before`: of all rows by metric; `parts`: segment, its value, metric, and the value of
    that; `counts`: what became of predictions and outcomes; `nothing`: of what there was no file, None: there were;
    `shifts`: whether the loss has risen, where that was asked for; `days`: of the metrics that matter most."""

    revision: str
    rows: int
    counts: Mapping[str, int]
    values: Mapping[str, Value]
    before: Mapping[str, Value]
    parts: tuple[tuple[str, str, str, Value], ...]
    gaps: tuple[Gap, ...]
    nothing: str | None = None
    shifts: tuple[Shift, ...] = ()
    days: tuple[PastDay, ...] = ()

    @property
    def coverage(self) -> float | None:
        """The share of matured predictions that an outcome came for; None: there are none."""
        matured = self.counts.get("matured", 0)
        return self.counts.get("withOutcome", 0) / matured if matured else None

    @property
    def is_silent(self) -> bool:
        """Nothing came at all: what is assumed of who has none would be a value made of nothing."""
        return self.nothing == OUTCOMES or (self.coverage == 0 and self.nothing is None)


Rows = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Of which each is a float, too."""

Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]

Moment = Annotated[float, msgspec.Meta(ge=0.0, le=2e11)]
"""Seconds since the epoch that can be shown."""

_Level = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class AnyMessage(Stored):
    """What every message has. `counts`: what became of predictions and outcomes; `nothing`: of what there was no
    file, None: there were."""

    v: int
    revision: str
    rows: Rows
    nothing: str | None = None
    counts: dict[str, Rows] = msgspec.field(default_factory=dict)


Message = TypeVar("Message", bound=AnyMessage)


_Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]


class _Pictures(Stored):
    """What a report draws; the operator itself makes use of the days alone."""

    days: tuple[tuple[_Date, str, Number, Number | None, Number | None, Rows], ...] = ()


class _Message(AnyMessage):
    values: tuple[tuple[str, str, str, Number, Number | None, Number | None, Rows], ...] = ()
    before: tuple[tuple[str, Number, Number | None, Number | None, Rows], ...] = ()
    fairness: tuple[tuple[str, str, Number, Number | None, Number | None, Rows, str, str, Rows], ...] = ()
    concept: tuple[tuple[str, str, str, Number, Number, Number, Number, Number, Rows], ...] = ()
    pictures: _Pictures | None = None
    dropped: int = 0


def unpacked(kind: type[Message], message: str) -> Message:
    """What a Job's pod says. Raises ValueError."""
    if not message.startswith(PREFIX):
        raise ValueError("it is no result of an evaluation")
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(base64.b85decode(message.removeprefix(PREFIX)), UNPACKED)
        if not unpack.eof:
            raise ValueError("it is cut off, or too long")
        told = known(kind, decoded(text))
    except (zlib.error, RecursionError, OverflowError) as error:
        raise ValueError(f"it can't be unpacked: {error}") from error
    if told.v != VERSION:
        raise ValueError(f"it is of version {told.v}, and this operator reads {VERSION}")
    return told


@lru_cache(maxsize=512)
def read_message(message: str) -> Measured:
    """The inverse of modelward_evaluate.report.pack. Raises ValueError."""
    told = unpacked(_Message, message)
    return Measured(
        revision=_name(told.revision),
        rows=told.rows,
        counts=told.counts,
        values=dict([(_name(each[2]), Value(*each[3:])) for each in told.values if not each[0]][:PARTS]),
        before={_name(each[0]): Value(*each[1:]) for each in told.before},
        # Each once, as metrics must have them, whoever has written it.
        parts=tuple((*key, value) for key, value in _parts(told).items())[:PARTS],
        gaps=tuple({each[:2]: _gap(each) for each in told.fairness[:PARTS]}.values()),
        nothing=told.nothing,
        shifts=tuple({each[:2]: _shift(each) for each in told.concept[:PARTS]}.values()),
        days=_days(told)[:PARTS],
    )


def _days(told: _Message) -> tuple[PastDay, ...]:
    """Each once, of as many metrics as are remembered. Raises ValueError where a day is none."""
    drawn = told.pictures.days if told.pictures is not None else ()
    for day, *_ in drawn:
        date.fromisoformat(day)
    names = tuple(dict.fromkeys(each[1] for each in drawn))[:METRICS]
    found = {each[:2]: each for each in drawn if each[1] in names}
    return tuple(PastDay(each[0], _name(told.revision), _name(each[1]), Value(*each[2:])) for each in found.values())


def with_days(history: Sequence[PastDay], told: Sequence[PastDay]) -> tuple[PastDay, ...]:
    """The last days of what is known, in the order of time. Cohorts overlap, and begin and end within days: of a day
    that was told before, what was said of more rows stays."""
    found: dict[tuple[str, str, str], PastDay] = {}
    for each in (*history, *told):
        key = (each.metric, each.day, each.revision)
        if key not in found or each.value.rows >= found[key].value.rows:
            found[key] = each
    kept: list[PastDay] = []
    for metric in tuple(dict.fromkeys(each.metric for each in (*told, *history)))[:METRICS]:
        own = sorted((each for each in found.values() if each.metric == metric), key=lambda each: each.day)
        kept += own[-HISTORY:]
    return tuple(sorted(kept, key=lambda each: (each.day, each.revision, each.metric)))


def _shift(told: tuple[str, str, str, float, float, float, float, float, int]) -> Shift:
    """Raises ValueError where the day is none."""
    segment, part, day, rise, low, high, before, evidence, rows = told
    since = datetime.combine(date.fromisoformat(day[:10]), time(), UTC).timestamp()
    return Shift(_name(segment), _name(part), since, Value(rise, low, high, rows), before, evidence)


def _parts(told: _Message) -> dict[tuple[str, str, str], Value]:
    return {(_name(each[0]), _name(each[1]), _name(each[2])): Value(*each[3:]) for each in told.values if each[0]}


def _gap(told: tuple[str, str, float, float | None, float | None, int, str, str, int]) -> Gap:
    name, what, value, low, high, rows, highest, lowest, left_out = told
    return Gap(_name(name), _name(what), Value(value, low, high, rows), _name(highest), _name(lowest), left_out)


def _name(text: str) -> str:
    """As status and metrics may carry it."""
    return printable(text[:NAME])


@dataclass(frozen=True)
class Problem:
    """Why nothing is measured (any more). `reason`: one CamelCase word; `message`: the cause and the cure."""

    reason: str
    message: str


@dataclass(frozen=True)
class Reference:
    """Of the revision's first cohort. `level`: of its intervals; `end`: of its days."""

    revision: str
    basis: str
    end: Moment
    level: _Level
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Cohort:
    """What an evaluation is of. `slot`: the time that it was due, as which it knows outcomes; `begin`, `end`: of the
    predictions, all in seconds since the epoch; `level`: of the intervals; `basis`: what makes its values what they
    are."""

    slot: Moment
    begin: Moment
    end: Moment
    level: _Level
    basis: str


@dataclass(frozen=True)
class Kept:
    """What is remembered of a target's quality. `done`, `slot`: the Job that was dealt with last, and when it was due;
    `cohort`, `message`: of the last that said something; `at`: when; `first`: what a fall is measured against; `job`:
    the one that evaluates now; `history`: of the metrics that matter most, by day, which a report draws."""

    done: str | None = None
    slot: float | None = None
    cohort: Cohort | None = None
    message: str = ""
    at: float | None = None
    first: Reference | None = None
    problem: Problem | None = None
    job: str | None = None
    history: tuple[PastDay, ...] = ()
    measured: Measured | None = field(default=None, compare=False)
    """What `message` says."""

    def of_now(self, revision: str, spec: Spec) -> tuple[Measured, Cohort] | None:
        """What was measured of this revision as spec asks for it now; None: nothing was."""
        measured, cohort = self.measured, self.cohort
        if measured is None or cohort is None or measured.revision != revision or cohort.basis != basis_of(spec):
            return None
        return measured, cohort


def window_of(quality: Quality) -> float:
    """Seconds that outcomes are waited for."""
    return period(quality.label_window) if quality.label_window else 0.0


def basis_of(spec: Spec) -> str:
    """A hash of all that a metric's value depends on: values of another one are not comparable."""
    quality = spec.quality
    assert quality is not None
    expression = quality.business.expression if quality.business else None
    of_batches = {} if quality.predictions is None else {"predictions": repr(quality.predictions)}
    return content_hash({
        "task": repr(quality.task), "outcomes": repr(quality.outcomes), "window": quality.label_window,
        "business": expression, **of_batches,
    })  # fmt: skip


def cohort_of(spec: Spec, slot: float, level: float) -> Cohort:
    """The predictions whose label window was over at `slot`, of spec.quality.days."""
    assert spec.quality is not None
    end = slot - window_of(spec.quality)
    return Cohort(slot, end - spec.quality.days * DAY, end, level, basis_of(spec))


class StoredKept(Stored):
    """As memory has it."""

    done: str | None = None
    slot: Moment | None = None
    cohort: Cohort | None = None
    message: str = ""
    at: Moment | None = None
    first: Reference | None = None
    problem: Problem | None = None
    job: str | None = None
    history: tuple[tuple[_Date, str, str, Number, Number | None, Number | None, Rows], ...] = ()

    def value(self) -> Kept:
        """What can't be read of a message counts as not said: the next Job says it anew."""
        try:
            measured = read_message(self.message) if self.message else None
        except ValueError:
            measured = None
        if self.message and (measured is None or self.cohort is None):
            return Kept(first=self.first, problem=self.problem, job=self.job, history=self.past)
        return Kept(
            self.done, self.slot, self.cohort, self.message, self.at, self.first, self.problem, self.job, self.past,
            measured,
        )  # fmt: skip

    @property
    def past(self) -> tuple[PastDay, ...]:
        return tuple(PastDay(*each[:3], Value(*each[3:])) for each in self.history[-METRICS * HISTORY :])


def show_kept(kept: Kept) -> dict[str, Any]:
    """The inverse of StoredKept.value, as JSON."""
    first = kept.first
    shown: dict[str, Any] = {
        "done": kept.done,
        "slot": kept.slot,
        "cohort": None if kept.cohort is None else dict(vars(kept.cohort)),
        "message": kept.message,
        "at": kept.at,
        "first": None
        if first is None
        else {**vars(first), "values": {name: dict(vars(each)) for name, each in first.values.items()}},
        "problem": None if kept.problem is None else dict(vars(kept.problem)),
        "job": kept.job,
        "history": [[each.day, each.revision, each.metric, *vars(each.value).values()] for each in kept.history],
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}
