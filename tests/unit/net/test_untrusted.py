"""What is read of what others answer, and what of it is shown."""

import json
from typing import Any
from urllib.parse import unquote

import pytest

from modelward.net.untrusted import MAX_DEPTH, MAX_DIGITS, MAX_ITEMS, QUOTED, bare, decoded, in_header, quoted
from modelward.retraining.lifecycle.report import ReportError, read_report


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    "document",
    [
        "7", '"text"', "[]", "null", '{"a": [1, -2.5, 1e300, true, "\\u00fc"]}', nested(MAX_DEPTH + 1),
        "9" * MAX_DIGITS, "[" + "0," * (MAX_ITEMS - 2) + "0]", '"' + "[" * 1000 + '"',
    ],
    ids=range(9),
)  # fmt: skip
def test_a_document_within_the_bounds_is_what_json_says(document: str) -> None:
    assert decoded(document) == decoded(document.encode()) == json.loads(document)


@pytest.mark.parametrize(
    "document",
    [
        "", "{", b"\xff\xfe\x00", nested(MAX_DEPTH + 3), nested(1500), "[" * 100_000, nested(60, '{"a":[', "]}"),
        "[" + "[]," * MAX_ITEMS + "[]]", "{" * MAX_ITEMS, "[" + "0," * MAX_ITEMS + "0]", "1" * (MAX_DIGITS + 1),
        "[" + "9" * 5000 + "]", "-" + "1" * MAX_DIGITS,
    ],
    ids=range(13),
)  # fmt: skip
def test_whatever_is_beyond_is_one_kind_of_error(document: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the kind is what is tested
        decoded(document)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("two\nlines\tand\r\n more ", "two lines and more"),
        ("\x1b[31mred\x00\u202e", "?[31mred??"),
        ("für", "f?r"),
        (ValueError("an error"), "an error"),
        ("x" * 201, "x" * 197 + "..."),
        ("x" * QUOTED, "x" * QUOTED),
        (" " * 10_000_000 + "far", ""),
        (None, "None"),
    ],
)
def test_what_is_quoted_is_short_and_plain(text: object, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize("text", ["[" * 4000, nested(4000), "9" * 4000])
def test_a_report_that_breaks_parsers_is_a_bad_report(text: str) -> None:
    with pytest.raises(ReportError):
        read_report(text)


@pytest.mark.parametrize(
    "text", ["7", "cd8c71a2/model", "a b", "100%", "%20", "\u00fcber", "a\r\nset-cookie: b=c", "\0\x7f", "\u202e", ""]
)
def test_a_text_in_a_header_is_visible_ascii_and_can_be_told_again(text: str) -> None:
    shown = in_header(text)
    assert all("!" <= each <= "~" for each in shown)
    assert unquote(shown) == text


def test_a_text_in_a_header_is_cut_between_letters() -> None:
    assert in_header("v" * 500) == "v" * 128
    assert unquote(in_header("\u00fc" * 500)) == "\u00fc" * 21
    assert in_header("a\ud800b") == "a?b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, and ann@example.com?", "plain words, and ann@example.com?"),
        ("https://ann:pass@host:5000/a/b?token=x#y failed", "https://host:5000/a/b failed"),
        ("(s3://key@bucket/x), then HTTP://h?q", "(s3://bucket/x), then HTTP://h"),
        ("git+https://token@host/x.git", "git+https://host/x.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://ann:p@ss@host/a", "https://host/a"),
        (f"https://ann:{'s' * 3000}@host/a", "https://host/a"),
        ('{"url": "https://host/x?sig=1"}', '{"url": "https://host/x"}'),
    ],
)
def test_an_address_is_shown_without_its_login_and_its_query(text: str, shown: str) -> None:
    assert bare(text) == shown
