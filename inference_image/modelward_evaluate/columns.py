"""Values of columns in one form, so that what two systems call the same compares as the same."""

import re
from collections.abc import Iterable
from typing import Final

import ibis
from ibis.expr.types import IntegerValue, NumericValue, StringValue, Value

TIME: Final = "timestamp('UTC')"

WHOLE: Final = 2.0**53
"""Below which each whole number is a float of its own."""

LARGEST: Final = 1e60
"""Of numbers, either way: fourth powers of greater ones can't be summed."""

SPARK: Final = "pyspark"
"""As Ibis calls it."""

_NUMBER: Final = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
"""One engine's casts take 1_000, and another one's 1d."""

_TIME: Final = r"^\s*[0-9]{4,6}-[0-9]{1,2}-[0-9]"
"""What a text begins with that is a time: to one engine 2026, 2026-03 and 10:30 (of today) are such, too, and to
another one infinity."""

_WITH_STROKES: Final = r"^\s*[0-9]{4}/[0-9]{1,2}/[0-9]"
"""Of a date that not all engines read."""

_WITH_POINT: Final = r"^-?(0|[1-9][0-9]*)\.[0-9]+$"
_NO_DIGITS: Final = r"\.?0+$"


def as_kept(value: Value) -> Value:
    """Of a segment, in each row: what as_text makes of it is to be what it makes of the value. Numbers, truths and
    texts are left as they are, since texts of groups are made sooner than texts of rows."""
    kind = value.type()
    if kind.is_floating():
        return value.isnan().ifelse(ibis.null(kind), value)
    return value if kind.is_integer() or kind.is_boolean() or kind.is_string() else as_text(value)


def as_text(value: Value) -> StringValue:
    """Of a segment. Whole numbers have no point, truths are 1 and 0: one system's true is another's 1 and a third one's
    1.0."""
    kind = value.type()
    if kind.is_boolean():
        return value.cast("int8").cast("string")  # of one that is not there nothing: no 0
    if kind.is_floating():
        number = value.cast("float64")
        whole = (number % 1 == 0) & (number.abs() < WHOLE)
        said = whole.ifelse(number.try_cast("int64").cast("string"), value.cast("string"))
        return number.isnan().ifelse(ibis.null("string"), said)
    text = value.cast("string")
    if kind.is_decimal():
        return _without_point(text)
    if kind.is_string():
        # As files of text have them.
        return text.cases(("true", "1"), ("True", "1"), ("false", "0"), ("False", "0"), else_=text)
    return text


def as_label(value: Value) -> StringValue:
    """Of a class, as `label` writes it; null where there is none. A text's space around it is no part of it, and
    `1.50` is the number 1.5; `01` is a code and not 1."""
    if not value.type().is_string():
        return as_text(value)
    text = value.strip().nullif("")
    small = text.lower()
    return small.cases(("true", "1"), ("false", "0"), else_=_without_point(text))


def label(value: str | float | bool) -> str:
    """As as_label writes them."""
    if not isinstance(value, str):
        return str(int(value)) if float(value).is_integer() else str(float(value))
    text = value.strip()
    if re.search(_WITH_POINT, text):
        text = re.sub(_NO_DIGITS, "", text)
    return {"true": "1", "false": "0", "-0": "0"}.get(text.lower(), text)


def _without_point(text: StringValue) -> StringValue:
    """Of a number without digits behind the point that say nothing; other texts as they are."""
    short = text.re_search(_WITH_POINT).ifelse(text.re_replace(_NO_DIGITS, ""), text)
    return short.cases(("-0", "0"), else_=short)


def as_exact(text: StringValue) -> StringValue:
    """Of an exact number that a database has written as text."""
    return _without_point(text.nullif("NaN"))


def as_id(value: Value) -> StringValue:
    """Of a request, or the caller's own key. Whole numbers have no point: a column of them with gaps is one of floats
    to many tools."""
    kind = value.type()
    return as_text(value) if kind.is_floating() or kind.is_decimal() else value.cast("string")


def as_number(value: Value) -> NumericValue:
    """A finite number within LARGEST, else null."""
    kind = value.type()
    if kind.is_boolean():
        return value.cast("int8").cast("float64")
    number = as_double(value)
    if kind.is_string():
        number = value.lower().cases(("true", 1.0), ("false", 0.0), else_=number)
    return number.between(-LARGEST, LARGEST).ifelse(number, ibis.null("float64"))


def as_double(value: Value) -> NumericValue:
    """Null where a text is no number."""
    number = value.try_cast("float64")
    if not value.type().is_string():
        return number
    return value.re_search(_NUMBER).ifelse(number, ibis.null("float64"))


def as_time(value: Value) -> Value:
    """Null where a text is no time."""
    if not value.type().is_string():
        return value.try_cast(TIME)
    text = value.re_search(_WITH_STROKES).ifelse(value.replace("/", "-"), value)
    return text.re_search(_TIME).ifelse(text.try_cast(TIME), ibis.null(TIME))


def as_place(value: Value) -> Value:
    """A whole number, else null: nothing is rounded."""
    if value.type().is_integer():
        return value.cast("int64")
    number = as_double(value)
    return (number % 1 == 0).ifelse(number.try_cast("int64"), ibis.null("int64"))


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]  # Ibis' own types are not asked
def xxhash64(text: str) -> int:  # type: ignore[empty-body]  # it is the engine's
    """Spark's: what Ibis calls a hash there has 32 bits, of which two texts in a hundred thousand are the same."""


def hashed(text: StringValue) -> IntegerValue:
    """64 bits. Each engine has a hash of its own, so that numbers of one are never held against another's."""
    return xxhash64(text) if text.get_backend().name == SPARK else text.hash()


def listed(names: Iterable[str]) -> str:
    """Some of them, for a message."""
    some = sorted(names)
    return ", ".join(some[:30]) + (f" and {len(some) - 30} more" if len(some) > 30 else "") or "none at all"
