"""Fields of JSON that others wrote, as what they have to be. What is something else is a ValueError that names it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from modelward_inference.drift_report.worth import Measure

LATEST: Final = 2e11
"""Seconds since the epoch that can be shown, as the operator has them."""


def table(raw: Any, name: str) -> Mapping[str, Any]:
    """Empty where it is absent."""
    found = raw.get(name)
    if not isinstance(found, Mapping | None):
        raise ValueError(f"{name} is no object")
    return found or {}


def tables(raw: Any, name: str) -> Iterator[Mapping[str, Any]]:
    for each in listed(raw, name):
        if not isinstance(each, Mapping):
            raise ValueError(f"{name} has something that is no object")
        yield each


def listed(raw: Any, name: str) -> Sequence[Any]:
    """Empty where it is absent."""
    found = raw.get(name)
    if not isinstance(found, list | None):
        raise ValueError(f"{name} is no list")
    return found or []


def text(raw: Any) -> str:
    """Empty where there is none."""
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is no text")
    return raw


def number(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not isfinite(raw):
        raise ValueError(f"{raw!r} is no number")
    return float(raw)


def maybe(raw: Any) -> float | None:
    return None if raw is None else number(raw)


def rows(raw: Any) -> int:
    found = number(raw)
    if found < 0:
        raise ValueError(f"{raw!r} is no number of rows")
    return int(found)


def counts(raw: Any, name: str) -> dict[str, int]:
    return {text(key): rows(value) for key, value in table(raw, name).items()}


def measure(value: Any, low: Any, high: Any, of: Any) -> Measure:
    return Measure(number(value), maybe(low), maybe(high), rows(of))


def estimate(raw: Mapping[str, Any]) -> Measure:
    """As the evaluator writes one; an interval is wider by what cells of scores may be off."""
    found, within = measure(raw["value"], raw["low"], raw["high"], raw["rows"]), number(raw.get("within", 0.0))
    low = None if found.low is None else found.low - within
    return Measure(found.value, low, None if found.high is None else found.high + within, found.rows)


def seconds(raw: Any) -> float:
    """Since the epoch, of a time that can be shown."""
    found = number(raw)
    if not 0 <= found <= LATEST:
        raise ValueError(f"{raw!r} is no time in seconds since 1970")
    return found


def moment(raw: Any) -> float:
    """Seconds since the epoch of a time or a day in ISO 8601; without a zone it is UTC."""
    found = datetime.fromisoformat(text(raw))
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
