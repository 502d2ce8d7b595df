"""How long the forms of a model take for a call, at one row and at a thousand."""

import time
from collections.abc import Mapping

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import Model

SIZES = (1, 1000)
"""Rows a call: one is a user who waits, a thousand is a batch."""

BUDGET = 0.2
"""Seconds for each form and size, so that all four take about a second."""

MIN_CALLS, MAX_CALLS = 3, 100
"""At least a few are measured, however slow: one alone may have been interrupted."""


def measure(model: Model, golden: GoldenRows) -> dict[str, float]:
    """The shortest time of a call in seconds by the number of rows: what is longer, others on the machine caused."""
    outputs = [tensor.name for tensor in model.signature.outputs]
    return {str(size): _shortest(model, repeated(golden.inputs, size), outputs) for size in SIZES}


def repeated(rows: Mapping[str, Array], count: int) -> dict[str, Array]:
    """The rows, again and again, until there are `count` of them."""
    return {name: array[np.arange(count) % len(array)] for name, array in rows.items()}


def _shortest(model: Model, rows: dict[str, Array], outputs: list[str]) -> float:
    began = time.perf_counter()
    model.predict(rows, outputs)  # the first call sets up what later ones find
    taken: list[float] = []
    while len(taken) < MIN_CALLS or (len(taken) < MAX_CALLS and time.perf_counter() - began < BUDGET):
        start = time.perf_counter()
        model.predict(rows, outputs)
        taken.append(time.perf_counter() - start)
    return min(taken)
