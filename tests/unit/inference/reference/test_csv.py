"""What a CSV file holds is understood, or told with its line; never another kind without a word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_drift.judging.statistic import measure
from modelward_drift.profiles.reference import Reference
from modelward_inference import make_reference
from modelward_inference.drift_report.inputs import read_data
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference import source
from modelward_inference.reference.numerals import Notation, is_time, notations, number
from modelward_inference.reference.source import open_source

PANDAS_NULLS = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip
"""Of pandas 2.2's read_csv, by its documentation."""


def made(path: Path, text: str) -> tuple[Reference, list[str]]:
    """And what was told."""
    path.write_text(text)
    told: list[str] = []
    return make_reference(path, warn=told.append), told


def kinds(reference: Reference) -> dict[str, str]:
    return {each.name: each.profile.kind for each in reference.features}


@pytest.mark.parametrize("word", PANDAS_NULLS)
def test_pandas_words_for_null(tmp_path: Path, word: str) -> None:
    reference, told = made(tmp_path / "d.csv", "x,y\n" + "1.5,1\n" * 9 + f"{word},1\n")
    assert (kinds(reference), told) == ({"x": "numeric", "y": "numeric"}, [])
    assert reference.profiles[0].counts[-1] == 1


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_separators(tmp_path: Path, separator: str) -> None:
    rows = [["a", "b", "c"], *(["1.5", f"w{n % 3}", "x y"] for n in range(20))]
    reference, told = made(tmp_path / "d.csv", "".join(separator.join(row) + "\n" for row in rows))
    assert (kinds(reference), told) == ({"a": "numeric", "b": "categorical", "c": "categorical"}, [])


def test_a_separator_inside_of_values_is_none(tmp_path: Path) -> None:
    reference, told = made(tmp_path / "d.csv", "a,b\n" + "1,x;y\n" * 5)
    assert (reference.profiles[1].levels, told) == (("x;y",), [])
    reference, told = made(tmp_path / "d.csv", 'words\n"one; two"\n' + "three\n" * 5)
    assert (kinds(reference), told) == ({"words": "categorical"}, [])
    reference, told = made(tmp_path / "d.csv", "a;b\n" + "one\n" * 5)
    assert list(kinds(reference)) == ["a;b"]
    assert told == [
        "the file has one column, 'a;b': there are semicolons in its name, but the other lines are not separated by "
        "them"
    ]


def test_a_ragged_line_is_named_whatever_separates(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="line 4: 1 values for 2 columns"):
        made(tmp_path / "d.csv", "a;b\n1;2\n1;2\n1\n")


NUMBERS: list[tuple[str, list[str], list[float]]] = [
    (";", ["1,5", "-2,25", "7", "n/a"], [1.5, -2.25, 7, np.nan]),
    (";", ["1.234,5", "2", "1.000"], [1234.5, 2, 1000]),
    (";", ["1 234,5", "12"], [1234.5, 12]),
    (";", ["1,234", "5,678"], [1.234, 5.678]),
    (";", ["1.5", "2.25"], [1.5, 2.25]),
    (",", ['"1,234.50"', '"1,234,567"', "7"], [1234.5, 1234567, 7]),
    (",", ['"1,234"', '"5,678"'], [1234, 5678]),
    (",", ['"0,5"', '"1,234"'], [0.5, 1.234]),
    (";", ["1,5e3", "+2,5"], [1500, 2.5]),
]


