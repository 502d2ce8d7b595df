"""Values of columns in one form, so that what two systems call the same compares as the same."""

from collections.abc import Iterable
from typing import Final

import ibis
from ibis.expr.types import BooleanValue, NumericValue, StringValue, Value

TIME: Final = "timestamp('UTC')"

WHOLE: Final = 2.0**53
"""Below which each whole number is a float of its own."""


def as_text(value: Value) -> StringValue:
    """A label. Whole numbers have no point, truths are 1 and 0: one system's true is another's 1 and a third one's
    1.0."""
    kind = value.type()
    if kind.is_boolean():
        return value.ifelse("1", "0")
    if kind.is_floating() or kind.is_decimal():
        number = value.cast("float64")
        whole = (number == number.floor()) & (number.abs() < WHOLE)
        without_point = ibis.ifelse(whole, number, ibis.null("float64")).cast("int64").cast("string")
        said = whole.ifelse(without_point, number.cast("string"))
        return number.isnan().ifelse(ibis.null("string"), said)
    text = value.cast("string")
    if kind.is_string():
        # As files of text have them.
        return text.cases(("true", "1"), ("True", "1"), ("false", "0"), ("False", "0"), else_=text)
    return text


def as_number(value: Value) -> NumericValue:
    """A finite number, else null."""
    number = value.cast("int8").cast("float64") if value.type().is_boolean() else value.try_cast("float64")
    return is_finite(number).ifelse(number, ibis.null("float64"))


def is_finite(number: Value) -> BooleanValue:
    return (~(number.isnan() | number.isinf())).fill_null(False)


def listed(names: Iterable[str]) -> str:
    """Some of them, for a message."""
    some = sorted(names)
    return ", ".join(some[:30]) + (f" and {len(some) - 30} more" if len(some) > 30 else "") or "none at all"
