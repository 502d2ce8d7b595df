"""The fixtures of the tiers that need an API server and no nodes."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from localcluster import binaries
from localcluster.apiserver import ApiServer
from modelward.kube.resources import (
    BATCH_INFERENCES,
    DRIFT_POLICIES,
    MODEL_DEPLOYMENTS,
    MODEL_REGISTRIES,
    RETRAINING_RUNS,
)

from .cluster import REPOSITORY, Cluster
from .model import Model


@contextmanager
def api_server() -> Iterator[Cluster]:
    """An API server of its own that knows ModelDeployment."""
    with ApiServer() as server:
        made = Cluster(server)
        for crd in ("modeldeployments", "driftpolicies", "retrainingruns", "modelregistries", "batchinferences"):
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
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    return name


@pytest.fixture
def model(cluster: Cluster, namespace: str) -> Model:
    """A ModelDeployment of the test's own."""
    return Model(cluster, namespace)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Takes away, wherever it lies, what the operators of later tests would look after besides."""
    made: Cluster | None = request.getfixturevalue("cluster") if "cluster" in request.fixturenames else None
    yield
    if made is not None:
        for kind in (MODEL_DEPLOYMENTS, DRIFT_POLICIES, RETRAINING_RUNS, MODEL_REGISTRIES, BATCH_INFERENCES):
            made.take_away(kind)
