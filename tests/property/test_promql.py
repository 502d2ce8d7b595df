"""PromQL gates: what holds for every query and for every series of readings."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from modelward.rollouts.gates.query import QueryError, Reading, Threshold, judge, render
from modelward.rollouts.gates.query_scope import scoped

THRESHOLD = Threshold(max=0.5)
GOOD, BAD, NONE, ERROR = Reading(0.1), Reading(0.9), Reading(), Reading(error="unreachable")


@given(st.lists(st.sampled_from([GOOD, BAD, NONE, ERROR])), st.integers(1, 5))
def test_a_gate_fails_exactly_when_the_last_values_were_all_bad(readings: list[Reading], limit: int) -> None:
    verdict, failures = "Inconclusive", 0
    for reading in readings:
        verdict, failures = judge(THRESHOLD, failures, reading, limit)
    conclusive = [reading for reading in readings if reading in (GOOD, BAD)]
    in_a_row = len(conclusive) - max((i + 1 for i, each in enumerate(conclusive) if each == GOOD), default=0)
    assert failures == in_a_row
    if readings and readings[-1] in (GOOD, BAD):
        assert verdict == ("Pass" if in_a_row == 0 else "Fail" if in_a_row >= limit else "Inconclusive")
    else:
        assert verdict == "Inconclusive"


@given(st.text(), st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True))
def test_a_query_without_dollar_signs_is_asked_as_it_is_and_a_doubled_one_is_one(text: str, name: str) -> None:
    assert render(text.replace("$", "$$"), {"name": name}) == text
    assert render(text.replace("$", "$$") + "${name}", {"name": name}) == text + name


@given(st.text(alphabet="${}name _9\n"))
def test_a_query_is_rendered_or_refused_in_words(text: str) -> None:
    with contextlib.suppress(QueryError):
        assert render(text, {"name": "fraud"}).count("$") == text.count("$$")


WORDS = st.sampled_from(
    ["a", "sum", "by", "on", "and", "bool", "offset", "inf", "group_left", "{", "}", "(", ")", "[", "]", ",", "=", "=~",
     ">", "+", "@", "5m", '"s"', "'{'", "# c\n", " ", "x=", "ä", "\\"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(WORDS).map("".join), st.lists(WORDS).map(" ".join)))
def test_a_query_is_narrowed_or_refused_in_words_and_loses_nothing(query: str) -> None:
    with contextlib.suppress(QueryError):
        rest = scoped(query, "namespace", "ml").replace(',namespace="ml"', "").replace('namespace="ml"', "")
        assert rest.replace("{}", "") == query.replace("{}", "")


@given(st.lists(st.sampled_from(["a", 'b{c="d"}', "{e!~'f'}", "g[5m]", "sum(h) by (i)", "rate(j{}[1m])"]), min_size=1))
def test_every_selector_of_a_sum_is_narrowed(parts: list[str]) -> None:
    assert scoped(" + ".join(parts), "namespace", "ml").count('namespace="ml"') == len(parts)
