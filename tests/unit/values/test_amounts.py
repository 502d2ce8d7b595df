"""Durations and quantities as users write them."""

from decimal import Decimal

import pytest

from modelward.values.durations import period, seconds, share
from modelward.values.quantities import amount


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("0ms", 0.0), ("30s", 30.0), ("5m", 300.0), ("2h", 7200.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("60d", 60 * 86400.0), ("90m", 5400.0), ("1h", 3600.0)])
def test_periods_have_days_too(text: str, expected: float) -> None:
    assert period(text) == expected


@pytest.mark.parametrize("text", ["d", "-1d", "1.5d", "1w"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        period(text)


@pytest.mark.parametrize("text", ["", "s", "30", "1d", "-1s", "1.5s", "1 s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as 500ms"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500m", "0.5"), ("2", "2"), (4, "4"), ("1.5", "1.5"), ("64Mi", "67108864"), ("1Ki", "1024"), ("1k", "1000")],
)
def test_quantities(text: str | int, expected: str) -> None:
    assert amount(text) == Decimal(expected)


@pytest.mark.parametrize("text", ["", "Mi", "1Zi", "1 Mi", "big"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as 500m"):
        amount(text)


@pytest.mark.parametrize(("text", "expected"), [("0%", 0.0), ("0.5%", 0.005), ("100%", 1.0), ("5%", 0.05)])
def test_percentages(text: str, expected: float) -> None:
    assert share(text) == expected


@pytest.mark.parametrize("text", ["", "%", "5", "-1%", "101%", "1,5%", "5 %"])
def test_what_is_no_percentage_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one such as 0\.5%"):
        share(text)
