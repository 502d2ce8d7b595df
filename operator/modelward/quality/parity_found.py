"""What a check of feature parity said, as it is kept: the message of its pod, word for word, and of which days it is.

Invariant: what is stored is as long as a pod's message, but for the days since which columns are unequal. Failure: a
message that is none of ours is a ValueError; whoever made the pod may have written it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from modelward.net.untrusted import printable
from modelward.quality.kept import FAILED
from modelward.quality.measured import NAME, AnyMessage, Moment, Problem, Rows, unpacked
from modelward.quality.parity_job import ParityAbout
from modelward.values.stored import Stored
from modelward.values.times import show_time

COLUMNS: Final = 40
"""That are known of a check, the worst first; a message of ours has no more."""

EXAMPLES: Final = 15

NOTHING_COMPARED: Final = "NothingCompared"


@dataclass(frozen=True)
class ColumnParity:
    """`share`: of its values that are unequal to those of `feature`, with its interval; `unequal`: of `rows`;
    `logged_missing`, `feature_missing`: where one side alone has a value; `is_wrong`: surely more than the threshold;
    `since`: the first day of those up to now on which more than the threshold were, as 2026-01-31; None: the last day
    was well."""

    column: str
    feature: str
    is_wrong: bool
    share: float
    low: float
    high: float
    rows: int
    unequal: int
    logged_missing: int
    feature_missing: int
    since: str | None


@dataclass(frozen=True)
class Example:
    """A value of a request that is unequal."""

    column: str
    request_id: str
    row: str
    logged: str
    feature: str


@dataclass(frozen=True)
class ParityFound:
    """`rows`: that were compared; `checked`, `unequal`: how many columns were, and are surely unequal; `columns`: the
    worst first; `nothing`: of what there was no file, None: there were."""

    revision: str
    rows: int
    counts: Mapping[str, int]
    checked: int
    unequal: int
    columns: tuple[ColumnParity, ...]
    examples: tuple[Example, ...] = ()
    nothing: str | None = None

    @property
    def wrong(self) -> tuple[ColumnParity, ...]:
        return tuple(each for each in self.columns if each.is_wrong)


_Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Column = tuple[str, str, int, _Share, _Share, _Share, Rows, Rows, Rows, Rows, _Day | None]


_Columns = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
"""As many as status may have of them: an API server refuses the whole status for a larger number."""


class _Message(AnyMessage):
    checked: _Columns = 0
    unequal: _Columns = 0
    columns: tuple[_Column, ...] = ()
    examples: tuple[tuple[str, str, str, str, str], ...] = ()


@lru_cache(maxsize=512)
def read_parity(message: str) -> ParityFound:
    """What the pod of a Job said. Raises ValueError."""
    told = unpacked(_Message, message)
    columns: dict[str, ColumnParity] = {}
    for column, feature, wrong, *numbers in told.columns[:COLUMNS]:
        name = _name(column)
        columns.setdefault(name, ColumnParity(name, _name(feature), bool(wrong), *numbers))  # type: ignore[arg-type]
    examples = tuple(Example(*map(_name, each)) for each in told.examples[:EXAMPLES])
    return ParityFound(
        _name(told.revision), told.rows, told.counts, told.checked, told.unequal, tuple(columns.values()), examples,
        told.nothing,
    )  # fmt: skip


def _name(text: str) -> str:
    """As status and metrics may carry it."""
    return printable(text[:NAME])


@dataclass(frozen=True)
class ParityKept:
    """What is remembered of a target's feature parity. `done`, `slot`: the Job that was dealt with last, and when it
    was due; `basis`: of what was found; `begin`, `end`: of the requests that were compared; `message`: of the last that
    said something; `at`: when; `since`: the day since which a column is unequal, by column; `job`: the one that checks
    now."""

    done: str | None = None
    slot: float | None = None
    basis: str = ""
    begin: float | None = None
    end: float | None = None
    message: str = ""
    at: float | None = None
    since: Mapping[str, str] = field(default_factory=dict, hash=False)
    problem: Problem | None = None
    job: str | None = None
    found: ParityFound | None = field(default=None, compare=False)
    """What `message` says."""


def parity_succeeded(kept: ParityKept, name: str, about: ParityAbout, message: str, at: float) -> ParityKept:
    """`name`: of the Job; `message`: of its pod; `at`: when it ended."""
    try:
        found = read_parity(message)
    except ValueError as error:
        told = f"The Job {name} ended well, but what it said can't be read: {error}"
        return parity_failed(kept, name, about, f"{told}. Install operator and evaluator of the same version")
    done = replace(kept, done=name, slot=about.slot, problem=None, job=None)
    if not found.rows:
        return replace(done, problem=Problem(NOTHING_COMPARED, _silent(about, found)))
    before = kept.since if kept.basis == about.asked else {}
    since = {each.column: min(each.since, before.get(each.column, each.since)) for each in found.wrong if each.since}
    return replace(
        done, basis=about.asked, begin=about.begin, end=about.end, message=message, at=at, since=since, found=found
    )  # fmt: skip


def parity_failed(kept: ParityKept, name: str, about: ParityAbout, message: str) -> ParityKept:
    """What was found before stays, and is told as what it is: of earlier days."""
    return replace(kept, done=name, slot=about.slot, problem=Problem(FAILED, message), job=None)


def _silent(about: ParityAbout, found: ParityFound) -> str:
    """Why no row was compared."""
    days = f"from {show_time(about.begin)} to {show_time(about.end)}"
    predictions = found.counts.get("predictions", 0)
    if found.nothing == "features":
        return "There is no file of features: check spec.parity.features.uri, and that the pipeline writes there"
    if found.nothing == "predictions" or not predictions:
        return f"No prediction of {found.revision} was logged {days}"
    if found.counts.get("withoutKey", 0) == predictions:
        return (
            f"None of {predictions} predictions {days} has a key: send the entity's with each request, or name the "
            "log's column that has it in spec.parity.key"
        )
    return (
        f"No features are known for any of {predictions} predictions {days}: check that spec.parity.features.key has "
        "what requests name their entities by, spec.parity.features.time, and how old features may be (maxAge)"
    )


class StoredParity(Stored):
    """As memory has it."""

    done: str | None = None
    slot: Moment | None = None
    basis: str = ""
    begin: Moment | None = None
    end: Moment | None = None
    message: str = ""
    at: Moment | None = None
    since: dict[str, str] = msgspec.field(default_factory=dict)
    problem: Problem | None = None
    job: str | None = None

    def value(self) -> ParityKept:
        """What can't be read of a message counts as not said: the next Job says it anew."""
        try:
            found = read_parity(self.message) if self.message else None
        except ValueError:
            return ParityKept(problem=self.problem, job=self.job)
        return ParityKept(
            self.done, self.slot, self.basis, self.begin, self.end, self.message, self.at, self.since, self.problem,
            self.job, found,
        )  # fmt: skip


def show_parity(kept: ParityKept) -> dict[str, Any]:
    """The inverse of StoredParity.value, as JSON."""
    shown = {name: value for name, value in vars(kept).items() if name not in ("found", "problem")}
    shown["since"] = dict(kept.since)
    shown["problem"] = None if kept.problem is None else dict(vars(kept.problem))
    return {name: value for name, value in shown.items() if value not in (None, "", {})}
