"""The fixtures of the tiers that need an API server and no nodes."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from localcluster import binaries
from localcluster.apiserver import ApiServer
from localcluster.progress import wait_for

from .cluster import REPOSITORY, Cluster
from .model import Model


@pytest.fixture(scope="session")
def cluster(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Cluster]:
    with in_sight():
        binaries.kubernetes()
    with ApiServer() as server:
        made = Cluster(server)
        made.kubectl("apply", "-k", str(REPOSITORY / "crds"))
        # kubectl wait itself fails in the instant in which the API server has not yet written any condition.
        established = ("wait", "--for=condition=Established", "crd/modeldeployments.modelward.io", "--timeout=30s")
        wait_for("the CRD", lambda: made.run(*established).returncode == 0, deadline=30)
        yield made
        made.close()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def model(cluster: Cluster, namespace: str) -> Iterator[Model]:
    """A ModelDeployment of the test's own; taken away at the end."""
    yield Model(cluster, namespace)
    cluster.kubectl("delete", "md", "--all", "-n", namespace)
