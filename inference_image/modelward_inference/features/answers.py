"""Questions to a Feast feature server, and what becomes of its answers: values by name, ages, the definitions. Pure.

https://docs.feast.dev/reference/feature-servers/python-feature-server. Feast's own Python server says PRESENT of
whatever its store has, however old, and of nulls: a value's age is told by its timestamp alone. Other servers of the
protocol say NULL_VALUE and OUTSIDE_MAX_AGE. Timestamps of 1970 are of what has none: keys, and what is computed on
demand. Invariant: each value that was looked for is counted once, by one of OUTCOMES.
Failure: AnswerError, whose reason is one of REASONS; MissingFeaturesError for rows that the rules refuse.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.features.settings import DEFAULT, REFUSE, FeatureSettings
from modelward_inference.features.wanted import Keys, Wanted, has_rule
from modelward_inference.protocol.messages import Input
from modelward_inference.protocol.tensors import shown

PRESENT = "present"
AGELESS = "present_ageless"
OUTCOMES: Final = (
    PRESENT, AGELESS, "missing_refused", "missing_null", "missing_default", "stale_refused", "stale_used",
)  # fmt: skip
"""What became of a value: as the store has it, with maxAge though nobody knows its age; or missing or stale, and by
which rule."""

MALFORMED, DEFINITIONS, DATATYPES, UNTIMED = "malformed", "definitions", "types", "untimed"
"""Why an answer is of no use: it is none; it has other features than the model takes, or than are pinned; values are of
another type than the model takes; it has no event timestamps, and maxAge wants them."""

_MISSING: Final = frozenset({"NOT_FOUND", "NULL_VALUE"})
_STALE: Final = "OUTSIDE_MAX_AGE"
_STATUSES: Final = _MISSING | {"PRESENT", _STALE}

_ALLOWED: Final[Mapping[str, set[type]]] = {"f": {int, float, bool}, "O": {str}, "b": {bool}}
"""Types of values, by the kind of an array; others have whole numbers. Truths count as 0 and 1, as in a data frame."""

MAX_TOLD: Final = 3
"""Values that a refusal names."""

_SPECIAL: Final = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}
"""Of numbers, as protobuf writes them in JSON. NaN is what a data frame has for nothing."""


class AnswerError(Exception):
    """The store's fault, or that of what is set up for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingFeaturesError(Exception):
    """Values that the rules refuse. `counts`: of all values of the answer."""

    def __init__(self, message: str, counts: Mapping[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


@dataclass(frozen=True)
class Found:
    """What the store has, as inputs of the model. `counts`: by outcome; `digest`: of the definitions."""

    inputs: tuple[Input, ...]
    counts: Mapping[str, int]
    digest: str


@dataclass(frozen=True)
class Answer:
    """`names`: VIEW__FEATURE, or a key's; `values`, `statuses`, `times`: by name, then by row. `times`: as text, empty
    where the server tells none."""

    names: tuple[str, ...]
    values: Sequence[Sequence[Any]]
    statuses: Sequence[Sequence[str]]
    times: Sequence[Sequence[str]]
    views: Mapping[str, int]


def question(settings: FeatureSettings, keys: Keys) -> bytes:
    """The body of POST /get-online-features."""
    return orjson.dumps({
        "feature_service": settings.service,
        "entities": keys.columns,
        "full_feature_names": True,  # two views may have a feature of the same name
        "include_feature_view_version_metadata": True,
    })  # fmt: skip


def read(body: bytes, rows: int) -> Answer:
    """Raises AnswerError."""
    try:
        raw = orjson.loads(body)
        results, told = raw["results"], raw["metadata"]
        names = told["feature_names"]
        if isinstance(names, Mapping):  # as protobuf's own JSON has it
            names = names["val"]
        views = {str(each["name"]): int(each.get("version", 0)) for each in told.get("feature_view_metadata") or ()}
        columns = [(each["values"], each["statuses"], each.get("event_timestamps") or []) for each in results]
    except (ValueError, TypeError, LookupError, AttributeError):
        raise _malformed("it is none of Feast's") from None
    lists = isinstance(names, list) and all(isinstance(part, list) for column in columns for part in column)
    if not lists or len(names) != len(columns) or not all(isinstance(each, str) for each in names):
        raise _malformed("its values have no names")
    for values, statuses, times in columns:
        if len(values) != rows or len(statuses) != rows or (times and len(times) != rows):
            raise _malformed(f"it has not one value for each of {rows} rows")
        if not all(isinstance(each, str) and each in _STATUSES for each in statuses):
            raise _malformed("it has a status that Feast has not")
    sides = list(zip(*columns, strict=True)) or [(), (), ()]
    return Answer(tuple(names), sides[0], sides[1], sides[2], views)


def digest_of(settings: FeatureSettings, answer: Answer) -> str:
    """Of the definitions behind an answer: the feature service, its features, and the versions of their views."""
    keys = {each.name for each in settings.entities}
    told = {
        "service": settings.service,
        "features": sorted(each for each in answer.names if each not in keys),
        "views": answer.views,
    }
    return f"sha256:{hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def found(settings: FeatureSettings, keys: Keys, answer: Answer, now: float) -> Found:
    """What the model gets. `now`: seconds since the epoch. Raises AnswerError, MissingFeaturesError."""
    digest = digest_of(settings, answer)
    if settings.digest is not None and digest != settings.digest:
        raise AnswerError(
            DEFINITIONS,
            f"feature service {settings.service!r} has the definitions {digest}, and spec.features.digest pins "
            f"{settings.digest}",
        )
    counts: Counter[str] = Counter()
    refused: list[str] = []
    ages = _Ages(now)
    inputs = []
    for wanted in keys.lacking:
        place = _place(answer, wanted.name, settings)
        column = _column(settings, keys, wanted, answer, place, ages, counts, refused)
        if not refused:
            inputs.append(Input(wanted.name, wanted.datatype, _array(column, wanted)))
    if refused:
        more = len(refused) - MAX_TOLD
        told = "; ".join(refused[:MAX_TOLD]) + (f"; and {more} more" if more > 0 else "")
        raise MissingFeaturesError(f"features can't be had: {told}", counts)
    return Found(tuple(inputs), counts, digest)


def _column(
    settings: FeatureSettings,
    keys: Keys,
    wanted: Wanted,
    answer: Answer,
    place: int,
    ages: "_Ages",
    counts: Counter[str],
    refused: list[str],
) -> list[Any]:
    """A feature's values, with the rules applied."""
    values, statuses, times = answer.values[place], answer.statuses[place], answer.times[place]
    floats = DTYPES[wanted.datatype].kind == "f"
    goes_on = has_rule(settings, wanted)
    column = []
    for row, status in enumerate(statuses):
        value = None if status in _MISSING else values[row]
        if floats and isinstance(value, str) and value in _SPECIAL:
            value = _SPECIAL[value]
        if value is None and status != _STALE:
            outcome, value = _missing(settings, wanted, goes_on=goes_on)
            if outcome == "missing_refused":
                why = "the store has no such entity" if status == "NOT_FOUND" else "the store has no value"
                refused.append(_told(wanted, keys, row, why))
        else:
            limited = settings.max_age is not None
            if limited and not times and status != _STALE:
                raise AnswerError(
                    UNTIMED, f"the feature server tells no event timestamps of {wanted.name!r}, so that "
                    "spec.features.maxAge can't be held; leave maxAge out, or ask a feature server that tells them",
                )  # fmt: skip
            age = ages.of(times[row]) if limited and times else None
            outcome = AGELESS if limited and age is None else PRESENT
            if status == _STALE or (age is not None and settings.max_age is not None and age > settings.max_age):
                outcome = "stale_refused" if settings.on_stale == REFUSE else "stale_used"
                if outcome == "stale_used" and value is None:  # the server keeps it back
                    outcome, value = _missing(settings, wanted, goes_on=goes_on)
                if outcome in ("stale_refused", "missing_refused"):
                    told = "" if age is None else f" ({age:.0f} s)"
                    refused.append(_told(wanted, keys, row, f"its value is too old{told}"))
        counts[outcome] += 1
        column.append(value)
    return column


def _missing(settings: FeatureSettings, wanted: Wanted, *, goes_on: bool) -> tuple[str, Any]:
    if not goes_on:
        return "missing_refused", None
    return ("missing_default", wanted.default) if settings.on_missing == DEFAULT else ("missing_null", None)


def _told(wanted: Wanted, keys: Keys, row: int, why: str) -> str:
    whose = ", ".join(f"{name}={shown(values[row])}" for name, values in keys.columns.items())
    return f"{wanted.name} of row {row} ({whose}): {why}"


class _Ages:
    """Of timestamps, of which there are few different ones."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._known: dict[str, float | None] = {}

    def of(self, text: Any) -> float | None:
        """Seconds; None where it is not known. Raises AnswerError."""
        if not isinstance(text, str):
            raise _malformed("it has a time that is none")
        if text not in self._known:
            try:
                when = datetime.fromisoformat(text)
                seconds = when.timestamp() if when.tzinfo is not None else None
            except (ValueError, OverflowError):
                seconds = None
            if seconds is None:
                raise _malformed("it has a time that is none")
            self._known[text] = None if seconds == 0.0 else self._now - seconds
        return self._known[text]


def _place(answer: Answer, wanted: str, settings: FeatureSettings) -> int:
    """Of the feature of that name: VIEW__FEATURE, or FEATURE where one view has it.

    Names of features may have two underscores themselves: of what begins with a view that the answer names, the rest
    is the feature. It does not name all: one may have another name in the feature service, or be computed on demand.
    """
    names = answer.names
    if wanted in names:
        return names.index(wanted)
    known, keys = tuple(f"{view}__" for view in answer.views), {each.name for each in settings.entities}
    found = [
        place for place, name in enumerate(names)
        if name.endswith(f"__{wanted}") and name not in keys
        and (name.removesuffix(wanted) in known or not name.startswith(known))
    ]  # fmt: skip
    if len(found) == 1:
        return found[0]
    if not found:
        raise AnswerError(
            DEFINITIONS, f"feature service {settings.service!r} has no feature {wanted!r}, which the model takes"
        )
    several = ", ".join(names[place] for place in found)
    raise AnswerError(
        DEFINITIONS, f"feature service {settings.service!r} has {wanted!r} several times: {several[:300]}; call the "
        "model's input by one of these",
    )  # fmt: skip


def _array(column: list[Any], wanted: Wanted) -> Array:
    """(rows, 1), of the model's type. Raises AnswerError."""
    dtype = DTYPES[wanted.datatype]
    kinds = set(map(type, column)) - ({type(None)} if wanted.nullable else set())
    allowed = _ALLOWED.get(dtype.kind, {int, bool})
    if not kinds <= allowed:
        odd = next(iter(kinds - allowed)).__name__
        raise AnswerError(
            DATATYPES, f"feature {wanted.name!r} has a value of type {odd}, and the model takes {wanted.datatype}"
        )
    try:
        if dtype.kind == "O":
            array = np.empty(len(column), dtype=object)
            array[:] = column
        elif dtype.kind == "f":
            with np.errstate(over="raise"):
                array = np.array(column, dtype=np.float64).astype(dtype)
        else:
            array = np.array(column, dtype=dtype)
    except (FloatingPointError, OverflowError):
        raise AnswerError(
            DATATYPES, f"feature {wanted.name!r} has a number that is too large for {wanted.datatype}"
        ) from None
    return array.reshape(-1, 1)


def _malformed(why: str) -> AnswerError:
    return AnswerError(MALFORMED, f"the feature server's answer can't be read: {why}")
