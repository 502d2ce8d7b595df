from collections.abc import Iterator
from pathlib import Path

import pytest

from .apiserver import ApiServer, api_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as state:
        yield state
