"""Programs that tests of the chart and of the pages on installation run: made on a fresh machine, once."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from localcluster import binaries

InSight = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def helm(in_sight: InSight) -> Path:
    with in_sight():
        return binaries.helm()


@pytest.fixture(scope="session")
def kubectl(in_sight: InSight) -> Path:
    with in_sight():
        return binaries.kubectl()
