"""How a query is narrowed to a namespace, and what is refused."""

import pytest

from modelward.rollouts.gates.query import QueryError
from modelward.rollouts.gates.query_scope import scoped

M = 'namespace="ml"'


@pytest.mark.parametrize(
    ("query", "narrowed"),
    [
        ("up", f"up{{{M}}}"),
        ("up{}", f"up{{{M}}}"),
        ('up{a="b"}', f'up{{a="b",{M}}}'),
        ('up{a="b",}', f'up{{a="b",{M}}}'),
        ('{__name__=~".+"}', f'{{__name__=~".+",{M}}}'),
        ('{"a.b"}', f'{{"a.b",{M}}}'),
        ('{"a.b", "c.d"!="e"}', f'{{"a.b", "c.d"!="e",{M}}}'),
        ('up{namespace="other"}', f'up{{namespace="other",{M}}}'),
        ("sum(rate(a[5m]))", f"sum(rate(a{{{M}}}[5m]))"),
        ("sum by (pod) (a)", f"sum by (pod) (a{{{M}}})"),
        ("sum(a) by (pod)", f"sum(a{{{M}}}) by (pod)"),
        ("SUM WITHOUT(pod, x)(a)", f"SUM WITHOUT(pod, x)(a{{{M}}})"),
        ("a / on (x) group_left (y) b", f"a{{{M}}} / on (x) group_left (y) b{{{M}}}"),
        ("a / ignoring (x) group_right b", f"a{{{M}}} / ignoring (x) group_right b{{{M}}}"),
        ("a and b or c unless d", f"a{{{M}}} and b{{{M}}} or c{{{M}}} unless d{{{M}}}"),
        ("a > bool b", f"a{{{M}}} > bool b{{{M}}}"),
        ("a > bool 0.5e-3", f"a{{{M}}} > bool 0.5e-3"),
        ("a offset 5m", f"a{{{M}}} offset 5m"),
        ("a offset -5m", f"a{{{M}}} offset -5m"),
        ("a @ end()", f"a{{{M}}} @ end()"),
        ("max_over_time(a[1h:5m] @ start())", f"max_over_time(a{{{M}}}[1h:5m] @ start())"),
        ("vector(0) or Inf - NaN", "vector(0) or Inf - NaN"),
        ('count_values("x", a)', f'count_values("x", a{{{M}}})'),
        ("topk(3, a)", f"topk(3, a{{{M}}})"),
        ("-a ^ 2", f"-a{{{M}}} ^ 2"),
        ("job:a:rate5m", f"job:a:rate5m{{{M}}}"),
        ("a # b{\n+ c", f"a{{{M}}} # b{{\n+ c{{{M}}}"),
        ("sum", f"sum{{{M}}}"),
        ("""label_replace(a, 'x', "}{", `y`, "z\\"{")""", f"""label_replace(a{{{M}}}, 'x', "}}{{", `y`, "z\\"{{")"""),
        ('a{b="}"}', f'a{{b="}}",{M}}}'),
        ("1 + 0x1F", "1 + 0x1F"),
    ],
)  # fmt: skip
def test_every_selector_is_narrowed(query: str, narrowed: str) -> None:
    assert scoped(query, "namespace", "ml") == narrowed


@pytest.mark.parametrize(
    "query",
    [
        'a{x="1" or y="2"}', "a{x}", "a{x=1}", "a{", 'a{x="1"', 'a{x="1" y="2"}', "a{{}}", "a[5m", "sum by (a",
        "sum by ({x})", "and", "a + offset", "a + and", "or(a", "bool", "a bool b", "on + a", "a on b",
        "WITH (x = a) x", "a = b", "a =~ b", "a > b bool c", "ä", 'a{x="ä}', "a;b", "a ? b", "a{x='1}", "a\\b", "`a",
        "a[{b}]", "by",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(query: str) -> None:
    with pytest.raises(QueryError, match="can't be narrowed to the series of this namespace"):
        scoped(query, "namespace", "ml")
