"""What unit tests share: programs that are made on a fresh machine, once, and short looks at how fast a model is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from localcluster import binaries
from modelward_inference.compile import timing

InSight = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def helm(in_sight: InSight) -> Path:
    with in_sight():
        return binaries.helm()


@pytest.fixture(scope="session")
def kubectl(in_sight: InSight) -> Path:
    with in_sight():
        return binaries.kubectl()


@pytest.fixture(scope="session", autouse=True)
def _short_looks() -> Iterator[None]:
    """Both forms of hundreds of models are timed, for most of a second each: a tenth tells which is the faster here."""
    with mock.patch.object(timing, "BUDGET", timing.BUDGET / 10):
        yield
