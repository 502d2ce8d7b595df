"""Which query a gate asks, and what it makes of the answers."""

import math

import pytest

from modelward.rollouts.gates.query import QueryError, Reading, Threshold, judge, render

NAMES = {"candidate": "fraud-3f2a", "stable": "fraud-91bc", "namespace": "ml", "name": "fraud"}


@pytest.mark.parametrize(
    ("template", "query"),
    [
        ("up", "up"),
        ('errors{pod=~"$candidate-.*"}', 'errors{pod=~"fraud-3f2a-.*"}'),
        ('a{r="$candidate"} / a{r="$stable"}', 'a{r="fraud-3f2a"} / a{r="fraud-91bc"}'),
        ('{namespace="$namespace", model="$name"}', '{namespace="ml", model="fraud"}'),
        ("job:${name}_errors:rate5m", "job:fraud_errors:rate5m"),
        ('{path=~"/v2/.*$$"}', '{path=~"/v2/.*$"}'),
        ("$$candidate", "$candidate"),
        ("$candidate$stable", "fraud-3f2afraud-91bc"),
        ('{city="Malmö"}', '{city="Malmö"}'),
        ("", ""),
    ],
)
def test_variables_are_replaced(template: str, query: str) -> None:
    assert render(template, NAMES) == query


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("rate(x[$__rate_interval])", "$__rate_interval in the query means nothing"),
        ("$name_errors", "$name_errors in the query means nothing"),
        ("${candidates}", "$candidates in the query means nothing"),
        ("$Candidate", "$Candidate in the query means nothing"),
        ('{path=~"/v2/.*$"}', "A $ in the query begins no variable"),
        ("${candidate", "A $ in the query begins no variable"),
        ("$1", "A $ in the query begins no variable"),
    ],
)
def test_what_is_no_variable_is_named_with_those_that_are(template: str, named: str) -> None:
    with pytest.raises(QueryError) as caught:
        render(template, NAMES)
    assert str(caught.value) == (
        f"{named}; the variables are $candidate, $name, $namespace, $stable. Write $$ for a dollar sign, and ${{…}} "
        "where a letter, digit or _ follows a variable"
    )


@pytest.mark.parametrize("value", ["", '"} or vector(0) #', "Fraud", "a.b", "-a", "a-", "a" * 64, "a\n", "ä"])
def test_a_value_that_would_need_escaping_never_gets_into_a_query(value: str) -> None:
    with pytest.raises(QueryError, match=r"the value of \$name, is no Kubernetes name"):
        render("up", {**NAMES, "name": value})


BETWEEN, AT_MOST, AT_LEAST = Threshold(max=0.5, min=0.1), Threshold(max=0.5), Threshold(min=0.1)


@pytest.mark.parametrize(
    ("threshold", "value", "good"),
    [
        (AT_MOST, 0.5, True), (AT_MOST, 0.51, False), (AT_MOST, -math.inf, True), (AT_MOST, math.inf, False),
        (AT_LEAST, 0.1, True), (AT_LEAST, 0.09, False), (AT_LEAST, math.inf, True), (AT_LEAST, -math.inf, False),
        (BETWEEN, 0.1, True), (BETWEEN, 0.5, True), (BETWEEN, 0.05, False), (BETWEEN, 0.6, False),
        (Threshold(max=0.0), 0.0, True), (Threshold(max=0.0), -0.0, True), (Threshold(min=-1.0, max=-1.0), -1.0, True),
    ],
)  # fmt: skip
def test_bounds_belong_to_the_good_values(threshold: Threshold, value: float, good: bool) -> None:
    assert threshold.holds(value) is good
    assert judge(threshold, 0, Reading(value), failure_limit=1) == (("Pass", 0) if good else ("Fail", 1))


@pytest.mark.parametrize(
    ("failures", "reading", "limit", "verdict", "after"),
    [
        (0, Reading(0.9), 3, "Inconclusive", 1),
        (1, Reading(0.9), 3, "Inconclusive", 2),
        (2, Reading(0.9), 3, "Fail", 3),
        (7, Reading(0.9), 3, "Fail", 8),
        (2, Reading(0.2), 3, "Pass", 0),
        (2, Reading(), 3, "Inconclusive", 2),
        (2, Reading(error="Prometheus can't be reached"), 3, "Inconclusive", 2),
        (2, Reading(math.nan), 3, "Inconclusive", 2),
        (0, Reading(), 1, "Inconclusive", 0),
        (2, Reading(0.2, error="an error is never a value"), 3, "Inconclusive", 2),
    ],
)
def test_only_bad_values_in_a_row_fail(failures: int, reading: Reading, limit: int, verdict: str, after: int) -> None:
    assert judge(AT_MOST, failures, reading, limit) == (verdict, after)