@pytest.mark.parametrize("rows", [1, 1 << 16])
@pytest.mark.parametrize(("separator", "texts", "values"), NUMBERS)
def test_decimal_commas_and_thousands(
    tmp_path: Path, separator: str, texts: list[str], values: list[float], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All values of a column decide together, so chunks are no matter."""
    monkeypatch.setattr(source, "MOST_ROWS", rows)
    (tmp_path / "d.csv").write_text(f"x{separator}y\n" + "".join(f"{text}{separator}w\n" for text in texts))
    found = [chunk.table for chunk in open_source(tmp_path / "d.csv").chunks()]
    np.testing.assert_array_equal(np.concatenate([each["x"] for each in found]), values)  # type: ignore[index]


def test_what_commas_are_taken_for_is_told(tmp_path: Path) -> None:
    _, told = made(tmp_path / "d.csv", "x;y\n1,5;1.234\n2,5;5.678\n")
    assert told == [
        "'y': the point in '1.234' is taken for thousands, since 'x' has decimal commas",
        "x, y: commas are taken for decimal commas (1.234,5)",
    ]
    _, told = made(tmp_path / "d.csv", 'x,y\n"1,234",1\n"5,678",1\n')
    assert told == ["'x': the commas in '1,234' are taken for thousands; write 1234.5 where they are not"]


def test_numbers_of_two_notations_are_texts_and_told(tmp_path: Path) -> None:
    reference, told = made(tmp_path / "d.csv", "x;y\n" + "1.5;1\n" * 5 + "1,5;1\n" * 5)
    assert kinds(reference)["x"] == "categorical"
    assert told == ["'x' is taken as text: some of its numbers have a decimal point, others a comma"]


@pytest.mark.parametrize(
    ("column", "note"),
    [
        (["1.5"] * 9_999 + ["many"], "'x' is taken as text for line 10001: 'many'"),
        (["1.5"] * 5 + ["many"] * 4, "'x' is taken as text for line 7: 'many'"),
        (["90210"] * 5 + ["01234"], "'x' is taken as text for line 7: '01234'"),
        (["$1.50"] * 5, "'x' is taken as text for line 2: '$1.50'"),
        (["5 %", "7 %"], "'x' is taken as text for line 2: '5 %'"),
        (["true", "false", "yes"], "'x' is taken as text for line 4: 'yes'"),
        (["2026-11-28", "2026-11-29", "soon"], "'x' is taken as text for line 4: 'soon'"),
    ],
)
def test_a_column_that_is_taken_as_text_says_for_which_value(tmp_path: Path, column: list[str], note: str) -> None:
    reference, told = made(tmp_path / "d.csv", "x,y\n" + "".join(f"{each},1\n" for each in column))
    assert kinds(reference)["x"] in ("categorical", "text")
    assert [each[: len(note)] for each in told] == [note]


@pytest.mark.parametrize("column", [["web", "shop", "1"], ["007", "010"], ["a b"] * 3, ["v1.2", "v1.3"], ["1:0x", "2"]])
def test_texts_are_texts_without_a_word(tmp_path: Path, column: list[str]) -> None:
    _, told = made(tmp_path / "d.csv", "x,y\n" + "".join(f"{each},1\n" for each in column * 3))
    assert told == [] or column[0] == "1:0x"


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-11-28", "2026-11-29", ""], ["2026-11-28 12:30:00"], ["2026-11-28T12:30:00.5Z"],
        ["2026-11-28T12:30:00+01:00"],
        ["11/28/2026"], ["28/11/2026"], ["28.11.2026"], ["12:30:00"],
        ["11/28/26", "1/3/26"], ["28.11.26"], ["28-11-2026 9:05"], ["2026/11/28 12:30:00"], ["28/11/2026 12:30:59"],
        ["11/28/2026 12:30:59 PM", "1/2/2026 1:05 a.m."], ["28-Nov-2026", "01-DEC-26"], ["Nov 28 2026"],
        ["28 November 2026"], ["28. Nov 2026"], ["28NOV2026"], ["Sat 28 Nov 2026 12:30:00 +0100"],
        ["2026-11", "2026-12"], ["Nov 2026"], [" 2026-11-28 ", " NA"],
    ],
)  # fmt: skip
def test_points_in_time_are_left_out_as_of_parquet(tmp_path: Path, texts: list[str]) -> None:
    reference, told = made(tmp_path / "d.csv", "amount,day\n" + "".join(f"1.5,{text}\n" for text in texts))
    assert kinds(reference) == {"amount": "numeric"}
    assert told == ["left out: 'day' holds points in time, of which no profile is made; make numbers or texts of them"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.5,2\n3,4\n", "line 1: 1.5, 2 are numbers, not names; write a first line"),
        ("5\n6\n", "line 1: 5 are numbers"),
        ("1,5;2\n3,5;4\n", "line 1: 1,5, 2 are numbers"),
        ("1,1\n2,2\n", "has 1 twice; name each column once, in the first line"),
    ],
)
def test_a_missing_line_of_names(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        made(tmp_path / "d.csv", text)


def test_some_names_that_are_numbers_are_told(tmp_path: Path) -> None:
    _, told = made(tmp_path / "d.csv", "12.5,web\n" + "3,shop\n" * 3)
    assert told[0].startswith("line 1 has '12.5' as the name of a column")
    reference, told = made(tmp_path / "d.csv", "0,1\n" + "3.5,4\n" * 3)
    assert (list(kinds(reference)), told) == (["0", "1"], [])


def test_a_report_reads_another_notation_than_the_reference(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reference, _ = made(tmp_path / "r.csv", "x,y\n" + "".join(f"{each:.2f},1\n" for each in rng.normal(9, 1, 900)))
    live = "".join(f"{each:.2f};1\n".replace(".", ",") for each in rng.normal(9, 1, 600))
    for text in (live, live + "n/a;1\n", live + "broken;1\n"):
        (tmp_path / "d.csv").write_text(f"x;y\n{text}")
        told: list[str] = []
        counts = read_data(tmp_path / "d.csv", reference, told.append).counts[0]
        assert measure(reference.profiles[0], counts)[0].value < 0.15
    assert told == ["'x' is taken as text for line 602: 'broken'; all values have to be numbers for it to be no text"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1234.5", {"PLAIN", "COMMAS"}), ("1,234.5", {"COMMAS"}), ("1.234,5", {"POINTS"}),
        ("12", {"PLAIN", "COMMAS", "POINTS"}),
        ("1,23,4", set()), ("0,123", {"POINTS"}), ("1_000", set()), ("007", set()), ("1'234,5", {"POINTS"}),
        ("nan", {"PLAIN"}),
        ("1,234,567", {"COMMAS"}), ("1.234.567", {"POINTS"}), ("", set()), ("-", set()), (",", set()), ("1,", set()),
    ],
)  # fmt: skip
def test_notations(text: str, found: set[str]) -> None:
    assert {each.name for each in notations(text)} == found
    for each in notations(text):
        assert isinstance(number(text, each), float)


def test_blanks_beside_a_value_are_no_part_of_it(tmp_path: Path) -> None:
    rows = "1, true, 5,  web\n2, FALSE, NA, NA\n3, NA, 7, web\n" * 3
    reference, told = made(tmp_path / "d.csv", f"a,b,c,d\n{rows}")
    assert kinds(reference) == {"a": "numeric", "b": "boolean", "c": "numeric", "d": "categorical"}
    assert [profile.counts[-1] for profile in reference.profiles] == [0, 3, 3, 3], "missing"
    assert told == []


def test_numbers_are_no_times() -> None:
    values: list[Any] = ["20261128", "1.5", "2026", "10.0.0.1", "1-2", "web", "a-b", "12/13", "99:99"]
    values += [
        "1.2.26",
        "2026.11",
        "1234-12",
        "2026-13",
        "31/31/26",
        "30 Feb 2026",
        "12 mart 2026",
        "model 2020",
        "May",
        "",
    ]
    values += ["3-1-12", "2026-1/2", "28-11.26", "10.12.300", "Jan 32, 2026", "v1.2", "2026-11-28x", "may 2026 sale"]
    assert not [each for each in values if is_time(each)]
    assert number("-1.234.567,25", Notation.POINTS) == -1234567.25


@pytest.mark.parametrize("last", ["oops", "1.5", "007", "1,5,5"])
def test_the_last_of_many_chunks_decides_too(tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_ROWS", 10)
    reference, told = made(tmp_path / "d.csv", "x;y\n" + "2,25;a\n;a\n" * 50 + f"{last};a\n")
    assert kinds(reference)["x"] == "categorical"
    assert len(told) == 1
    assert last == "1.5" or f"for line 102: {last!r}" in told[0]
