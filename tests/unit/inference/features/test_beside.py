"""Keys travel beside a request's rows to whoever observes, also where requests are computed together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.engine.computing import Computer
from modelward_inference.engine.jobs import Job


def job(*keys: int) -> Job:
    rows = np.array([[float(key)] for key in keys])
    return Job({"x": rows}, ("y",), (1,), len(keys), len(keys), 0.0, 1.0, None, {"key": np.array(keys)})


def test_they_are_joined_in_the_order_of_the_rows_and_the_model_sees_none() -> None:
    asked: list[list[str]] = []
    seen: list[dict[str, Any]] = []

    def predict(inputs: Mapping[str, Array], _: Sequence[str]) -> dict[str, Array]:
        asked.append(list(inputs))
        return {"y": inputs["x"] * 2}

    computer = Computer(predict)
    computer.observer = lambda inputs, *_: seen.append({name: array.ravel().tolist() for name, array in inputs.items()})
    first, second = computer.outcomes([job(1, 2), job(3)])
    assert (first["y"].tolist(), second["y"].tolist()) == ([[2.0], [4.0]], [[6.0]])  # type: ignore[index]
    computer.outcomes([job(4)])
    assert asked == [["x"], ["x"]]
    assert seen == [{"x": [1.0, 2.0, 3.0], "key": [1, 2, 3]}, {"x": [4.0], "key": [4]}]
