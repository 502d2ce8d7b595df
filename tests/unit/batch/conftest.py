"""Bundles of real models, made once a module."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unit.inference.models import case

from .worlds import bundle_of


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By the model's name in unit.inference.models."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = bundle_of(case(name).model, tmp_path_factory.mktemp("bundle"))
        return made[name]

    return of
