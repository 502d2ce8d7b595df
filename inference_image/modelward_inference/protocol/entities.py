"""By which names keys of entities travel beside a model's inputs: to the monitor, and into the log."""

from collections.abc import Mapping
from typing import Final, TypeVar

T = TypeVar("T")

PREFIX: Final = "modelward.entity/"
"""Of a tensor: no client may send one of that name, since what a model takes is known."""


def without_keys(tensors: Mapping[str, T]) -> Mapping[str, T]:
    """Those that the model was given: keys name whom a row is about, and have no distribution that could drift."""
    if not any(name.startswith(PREFIX) for name in tensors):
        return tensors
    return {name: each for name, each in tensors.items() if not name.startswith(PREFIX)}
