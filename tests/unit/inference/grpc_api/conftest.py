"""What tests of gRPC calls that wait have in common."""

from collections.abc import Iterator

import pytest

from .served import Gate


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()
