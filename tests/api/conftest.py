"""What tests of the API server's tier have in common besides nodeless/fixtures.py."""

import pytest

from nodeless.cluster import Cluster
from nodeless.somebody import Somebody
from nodeless.training import FakeMonitors, Policy


@pytest.fixture
def policy(cluster: Cluster, namespace: str) -> Policy:
    return Policy(cluster, namespace)


@pytest.fixture
def monitors() -> FakeMonitors:
    return FakeMonitors()


@pytest.fixture
def somebody(cluster: Cluster, namespace: str) -> Somebody:
    return Somebody(cluster, namespace)
