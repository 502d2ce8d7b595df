"""What the slowest requests wait for, and that the load beside a benchmark ends with it."""

import os
from pathlib import Path

import pytest

from benchmarks.serving import busy, causes

NOTES = {
    "garbage": (0.010, 0.004, 3, 0.009),
    "scheduler": (0.010, 0.002, 1, 0.009),
    "queue and model": (0.010, 0.0, 0, 0.004),
    "loop": (0.010, 0.0, 0, 0.001),
}


@pytest.mark.parametrize("cause", causes.CAUSES)
def test_each_slow_request_has_one_cause(cause: str) -> None:
    assert causes.cause_of(*NOTES[cause]) == cause


def test_the_table_is_about_the_slowest_percent() -> None:
    shown = causes.table([*[(0.001, 0.0, 0, 0.0)] * 198, NOTES["garbage"], NOTES["scheduler"]]).splitlines()
    assert shown[0] == "200 requests; p50 1000 µs, p99 10000 µs (10.0 as much)"
    assert shown[4:] == [
        "| garbage | 0.5% | 50.0% | 10000 |",
        "| scheduler | 0.5% | 50.0% | 10000 |",
        "| queue and model | 0.0% | 0.0% | - |",
        "| loop | 99.0% | 0.0% | - |",
    ]


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_load_beside_ends_with_the_block_whatever_happens() -> None:
    core = min(os.sched_getaffinity(0))
    with pytest.raises(RuntimeError), busy.beside([core, core]) as started:  # noqa: PT012  the block is what is tested
        assert len(set(started)) == 2
        assert all(map(lives, started))
        raise RuntimeError
    assert not any(map(lives, started))
