"""A real MLflow server: what tests/recorded_mlflow.py pretends is what it says."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from localcluster.loopback import DIRECT
from mlflowserver.server import ADMIN, HERE, PASSWORD, MlflowServer
from modelward.api.modelregistry import Mlflow
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.net.guarded import open_guarded_session
from modelward.registries.client import Client
from modelward.registries.mlflow import MlflowRegistry
from modelward.registries.registry import Login, RegistryError

HOSTS = ("127.0.0.1", "localhost")
USER, WORD = "ann", "another long password"


class Servers:
    """`plain` holds two versions of `fraud`, which a training script has registered; `locked` wants a login."""

    def __init__(self, plain: MlflowServer, locked: MlflowServer) -> None:
        self.plain, self.locked = plain, locked
        self.versions = [json.loads(line) for line in plain.run(HERE / "register.py").splitlines() if line[:1] == "{"]


@pytest.fixture(scope="module")
def servers(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Servers]:
    with in_sight(), MlflowServer() as plain, MlflowServer(auth=True) as locked:
        plain.ready()
        made = Servers(plain, locked)
        locked.ready()
        register(locked)
        yield made


def post(server: MlflowServer, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    proof = b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), method=method,
        headers={"Content-Type": "application/json", "Authorization": f"Basic {proof}"},
    )  # fmt: skip
    with DIRECT.open(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


def register(server: MlflowServer) -> None:
    """One version that lies in a bucket, and somebody who may read nothing yet."""
    post(server, "registered-models/create", {"name": "fraud"})
    post(server, "model-versions/create", {"name": "fraud", "source": "s3://models/fraud/1"})
    alias(server, "champion", "1")
    post(server, "users/create", {"username": USER, "password": WORD})


def alias(server: MlflowServer, name: str, version: str) -> None:
    post(server, "registered-models/alias", {"name": "fraud", "alias": name, "version": version})


async def resolve(
    url: str, reference: str = "models:/fraud@champion", known: Resolved | None = None, **secret: str
) -> Resolved:
    login = Login(secret)
    async with open_guarded_session(HOSTS) as session:
        one = MlflowRegistry(Client(session, HOSTS, login), Mlflow(url), login, "login" if secret else None)
        await one.check()
        return await one.resolve(parse(reference), known)


async def failure(url: str, reference: str = "models:/fraud@champion", **secret: str) -> RegistryError:
    with pytest.raises(RegistryError) as found:
        await resolve(url, reference, **secret)
    return found.value


async def test_an_alias_its_artifacts_and_its_lineage(servers: Servers) -> None:
    first = servers.versions[0]
    found = await resolve(servers.plain.url)
    assert (found.version, found.alias) == ("1", "champion")
    assert found.uri.startswith("mlflow-artifacts:/")
    assert first["model"] in found.uri
    told = dict(found.lineage)
    assert (told["runId"], told["commit"], told["name"]) == (first["run"], "1" * 40, "fraud")
    assert told["dataSets"][0]["name"] == "fraud-train"
    assert (told["parameters"], told["metrics"]) == ({"C": "1"}, {"auc": "0.91"})
    assert told["frameworks"]["mlflow"] == "3.17.2"
    assert {"sklearn", "python"} <= set(told["frameworks"])
    assert "float64" in told["signature"]["inputs"]


async def test_the_alias_moves_and_every_form_finds_the_same_artifact(servers: Servers) -> None:
    before, second = await resolve(servers.plain.url), servers.versions[1]
    assert await resolve(servers.plain.url, known=before) is before
    alias(servers.plain, "challenger", "2")
    moved = await resolve(servers.plain.url, "models:/fraud@challenger", before)
    assert moved.version == "2"
    for reference in ("models:/fraud/2", f"models:/{second['model']}", f"runs:/{second['run']}/model"):
        found = await resolve(servers.plain.url, reference)
        assert (found.uri, found.lineage["commit"]) == (moved.uri, "2" * 40), reference


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("models:/fraud@nobody", "AliasMissing"),
        ("models:/else@champion", "VersionMissing"),
        ("models:/fraud/99", "VersionMissing"),
        (f"models:/m-{'0' * 32}", "VersionMissing"),
        (f"runs:/{'0' * 32}/model", "VersionMissing"),
    ],
)
async def test_what_is_not_there(servers: Servers, reference: str, reason: str) -> None:
    found = await failure(servers.plain.url, reference)
    assert (found.reason, found.answered) == (reason, True)


async def test_a_version_that_is_deleted_and_an_alias_that_goes_with_it(servers: Servers) -> None:
    post(servers.locked, "model-versions/create", {"name": "fraud", "source": "s3://models/fraud/2"})
    alias(servers.locked, "gone", "2")
    login = {"username": ADMIN, "password": PASSWORD}
    assert (await resolve(servers.locked.url, "models:/fraud@gone", **login)).uri == "s3://models/fraud/2"
    post(servers.locked, "model-versions/delete", {"name": "fraud", "version": "2"}, "DELETE")
    assert (await failure(servers.locked.url, "models:/fraud@gone", **login)).reason == "AliasMissing"
    assert (await failure(servers.locked.url, "models:/fraud/2", **login)).reason == "VersionMissing"


async def test_a_host_that_the_server_does_not_know_names_the_setting(servers: Servers) -> None:
    url = servers.plain.url.replace("127.0.0.1", "localhost")
    found = await failure(url)
    assert found.reason == "HostRefused"
    assert f"MLFLOW_SERVER_ALLOWED_HOSTS={url.removeprefix('http://')}" in str(found)


async def test_who_has_no_login_or_no_right(servers: Servers) -> None:
    url = servers.locked.url
    assert (await failure(url)).reason == "Unauthorized"
    assert (await failure(url, username=USER, password="wrong")).reason == "Unauthorized"
    assert (await failure(url, username=USER, password=WORD)).reason == "Forbidden"
    found = await resolve(url, username=ADMIN, password=PASSWORD)
    assert (found.uri, found.version) == ("s3://models/fraud/1", "1")
