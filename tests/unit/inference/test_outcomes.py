"""Outcomes as clients write them: what they mean, and which entry and field is wrong."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from modelward_inference.protocol import outcomes
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.outcomes import MAX_BODY, MAX_ENTRIES, Outcome, read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def said(document: Any) -> list[Outcome]:
    return read(json.dumps(document).encode(), NOW)


def test_one_outcome_and_many() -> None:
    whole = {"request_id": "q", "key": 7, "row": 2, "value": 1, "time": "2026-03-01T08:00:00+01:00", "weight": 2}
    at = round(datetime(2026, 3, 1, 7, tzinfo=UTC).timestamp() * 1e6)
    assert said(whole) == [Outcome("1", "q", "7", 2, at, 2.0)]
    bare = {"key": "order 1", "value": True, "request_id": None, "row": None, "time": None, "weight": None}
    assert said({"outcomes": [whole, bare]}) == [*said(whole), Outcome("true", None, "order 1")]
    # Without a zone it is UTC, and clocks may differ by minutes.
    assert said({"key": "k", "value": 0, "time": "2026-03-01T12:04:59"})[0].time == round((NOW + 299) * 1e6)


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.0, "1.0"), (0.1, "0.1"), (-1e60, "-1e+60"), (False, "false"), (" spam", " spam")]
)
def test_a_value_is_kept_as_text(value: Any, text: str) -> None:
    assert said({"key": "k", "value": value})[0].value == text


GOOD = {"request_id": "q", "value": 1}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"value": 1}, "neither request_id .* nor key"),
        ({"request_id": None, "value": 1}, "neither request_id"),
        ({"request_id": "q"}, "value is missing"),
        ({"request_id": "q", "value": None}, "value is missing"),
        ({**GOOD, "value": []}, "value must be a number"),
        ({**GOOD, "value": " "}, "value must be a number"),
        ({**GOOD, "value": "x" * 257}, "value must be a number"),
        ({**GOOD, "value": 1e61}, "value must be within"),
        ({**GOOD, "value": 10**70}, "value must be within"),
        ({**GOOD, "request_id": 7}, "request_id must be"),
        ({**GOOD, "request_id": ""}, "request_id must be"),
        ({**GOOD, "request_id": "x" * 129}, "request_id must be"),
        ({**GOOD, "key": "a\nb"}, "key must be printable"),
        ({**GOOD, "key": "x" * 257}, "key must be printable"),
        ({**GOOD, "key": True}, "key must be printable"),
        ({**GOOD, "row": -1}, "row must be"),
        ({**GOOD, "row": 1.5}, "row must be"),
        ({**GOOD, "row": True}, "row must be"),
        ({**GOOD, "row": 2**31}, "row must be"),
        ({**GOOD, "time": 5}, "time must be a time"),
        ({**GOOD, "time": "yesterday"}, "time must be a time"),
        ({**GOOD, "time": "0001-01-01T00:00:00+05:00"}, "time must be"),
        ({**GOOD, "time": "1969-12-31T00:00:00Z"}, "time must be of the years"),
        ({**GOOD, "time": "2026-03-01T12:06:00Z"}, "time is .* yet to come"),
        ({**GOOD, "weight": -1}, "weight must be"),
        ({**GOOD, "weight": 1e-21}, "weight must be"),
        ({**GOOD, "weight": "1"}, "weight must be"),
        ({**GOOD, "weight": True}, "weight must be"),
        ({**GOOD, "wieght": 1}, "wieght is unknown"),
    ],
)
def test_the_entry_and_its_field_are_named(entry: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words) as alone:
        said(entry)
    assert "outcomes[" not in str(alone.value)
    with pytest.raises(RequestError, match=rf"^outcomes\[1\].*{words.removeprefix('time is')}"):
        said({"outcomes": [GOOD, entry]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"key": "k", "value": NaN}', "not valid JSON"),
        (b"[]", "must be an outcome"),
        (b"7", "must be an outcome"),
        (b'{"outcomes": []}', "1 to 1000 outcomes, not an empty one"),
        (b'{"outcomes": {}}', "not an object"),
        (b'{"outcomes": [3]}', r"outcomes\[0\] must be an object, not a number"),
        (b'{"outcomes": [{"key": "k", "value": 1}], "value": 1}', "value beside outcomes is unknown"),
        (b'{"key": "\\ud800", "value": 1}', "not valid JSON"),
    ],
)
def test_what_is_no_outcome_at_all(body: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read(body, NOW)


def test_no_more_than_a_thousand_come_at_a_time() -> None:
    assert len(said({"outcomes": [GOOD] * MAX_ENTRIES})) == MAX_ENTRIES
    with pytest.raises(RequestError, match="1001 entries") as refused:
        said({"outcomes": [GOOD] * (MAX_ENTRIES + 1)})
    assert refused.value.status == 413


@pytest.mark.parametrize("part", [b"{},", b"[],", b'"",', b'{"a":['])
def test_what_would_be_read_for_long_is_refused_before_it_is_read(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one monitor that reads the outcomes of all, between its counts."""
    monkeypatch.setattr(outcomes, "orjson", None)
    with pytest.raises(RequestError, match="commas and brackets; send 1000 outcomes at a time at most") as refused:
        read(b'{"outcomes":[' + part * (MAX_BODY // len(part)), NOW)
    assert refused.value.status == 413


def test_texts_with_commas_in_them_are_read() -> None:
    entry = {"request_id": "q" * 36, "key": "a,b,c,d", "row": 1, "value": "[1,2,3]", "time": None, "weight": 1}
    assert len(said({"outcomes": [entry] * MAX_ENTRIES})) == MAX_ENTRIES
