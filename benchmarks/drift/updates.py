"""What it costs to count a table against a kept reference: ours, other tools', and one pass over its memory."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.serving.environments import python_for
from localcluster.progress import SetupError, say
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count_table
from modelward_drift.judging.statistic import measure

PEERS: Final = Path(__file__).parent / "peers"

REPEATS: Final = 5


@dataclass(frozen=True)
class Shape:
    """`reference`: rows of the reference, which a tool that keeps none has to read, too."""

    rows: int
    features: int
    reference: int


SHAPES: Final = (Shape(1_000_000, 30, 50_000), Shape(1_000_000, 30, 1_000_000), Shape(100_000, 300, 100_000))


@dataclass(frozen=True)
class Update:
    """Seconds; ours and the pass's are the best of REPEATS, which take turns. None: could not be measured."""

    shape: Shape
    ours: float
    memory_pass: float
    evidently: float | None
    nannyml: float | None


def run(shape: Shape) -> Update:
    """Normal features, column by column as data frames and Arrow have them."""
    ours, memory_pass = _ours(shape)
    evidently, nannyml = (_peer(name, shape) for name in ("evidently", "nannyml"))
    return Update(shape, ours, memory_pass, evidently, nannyml)


def _ours(shape: Shape) -> tuple[float, float]:
    """Counting and PSI; the pass is numpy's sum of the whole table."""
    random = np.random.default_rng(0)
    table = np.asfortranarray(random.standard_normal((shape.features, shape.rows)).T)
    names = [f"f{index}" for index in range(shape.features)]
    profiles = [profile_of(name, "numeric", random.standard_normal(shape.reference)) for name in names]
    columns = {name: table[:, index] for index, name in enumerate(names)}

    def update() -> None:
        for profile, counts in zip(profiles, count_table(profiles, columns, shape.rows), strict=True):
            measure(profile, counts)

    rounds = [(_seconds(update), _seconds(lambda: np.sum(table))) for _ in range(REPEATS)]
    ours, memory_pass = (min(times) for times in zip(*rounds, strict=True))
    return ours, memory_pass


def _peer(name: str, shape: Shape) -> float | None:
    """Once, in an environment of its own."""
    try:
        python = python_for(f"drift-{name}", PEERS / f"{name}.txt")
    except SetupError as error:
        say(str(error))
        return None
    figures = map(str, (shape.rows, shape.features, shape.reference))
    found = subprocess.run(
        [python, PEERS / f"{name}_app.py", *figures],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "", "NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"},
    )
    if found.returncode:
        say(f"{name} failed: {found.stderr[-500:]}")
        return None
    return float(found.stdout.split()[-1])


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
