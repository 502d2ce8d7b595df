"""Which Jobs that evaluate are kept."""

from typing import Any

import pytest

from modelward.reconcilers.driftpolicy.evaluations import superfluous


def job(name: str, second: int, over: bool = True) -> dict[str, Any]:
    ended = [{"type": "Complete", "status": "True"}] if over else []
    created = f"2026-01-01T00:00:{second:02}Z"
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"conditions": ended}}


@pytest.mark.parametrize(
    ("own", "done", "keep", "gone"),
    [
        ([job("a", 1), job("b", 2), job("c", 3)], "c", 1, ["a", "b"]),
        ([job("a", 1), job("b", 2), job("c", 3)], "c", 2, ["a"]),
        ([job("z", 1), job("a", 1)], "a", 1, ["z"]),
        ([job("a", 1), job("b", 2)], "a", 1, ["b"]),
        ([job("a", 1, over=False), job("b", 2)], "b", 1, []),
        ([job("a", 1)], "a", 3, []),
    ],
)  # fmt: skip
def test_the_latest_are_kept_and_the_one_that_was_read_last(
    own: list[dict[str, Any]], done: str, keep: int, gone: list[str]
) -> None:
    assert [each["metadata"]["name"] for each in superfluous(own, done, keep)] == gone
