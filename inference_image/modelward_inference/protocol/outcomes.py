"""Outcomes as clients tell them: of which prediction, and what became of it. Pure.

A body is one entry, or `{"outcomes": [entry, …]}`; all of it is right or none of it is taken. Failure: RequestError,
which names the entry and its field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

import orjson

from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.origin import MAX_ID, checked_key
from modelward_inference.protocol.tensors import kind_of, shown

MAX_BODY: Final = 1 << 20
"""Bytes, also after decompression."""

MAX_ENTRIES: Final = 1000

MAX_MARKS: Final = 32 * MAX_ENTRIES
"""Commas and brackets of a body: an entry has a dozen, and texts with some in them have room. A mebibyte of `{},` takes
a hundred times as long to read as outcomes do, and whoever reads it keeps everybody else waiting."""

FIELDS: Final = ("request_id", "key", "row", "value", "time", "weight")

MAX_VALUE: Final = 256
"""Bytes of a label."""

LARGEST: Final = 1e60
LIGHTEST, HEAVIEST = 1e-20, 1e20
"""Of numbers, and of weights above 0: the evaluator sums squares of them (modelward_evaluate)."""

MAX_ROW: Final = 2**31 - 1

SKEW: Final = 300.0
"""Seconds that a client's clock may be ahead."""

YEARS: Final = range(1970, 2201)


@dataclass(frozen=True)
class Outcome:
    """`value`: as text: numbers as JSON has them, truths as `true` and `false`; `time`: microseconds since the epoch,
    None: as `weight` and `row`, it was not said. One of `request_id` and `key` is there at least."""

    value: str
    request_id: str | None = None
    key: str | None = None
    row: int | None = None
    time: int | None = None
    weight: float | None = None


def read(body: bytes, now: float) -> list[Outcome]:
    """`now`: seconds since the epoch. Raises RequestError."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_MARKS:
        raise RequestError(
            f"the body has more than {MAX_MARKS} commas and brackets; send {MAX_ENTRIES} outcomes at a time at most",
            413,
        )
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(f'the body must be an outcome, or {{"outcomes": [...]}}, not {kind_of(document)}')
    if "outcomes" not in document:
        return [_entry(document, "", now)]
    entries = document["outcomes"]
    if unknown := sorted(set(document) - {"outcomes"}):
        raise RequestError(f"{shown(unknown[0])} beside outcomes is unknown; each outcome has its own fields")
    if not isinstance(entries, list) or not entries:
        raise RequestError(f"outcomes must be a list of 1 to {MAX_ENTRIES} outcomes, not {_what(entries)}")
    if len(entries) > MAX_ENTRIES:
        raise RequestError(f"outcomes has {len(entries)} entries; send {MAX_ENTRIES} at a time at most", 413)
    return [_entry(each, f"outcomes[{index}]", now) for index, each in enumerate(entries)]


def _what(entries: Any) -> str:
    return "an empty one" if entries == [] else kind_of(entries)


def _entry(raw: Any, where: str, now: float) -> Outcome:
    if not isinstance(raw, dict):
        raise RequestError(f"{where} must be an object, not {kind_of(raw)}")
    at = f"{where}." if where else ""
    if unknown := sorted(set(raw) - set(FIELDS)):
        raise RequestError(f"{at}{shown(unknown[0])} is unknown; an outcome has {', '.join(FIELDS)}")
    said = {name: each for name, each in raw.items() if each is not None}
    if "request_id" not in said and "key" not in said:
        raise RequestError(
            f"{where or 'the outcome'} has neither request_id (the answer's x-request-id) nor key (your own, as it was "
            "sent with the request)"
        )
    if "value" not in said:
        raise RequestError(f"{at}value is missing: say what became of the prediction")
    return Outcome(
        _value(said["value"], f"{at}value"),
        _request_id(said, f"{at}request_id"),
        checked_key(said["key"], f"{at}key") if "key" in said else None,
        _row(said, f"{at}row"),
        _time(said, f"{at}time", now),
        _weight(said, f"{at}weight"),
    )


def _value(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not isfinite(value) or abs(value) > LARGEST:
            raise RequestError(f"{where} must be within ±{LARGEST:g}, not {shown(value)}")
        return repr(value)
    if not isinstance(value, str) or not value.strip() or len(value.encode()) > MAX_VALUE:
        raise RequestError(f"{where} must be a number, true or false, or a text of 1 to {MAX_VALUE} bytes")
    return value


def _request_id(said: Mapping[str, Any], where: str) -> str | None:
    value = said.get("request_id")
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID or not value.isprintable():
        raise RequestError(f"{where} must be the answer's x-request-id, printable text of 1 to {MAX_ID} characters")
    return value


def _row(said: Mapping[str, Any], where: str) -> int | None:
    value = said.get("row")
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_ROW):
        raise RequestError(f"{where} must be the number of a row of the request, from 0, not {shown(value)}")
    return value


def _time(said: Mapping[str, Any], where: str, now: float) -> int | None:
    value = said.get("time")
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise RequestError(f"{where} must be a time such as 2026-01-31T07:00:00Z, not {shown(value)}") from None
    if moment.year not in YEARS:
        raise RequestError(f"{where} must be of the years {YEARS[0]} to {YEARS[-1]}, not {shown(value)}")
    if moment.timestamp() > now + SKEW:
        raise RequestError(f"{where} is {shown(value)}, which is yet to come")
    return round(moment.timestamp() * 1e6)


def _weight(said: Mapping[str, Any], where: str) -> float | None:
    value = said.get("weight")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (value == 0 or LIGHTEST <= value <= HEAVIEST):
        raise RequestError(f"{where} must be 0, or {LIGHTEST:g} to {HEAVIEST:g}, not {shown(value)}")
    return float(value)
