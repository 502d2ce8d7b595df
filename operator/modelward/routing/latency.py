"""The bounds that latencies are counted by, in routers and model pods alike, and so what an objective is judged at."""

from typing import Final

BOUNDS: Final = (
    1, 2, 3, 5, 7.5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750,
    1000, 1500, 2000, 2500, 3000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000,
)  # fmt: skip
"""Milliseconds. Model pods count by finer ones, too."""


def bound_of(slo: float) -> float:
    """The bound (milliseconds) that a latency objective (seconds) is judged at: the next one that is not below."""
    return next((bound for bound in BOUNDS if bound >= slo * 1000 * (1 - 1e-9)), BOUNDS[-1])


def text_of(bound: float) -> str:
    """A bound (milliseconds) as users write durations: 50ms, 2.5s."""
    return f"{bound / 1000:g}s" if bound >= 1000 else f"{bound:g}ms"
