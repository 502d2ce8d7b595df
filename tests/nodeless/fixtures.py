"""The fixtures of the tiers that need an API server and no nodes."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from localcluster import binaries
from localcluster.apiserver import ApiServer
from modelward.kube.resources import MODEL_DEPLOYMENTS, MODEL_REGISTRIES

from .cluster import REPOSITORY, Cluster
from .model import Model


@contextmanager
def api_server() -> Iterator[Cluster]:
    """An API server of its own that knows ModelDeployment."""
    with ApiServer() as server:
        made = Cluster(server)
        for crd in ("modeldeployments", "driftpolicies", "retrainingruns", "modelregistries"):
            made.install(f"{crd}.modelward.io", "-k", str(REPOSITORY / "crds"))
        yield made
        made.close()


@pytest.fixture(scope="session")
def cluster(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Cluster]:
    with in_sight():
        binaries.kubernetes()
    with api_server() as made:
        yield made


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own. What later tests' operators would look after besides is taken away at the end."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.request("DELETE", MODEL_REGISTRIES.path(name))


@pytest.fixture
def model(cluster: Cluster, namespace: str) -> Iterator[Model]:
    """A ModelDeployment of the test's own; taken away at the end."""
    yield Model(cluster, namespace)
    cluster.request("DELETE", MODEL_DEPLOYMENTS.path(namespace))
