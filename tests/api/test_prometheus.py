"""PromQL gates' questions to a real Prometheus."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from modelward.net.prometheus import Prometheus, PrometheusError
from modelward.rollouts.gates.query import render
from modelward.rollouts.gates.query_scope import scoped
from promserver.page import MetricsPage
from promserver.server import PrometheusServer

DEADLINE = 30.0
NAMES = {"candidate": "fraud-b", "stable": "fraud-a", "namespace": "ml", "name": "fraud"}


def counts(good: int, bad: int) -> str:
    return f"""\
# TYPE answers_total counter
answers_total{{revision="fraud-a",code="200"}} 1000
answers_total{{revision="fraud-a",code="500"}} 1
answers_total{{revision="fraud-b",code="200"}} {good}
answers_total{{revision="fraud-b",code="500"}} {bad}
"""


BAD = 'sum(answers_total{revision="$candidate", code=~"5..$$"})'
ALL = 'sum(answers_total{revision=~"$candidate", job=~"test|$name"})'


@pytest.fixture(scope="module")
def page() -> Iterator[MetricsPage]:
    with MetricsPage() as served:
        served.text = counts(good=90, bad=10)
        yield served


@pytest.fixture(scope="module")
def server(
    page: MetricsPage, in_sight: Callable[[], contextlib.AbstractContextManager[None]]
) -> Iterator[PrometheusServer]:
    with contextlib.ExitStack() as stack:
        with in_sight():
            running = stack.enter_context(PrometheusServer([page.address]))
        yield running


@pytest.fixture
async def prometheus(server: PrometheusServer) -> AsyncIterator[Prometheus]:
    async with aiohttp.ClientSession() as session:
        yield Prometheus(session, server.url)


async def until_value(prometheus: Prometheus, query: str, wanted: float) -> None:
    """Ask until a scrape has brought the value."""
    async with asyncio.timeout(DEADLINE):
        while await prometheus.query(query) != wanted:
            await asyncio.sleep(0.1)


async def test_a_gate_follows_what_is_scraped(prometheus: Prometheus, page: MetricsPage) -> None:
    query = render(f"{BAD} / {ALL}", NAMES)
    page.text = counts(good=90, bad=10)
    await until_value(prometheus, query, 0.1)
    page.text = counts(good=50, bad=50)
    await until_value(prometheus, query, 0.5)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("vector(0.25)", 0.25),
        ("scalar(vector(3))", 3.0),
        ("1 / 0", math.inf),
        ("vector(-1) / 0", -math.inf),
        ("0 / 0", None),
        ("vector(0) / 0", None),
        ("no_such_metric", None),
        ("sum(no_such_metric)", None),
        ("vector(1) > 2", None),
        ("sum(no_such_metric) or vector(0)", 0.0),
        ("# nothing but a number\n 1e-9", 1e-9),
    ],
)
async def test_one_number_or_no_data(prometheus: Prometheus, query: str, value: float | None) -> None:
    assert await prometheus.query(query) == value


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sum(", "Prometheus refuses the query: .*parse error.*. Correct the query"),
        ("", "Prometheus refuses the query: .*parse error.*. Correct the query"),
        ("histogram_quantile(up)", "Prometheus refuses the query: .*expected 2 argument.*. Correct the query"),
        ("up[5m]", "a range of values, and a gate needs one number"),
        ("'text'", "a text, and a gate needs one number"),
        (
            "label_replace(vector(1), 'a', '$1', 'b', '(')",
            "refuses the query: .*regular expression.*. Correct the query",
        ),
        ('vector(1) or label_replace(vector(2), "a", "b", "", "")', "selects more than one series"),
    ],
)
async def test_what_is_no_number_is_explained(prometheus: Prometheus, query: str, message: str) -> None:
    with pytest.raises(PrometheusError, match=message):
        await prometheus.query(query)


async def test_a_prometheus_that_gives_up_says_so(page: MetricsPage) -> None:
    """A million values take longer than it allows; it looks at the clock between the two terms."""
    term = "sum_over_time(vector(1)[1000s:1ms])"
    async with aiohttp.ClientSession() as session:
        with PrometheusServer([page.address], ["--query.timeout=1ms"]) as server:
            prometheus = Prometheus(session, server.url, timeout=DEADLINE)
            with pytest.raises(PrometheusError, match=r"query timed out in .*\. Ask for less"):
                await prometheus.query(f"{term} + {term}")


async def test_a_prometheus_that_is_gone_is_said_to_be(page: MetricsPage) -> None:
    async with aiohttp.ClientSession() as session:
        with PrometheusServer([page.address]) as server:
            prometheus = Prometheus(session, server.url)
            assert await prometheus.query("vector(1)") == 1.0
        with pytest.raises(PrometheusError, match=r"can't be reached: .*\. Check its address"):
            await prometheus.query("vector(1)")


TENANTS = """\
# TYPE tenant_total counter
tenant_total{tenant="mine",pod="a"} 1
tenant_total{tenant="theirs",pod="a"} 1000
# TYPE secret_total counter
secret_total{tenant="theirs",pod="a"} 7
"""

ATTEMPTS = [
    "sum(tenant_total)", "sum by (pod) (tenant_total)", "sum(tenant_total) without (tenant)", "max(tenant_total{})",
    'sum({__name__=~"tenant.*"})', 'sum({__name__=~"tenant.*",})', "sum(tenant_total @ end())",
    "max(max_over_time(tenant_total[1m:1s]))", "sum(last_over_time(tenant_total[1m] offset 1ms))",
    "sum(tenant_total or secret_total)", "sum(tenant_total unless on (pod, tenant) secret_total)",
    'sum(label_replace(tenant_total, "tenant", "mine", "", ""))',
    "sum(tenant_total # }\n)", "max(topk(5, tenant_total))",
    "sum(tenant_total > bool 0)", 'quantile(1, tenant_total{pod="a"})', "sum(tenant_total and on () tenant_total)",
    "scalar(tenant_total)", "count(tenant_total)", "sum(+tenant_total ^ 1)",
]  # fmt: skip


async def test_a_narrowed_query_sees_the_series_of_its_namespace_alone(
    prometheus: Prometheus, page: MetricsPage
) -> None:
    page.text = TENANTS
    await until_value(prometheus, "sum(tenant_total)", 1001.0)
    for query in ATTEMPTS:
        await until_value(prometheus, scoped(query, "tenant", "mine"), 1.0)
    for query in ("sum(secret_total)", 'sum(tenant_total{tenant="theirs"})', 'sum({tenant=~".+", tenant="theirs"})'):
        assert await prometheus.query(scoped(query, "tenant", "mine")) is None, query
