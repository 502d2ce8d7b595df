"""What tests of routers share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from localcluster import binaries


@pytest.fixture(scope="session")
def program(in_sight: Callable[[], AbstractContextManager[None]]) -> Path:
    """Envoy's, which may have to be fetched first."""
    with in_sight():
        return binaries.envoy()
