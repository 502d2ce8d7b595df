"""A look repeated: on a clock of the test's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelward_cli.kubectl import KubectlError, NoClusterError
from modelward_cli.pipeline.waiting import Clock, TooLateError, until


def looks(*found: Any) -> Callable[[], Any]:
    left: Iterator[Any] = iter(found)

    def look() -> Any:
        each = next(left)
        if isinstance(each, Exception):
            raise each
        return each

    return look


def wait(*found: Any, timeout: float = 60.0) -> tuple[Any, list[str], float]:
    now, said = 0.0, list[str]()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    ended = until(looks(*found), lambda seen: seen == "end", str, timeout, 5.0, Clock(lambda: now, sleep), said.append)
    return ended, said, now


def test_it_looks_until_the_end_and_says_each_change_once() -> None:
    assert wait("one", "one", "two", "end") == ("end", ["one", "two", "end"], 15.0)


def test_a_server_that_is_away_for_a_while_ends_nothing() -> None:
    assert wait("one", NoClusterError("away"), NoClusterError("away"), "end") == ("end", ["one", "end"], 15.0)


def test_one_that_never_answered_does() -> None:
    with pytest.raises(NoClusterError):
        wait(NoClusterError("nobody"), "end")


def test_another_failure_is_raised() -> None:
    with pytest.raises(KubectlError, match="forbidden"):
        wait("one", KubectlError("forbidden"), "end")


def test_the_time_is_over_with_what_was_seen_last() -> None:
    with pytest.raises(TooLateError, match="within 10 s; the last that was seen: two"):
        wait("one", "two", "two", timeout=10.0)
    with pytest.raises(TooLateError, match="does not answer: away"):
        wait("one", NoClusterError("away"), timeout=5.0)
