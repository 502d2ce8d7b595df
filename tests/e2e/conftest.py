"""A real cluster with the operator of this checkout: real pods, a real S3 server, real models."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from examples.demo.cluster import create_namespace, install_store, publish
from examples.demo.model import Trained, train

from localcluster import cluster, install
from localcluster.clients import kubectl

from . import volumes
from .model import Model


@pytest.fixture(scope="session")
def trained() -> Trained:
    return train(trees=20)


@pytest.fixture(scope="session", autouse=True)
def began() -> str:
    """When the tier's first test began, as audit logs write times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture(scope="session")
def namespace(trained: Trained, in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[str]:
    """A namespace that enforces the `restricted` Pod Security level, with a store of artifacts, good and bad."""
    name = f"e2e-{secrets.token_hex(3)}"
    with in_sight():
        cluster.up()
        install.install()
        create_namespace(name)
        install_store(name)
    onnx = trained.onnx()
    publish(
        name,
        "models",
        {
            "digits/1/model.onnx": onnx,
            "digits/1/digits.tar": trained.bundle(),
            "digits/1/model.joblib": trained.pickled(),
            "digits/2/model.onnx": train(trees=30, seed=1).onnx(),
            "corrupt/model.onnx": onnx[: len(onnx) // 2],
            "page/model.onnx": b"<!DOCTYPE html><html>sign in</html>",
        },
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def volume(namespace: str, trained: Trained) -> Iterator[str]:
    """A claim of the namespace whose volume holds digits/model.onnx."""
    with volumes.filled(namespace, {"digits/model.onnx": trained.onnx()}) as claim:
        yield claim


@pytest.fixture
def model(namespace: str, request: pytest.FixtureRequest) -> Iterator[Model]:
    """A ModelDeployment of the test's own; taken away at the end."""
    made = Model(namespace, f"m{secrets.token_hex(3)}")
    yield made
    if request.session.testsfailed:
        print(made.describe())
    kubectl("delete", "modeldeployment", made.name, "-n", namespace, "--ignore-not-found", "--wait=false")
