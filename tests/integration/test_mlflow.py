"""A real MLflow server: what tests/recorded_mlflow.py pretends is what it says, and what `log_model` logs is served."""

import asyncio
import contextlib
import json
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from multidict import CIMultiDict

from localcluster.loopback import DIRECT, free_port
from mlflowserver.server import ADMIN, HERE, PASSWORD, MlflowServer
from modelward.api.modelregistry import Mlflow, WriteBack
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.models.write_back import Named, Registered, Rejected, SetAlias, SetTag, Step, Written
from modelward.models.write_back import steps as steps_of
from modelward.net.guarded import open_guarded_session
from modelward.registries import webhooks
from modelward.registries.client import Client
from modelward.registries.mlflow import MlflowRegistry
from modelward.registries.registry import Login, RegistryError
from modelward.registries.webhook import refusal
from modelward_inference import runtimes
from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.artifact.bundle import REFERENCE
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.reference.store import load_reference
from wheels import build, unpacked

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


def post(server: MlflowServer, path: str, body: dict[str, Any], method: str = "POST", version: str = "2.0") -> Any:
    proof = b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"{server.url}/api/{version}/mlflow/{path}", json.dumps(body).encode(), method=method,
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


@pytest.fixture(scope="module")
def logged(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What tests/mlflowserver/log.py printed, by kind of model, and by what was refused."""
    folder = tmp_path_factory.mktemp("training")
    packages = unpacked(build("modelward", folder), folder / "packages")
    said = servers.plain.run(HERE / "log.py", str(Path(np.__file__).parents[1]), packages=packages)
    return {each["kind"]: each for each in (json.loads(line) for line in said.splitlines() if line[:1] == "{")}


ALLOWED = {"onnx", "skops", "xgboost", "lightgbm"}
"""As an installation has it: none of them runs code."""

LOGGED: dict[str, tuple[str, Any]] = {
    "columns by name": ("skops", ("no", "yes")),
    "an array": ("skops", (0, 1)),
    "xgboost": ("xgboost", (0, 1)),
    "lightgbm": ("lightgbm", (0, 1)),
    "lightgbm of words": ("skops", ("no", "yes")),
    "onnx": ("onnx", ()),
}


@pytest.mark.parametrize("kind", LOGGED)
async def test_what_log_model_logged_is_served_with_the_models_own_answers(
    servers: Servers, logged: dict[str, dict[str, Any]], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = logged[kind]
    found = await resolve(servers.plain.url, told["uri"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.plain.url)
    manifest = await asyncio.to_thread(fetch, Request(found.uri, "auto", None, "m", tmp_path), ALLOWED)
    assert (manifest.artifact_format, manifest.classes) == LOGGED[kind]
    assert (manifest.golden_rows, GoldenRows.read(tmp_path).origin, manifest.warnings) == (100, "training", ())
    assert load_reference(tmp_path / REFERENCE).rows == 400
    model = runtimes.load(manifest.format, tmp_path / manifest.file, 1, manifest.signature)
    golden.verify(model, tmp_path, manifest)
    rows = told["rows"]
    named = {name: np.array(column).reshape(-1, 1) for name, column in rows.items()} if isinstance(rows, dict) else None
    (first, *_), last = manifest.signature.inputs, manifest.signature.outputs[-1].name
    answers = model.predict(named or {first.name: np.array(rows, DTYPES[first.datatype])}, [last])
    assert np.allclose(answers[last], told["answers"], atol=1e-5)


async def test_an_alias_that_log_model_moved_tells_of_data_commit_and_tags(
    servers: Servers, logged: dict[str, dict[str, Any]]
) -> None:
    first, second = logged["columns by name"], logged["an array"]
    now = await resolve(servers.plain.url, "models:/logged@champion")
    assert (now.version, second["uri"]) == ("2", "models:/logged/2")
    assert now.lineage["runId"] == second["run_id"]
    assert now.lineage["commit"] not in ("c" * 40, ""), "of the checkout, before what CI says"
    (data,) = now.lineage["dataSets"]
    assert (data["name"], data["digest"]) == ("logged-training", second["dataset_digest"])
    before = await resolve(servers.plain.url, "models:/logged/1")
    assert before.lineage["commit"] == "d" * 40, "what the run has is not written over"
    assert before.lineage["metrics"] == {"auc": "0.9"}
    (data,) = before.lineage["dataSets"]
    assert (data["name"], data["digest"]) == ("people", first["dataset_digest"])
    assert len({first["dataset_digest"], second["dataset_digest"]}) == 2


REFUSED = {
    "no server": ("InvalidConfiguration", "no tracking server is named"),
    "other columns": ("InvalidConfiguration", "pass the columns that the model was trained on"),
    "other rows of y": ("InvalidConfiguration", "X has 400 rows, and y has 399"),
    "an alias of nothing": ("InvalidConfiguration", "pass registered_model_name, too"),
    "a reserved alias": ("InvalidConfiguration", "choose another word"),
    "no model": ("FormatUnknown", "A builtins.dict is no model"),
    "a function of one's own": ("ModelUnsupported", "serialization_format='cloudpickle'"),
    "a slip of the pen": ("InvalidConfiguration", "'aliass' is no option of log_model"),
    "a path": ("FormatUnknown", "log_model takes the model itself"),
}


def test_what_log_model_can_not_log_is_refused_before_anything_is_logged(logged: dict[str, dict[str, Any]]) -> None:
    found = {kind: each for kind, each in logged.items() if "message" in each}
    assert found.keys() == REFUSED.keys()
    for kind, (name, words) in REFUSED.items():
        assert found[kind]["type"] == name, kind
        assert words in found[kind]["message"], kind


async def write(url: str, *steps: Step, **secret: str) -> None:
    login = Login(secret)
    async with open_guarded_session(HOSTS) as session:
        one = MlflowRegistry(Client(session, HOSTS, login), Mlflow(url), login, "login" if secret else None)
        for step in steps:
            await one.write(step)


def tags_of(server: MlflowServer, version: str) -> dict[str, str]:
    query = urllib.parse.urlencode({"name": "fraud", "version": version})
    proof = b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/model-versions/get?{query}", headers={"Authorization": f"Basic {proof}"}
    )
    with DIRECT.open(request, timeout=60) as answer:
        told = json.loads(answer.read())["model_version"]
    return {each["key"]: each["value"] for each in told.get("tags", ())}


TWO = Registered("fraud", "2")


async def test_stages_and_an_alias_are_written_and_written_again(servers: Servers) -> None:
    how = WriteBack(cluster="c" * 40)
    wanted = Written(TWO, Rejected(Registered("fraud", "1"), "errorRate: 5% “fail” (limit 1%)"), Named("best", TWO))
    steps = steps_of(Written(Registered("fraud", "1")), wanted, WriteBack(), ("ml", "fraud"))
    before = await resolve(servers.plain.url, "models:/fraud/2")
    await write(servers.plain.url, *steps, *steps)
    assert tags_of(servers.plain, "2")["modelward.stage/ml/fraud"] == "stable"
    first = tags_of(servers.plain, "1")
    assert first["modelward.stage/ml/fraud"] == "rolled-back"
    assert first["modelward.rolled_back/ml/fraud"] == "errorRate: 5 fail limit 1"
    found = await resolve(servers.plain.url, "models:/fraud@best")
    assert (found.version, found.uri) == ("2", before.uri)
    # The longest key that there is, with the longest names.
    longest = steps_of(Written(), Written(TWO), how, ("n" * 63, "m" * 40))
    await write(servers.plain.url, *longest)
    assert len(tags_of(servers.plain, "2")) == 2


async def test_what_is_written_makes_no_other_version_of_it(servers: Servers) -> None:
    before = await resolve(servers.plain.url, "models:/fraud/1")
    await write(servers.plain.url, SetTag(Registered("fraud", "1"), "modelward.stage/ml/other", "stable"))
    after = await resolve(servers.plain.url, "models:/fraud/1", before)
    assert (after.uri, after.version) == (before.uri, before.version)


async def test_a_version_that_is_gone_and_an_alias_that_is_refused(servers: Servers) -> None:
    with pytest.raises(RegistryError) as gone:
        await write(servers.plain.url, SetTag(Registered("fraud", "99"), "k", "v"))
    assert (gone.value.reason, gone.value.answered) == ("VersionMissing", True)
    with pytest.raises(RegistryError) as unnamed:
        await write(servers.plain.url, SetAlias(Registered("fraud", "99"), "best"))
    assert unnamed.value.reason == "VersionMissing"
    for alias_of_mlflow in ("latest", "v3"):
        with pytest.raises(RegistryError):
            await write(servers.plain.url, SetAlias(TWO, alias_of_mlflow))


async def test_who_may_only_read_is_told_which_permission_and_who_may_edit_writes(servers: Servers) -> None:
    url, step = servers.locked.url, SetTag(Registered("fraud", "1"), "modelward.stage/ml/fraud", "stable")
    with pytest.raises(RegistryError, match="the permission EDIT on the registered model") as found:
        await write(url, step, username=USER, password=WORD)
    assert found.value.reason == "Forbidden"
    granted = {"username": USER, "resource_type": "registered_model", "resource_id": "fraud", "permission": "EDIT"}
    post(servers.locked, "users/permissions/grant", granted, version="3.0")
    await write(url, step, SetAlias(step.of, "best"), username=USER, password=WORD)
    assert tags_of(servers.locked, "1") == {step.key: "stable"}


async def test_a_webhook_says_that_an_alias_was_moved_and_proves_itself(servers: Servers) -> None:
    """Signed by MLflow itself, and taken by what the operator takes it with."""
    told: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        told.put_nowait((dict(request.headers), await request.read()))
        return web.Response(status=202)

    runner = await webhooks.serve(port := free_port(), take)
    try:
        hook = {
            "name": "modelward", "url": f"http://127.0.0.1:{port}/v1/registries/ml/mlflow", "secret": "of the team",
            "events": [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}], "status": "ACTIVE",
        }  # fmt: skip
        await asyncio.to_thread(post, servers.plain, "webhooks", hook)
        headers, body = {}, b""
        async with asyncio.timeout(60):
            while not headers:
                await asyncio.to_thread(alias, servers.plain, "told", "2")
                with contextlib.suppress(TimeoutError):
                    headers, body = await asyncio.wait_for(told.get(), 2.0)
    finally:
        await runner.cleanup()
    found = CIMultiDict(headers)
    assert refusal("of the team", found, body, time.time()) is None
    assert "another secret" in (refusal("of another", found, body, time.time()) or "")
    assert json.loads(body)["data"]["alias"] == "told"
