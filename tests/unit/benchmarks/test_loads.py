"""What the load generators print is read right, and a failed request is never taken for a fast one."""

import json

import pytest

from benchmarks.serving.loads import Figure, parse_report, parse_wrk

GOOD = """Running 2s test @ http://127.0.0.1:8080/v2/models/model/infer
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.10ms    2.01ms  33.05ms   91.41%
    Req/Sec     4.02k   518.48     4.60k    80.00%
  Latency Distribution
     50%  850.00us
     75%    4.35ms
     90%    5.27ms
     99%    1.20s 
  8012 requests in 2.01s, 1.73MB read
Requests/sec:   3994.64
Transfer/sec:      0.86MB
"""  # noqa: W291  as wrk prints it
FAILED_SOCKETS = "  Socket errors: connect {}, read {}, write {}, timeout {}\n"


def test_a_good_run() -> None:
    assert parse_wrk(GOOD) == Figure(rate=3994.64, p50=pytest.approx(0.00085), p99=pytest.approx(1.2), requests=8012)


def test_other_answers_than_success_make_it_void() -> None:
    assert parse_wrk(GOOD + "  Non-2xx or 3xx responses: 3\n").failure == "3 answers were no success"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((2, 0, 0, 0), "2 connections failed"),
        ((0, 5, 0, 0), "5 reads failed"),
        ((0, 0, 7, 0), "7 writes failed"),
        ((0, 0, 0, 9), "9 requests took more than 10 s"),
    ],
)
def test_failed_sockets_make_it_void(counts: tuple[int, ...], words: str) -> None:
    assert parse_wrk(GOOD + FAILED_SOCKETS.format(*counts)).failure == words


@pytest.mark.parametrize(
    "text", ["", GOOD.replace("3994.64", "0.00"), GOOD.replace("99%", "98%"), GOOD.replace("8012 ", "")]
)
def test_nothing_answered_is_void(text: str) -> None:
    assert parse_wrk(text).failure == "no request was answered"


def test_a_report() -> None:
    report = {"requests": 100, "seconds": 2.0, "p50": 0.001, "p99": 0.002, "errors": 0}
    assert parse_report(json.dumps(report)) == Figure(50.0, 0.001, 0.002, 100)


def test_a_report_with_errors_is_void() -> None:
    report = {"requests": 100, "seconds": 2.0, "p50": 0.001, "p99": 0.002, "errors": 1, "first_error": "refused"}
    assert parse_report(json.dumps(report)).failure == "1 clients failed: refused"


def test_an_empty_report_is_void() -> None:
    assert parse_report(json.dumps({"requests": 0, "seconds": 1.0, "p50": 0, "p99": 0, "errors": 0})).failure
