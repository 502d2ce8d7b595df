"""What an MLflow server says, and what is made of it; the answers are as recorded with 3.17.2."""

import base64
import gzip

import pytest
from aiohttp import web

from modelward.api.modelregistry import Mlflow
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.net.guarded import open_guarded_session
from modelward.registries import sagemaker
from modelward.registries.client import Client
from modelward.registries.mlflow import MlflowRegistry, described, lineage_of
from modelward.registries.registry import Login, RegistryError
from recorded_mlflow import COMMIT, MODEL, RUN, Answer, Recorded, error, raw, shown

HERE = ("127.0.0.1",)


async def resolve(
    mlflow: Recorded,
    reference: str,
    known: Resolved | None = None,
    secret: dict[str, str] | None = None,
    workspace: str | None = None,
) -> Resolved:
    login = Login(secret or {})
    async with open_guarded_session(HERE) as session:
        client = Client(session, HERE, login)
        one = MlflowRegistry(client, Mlflow(mlflow.url, workspace), login, "store" if secret else None)
        return await one.resolve(parse(reference), known)


async def tagged(mlflow: Recorded, name: str = "fraud", value: str = "fraud-1") -> str | None:
    async with open_guarded_session(HERE) as session:
        one = MlflowRegistry(Client(session, HERE, Login()), Mlflow(mlflow.url, None), Login(), None)
        return await one.tagged(name, "modelward.run", value)


async def test_a_version_is_found_by_its_tag_and_of_several_the_newest() -> None:
    key = "modelward.run"
    async with Recorded(tags={("9", key): "fraud-1", ("10", key): "fraud-1", ("11", key): "fraud-2"}) as mlflow:
        assert await tagged(mlflow) == "10"
        assert await tagged(mlflow, value="fraud-3") is None
        assert await tagged(mlflow, "another") is None


async def test_what_a_server_finds_besides_is_passed_over() -> None:
    """One that does not know the filter answers with all."""
    others = [
        {"name": "another", "version": "7", "tags": [{"key": "modelward.run", "value": "fraud-1"}]},
        {"name": "fraud", "version": "8", "tags": []},
        {"name": "fraud", "version": "x", "tags": [{"key": "modelward.run", "value": "fraud-1"}]},
        "fraud",
    ]
    async with Recorded(instead=lambda _: web.json_response({"model_versions": others})) as mlflow:
        assert await tagged(mlflow) is None


@pytest.mark.parametrize("name", ["fraud' or name='x", "a`b"])
async def test_a_name_that_would_end_the_filter_is_not_searched_for(name: str) -> None:
    async with Recorded() as mlflow:
        with pytest.raises(RegistryError, match="quotation mark"):
            await tagged(mlflow, name)
        assert mlflow.asked == []


async def failure(mlflow: Recorded, reference: str = "models:/fraud@champion") -> RegistryError:
    with pytest.raises(RegistryError) as found:
        await resolve(mlflow, reference)
    return found.value


async def test_an_alias_is_a_version_its_address_and_where_it_came_from() -> None:
    async with Recorded() as mlflow:
        found = await resolve(mlflow, "models:/fraud@champion")
    assert (found.version, found.alias) == ("1", "champion")
    assert found.uri == "mlflow-artifacts:/1/models/m-1/artifacts"
    assert found.created == 1795971613.893
    assert found.lineage == {
        "name": "fraud",
        "runId": RUN,
        "commit": COMMIT,
        "repository": "https://git.example.com/fraud.git",
        "dataSets": [{"name": "fraud-train", "digest": "81835f75", "source": "s3://data/train.parquet"}],
        "parameters": {"C": "1"},
        "metrics": {"auc": "0.91"},
        "frameworks": {"mlflow": "3.17.2", "python": "3.11.7", "sklearn": "1.9.1"},
        "signature": {
            "inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]',
            "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]',
        },
    }


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ('{"url": "https://data.example.com/x.csv"}', "https://data.example.com/x.csv"),
        ('{"uri": "s3://key:hunter2@data/x?X-Amz-Signature=hunter2#y"}', "s3://data/x"),
        ('{"uri": "/home/ann/x.csv"}', None), ('{"tags": {"mlflow.user": "ann"}}', None), ("[1]", None), ("x", None),
        ("[" * 4000, None), ('{"uri": 7}', None), ('{"uri": "s3://' + "x" * 400 + '"}', None), ("", None),
    ],
)  # fmt: skip
async def test_where_a_data_set_lies_is_told_by_an_address_without_its_login(source: str, address: str | None) -> None:
    async with Recorded(data=source) as mlflow:
        (told,) = (await resolve(mlflow, "models:/fraud@champion")).lineage["dataSets"]
    assert told.get("source") == address


async def test_what_did_not_change_is_one_question() -> None:
    async with Recorded() as mlflow:
        first = await resolve(mlflow, "models:/fraud@champion")
        mlflow.asked.clear()
        assert await resolve(mlflow, "models:/fraud@champion", first) is first
        assert len(mlflow.asked) == 1
        mlflow.aliases["champion"] = "2"
        moved = await resolve(mlflow, "models:/fraud@champion", first)
    assert (moved.version, moved.uri) == ("2", "mlflow-artifacts:/1/models/m-2/artifacts")


@pytest.mark.parametrize(
    ("reference", "version", "uri"),
    [
        ("models:/fraud/2", "2", "mlflow-artifacts:/1/models/m-2/artifacts"),
        (f"models:/{MODEL}", MODEL, f"mlflow-artifacts:/1/models/{MODEL}/artifacts"),
        (f"runs:/{RUN}/model", "cd8ccc08/model", f"mlflow-artifacts:/1/models/{MODEL}/artifacts"),
        (f"runs:/{RUN}/old/path", "cd8ccc08/old/path", f"mlflow-artifacts:/1/{RUN}/artifacts/old/path"),
    ],
)
async def test_every_form_of_reference(reference: str, version: str, uri: str) -> None:
    async with Recorded() as mlflow:
        found = await resolve(mlflow, reference)
    assert (found.version, found.uri) == (version, uri)
    assert found.lineage["commit"] == COMMIT


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("s3://models/fraud/1", "s3://models/fraud/1"),
        ("s3://models/fraud/1/", "s3://models/fraud/1"),
        ("https://models.example.com/fraud/model.onnx", "https://models.example.com/fraud/model.onnx"),
        (f"models:/{MODEL}", f"mlflow-artifacts:/1/models/{MODEL}/artifacts"),
        (f"runs:/{RUN}/model", f"mlflow-artifacts:/1/models/{MODEL}/artifacts"),
        ("models:/fraud/2", "s3://second/model"),
    ],
)
async def test_the_address_of_a_version_is_followed_to_one_that_pods_read(source: str, uri: str) -> None:
    async with Recorded(sources={"1": source, "2": "s3://second/model"}) as mlflow:
        assert (await resolve(mlflow, "models:/fraud@champion")).uri == uri


async def test_artifacts_that_are_named_by_the_servers_own_host_are_its_own() -> None:
    async with Recorded() as mlflow:
        mlflow.sources["1"] = f"mlflow-artifacts://{mlflow.url.removeprefix('http://')}/1/models/x/artifacts"
        assert (await resolve(mlflow, "models:/fraud@champion")).uri == "mlflow-artifacts:/1/models/x/artifacts"


@pytest.mark.parametrize(
    "source",
    [
        "file:///mlruns/1/model", "/mlruns/1/model", "dbfs:/x", "gs://b/k", "pvc://secret/m.onnx", "mlflow-artifacts:/",
        "mlflow-artifacts://elsewhere:5000/1/m", "mlflow-artifacts:/1/../../2/m", "s3://bucket", "https://u:p@host/m",
        "s3://bucket/a b", "s3://bucket/\nMODEL_URI=x", "s3://b/" + "x" * 2000, "models:/fraud/1", "http://plain/m",
    ],
)  # fmt: skip
async def test_an_address_that_no_pod_reads_is_told(source: str) -> None:
    async with Recorded(sources={"1": source}) as mlflow:
        found = await failure(mlflow)
    assert found.reason in ("SourceNotReadable", "BadAnswer")
    assert len(str(found)) < 700
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("gs://bucket/key", "AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key"),
        ("abfss://c@account.dfs.core.windows.net/m", "--serve-artifacts"),
        ("wasbs://c@account.blob.core.windows.net/m", "Azure's blobs"),
    ],
)
async def test_other_clouds_are_told_by_which_way_they_are_read(source: str, part: str) -> None:
    async with Recorded(sources={"1": source}) as mlflow:
        found = await failure(mlflow)
    assert found.reason == "SourceNotReadable"
    assert part in str(found)


@pytest.mark.parametrize(
    ("reference", "reason", "part"),
    [
        ("models:/fraud@nobody", "AliasMissing", 'set_registered_model_alias("fraud", "nobody"'),
        ("models:/else@champion", "VersionMissing", "no alias champion of a model else"),
        ("models:/fraud/9", "VersionMissing", "no version 9 of a model fraud"),
        ("models:/m-00000000", "VersionMissing", "no logged model m-00000000"),
        (f"runs:/{'0' * 32}/model", "VersionMissing", "no run 000"),
    ],
)
async def test_what_is_not_there_is_told_with_the_cure(reference: str, reason: str, part: str) -> None:
    async with Recorded() as mlflow:
        found = await failure(mlflow, reference)
    assert (found.reason, found.answered) == (reason, True)
    assert part in str(found)


@pytest.mark.parametrize(
    ("answer", "reason", "part"),
    [
        (raw(401, "You are not authenticated."), "Unauthorized", "spec.credentialsSecret of the ModelRegistry"),
        (raw(403, "Permission denied"), "Forbidden", "the right to read the model"),
        (raw(429, "slow down", Retry_After="17"), "TooManyRequests", "spec.pollInterval"),
        (raw(500, "oops"), "ServerFailed", "See its log"),
        (raw(302, "", Location="http://evil.example.com/"), "Redirected", "redirects to http://evil.example.com/"),
        (raw(200, "<html>hello</html>"), "BadAnswer", "not as such a registry does"),
        (raw(200, "[1]"), "BadAnswer", "not as such a registry does"),
        (shown({"model_version": {"version": "1"}}), "BadAnswer", "nothing under source"),
        (shown({"model_version": [1]}), "BadAnswer", "nothing under model_version"),
        (shown({"model_version": {"version": "../1", "source": "s3://a/b"}}), "BadAnswer", "version '../1'"),
        (raw(200, "{" + '"a":[' * 200 + "]" * 200 + "}"), "BadAnswer", "not as such a registry does"),
        (raw(200, b"x" * (3 << 20)), "BadAnswer", "too large"),
        (raw(404, "Not Found"), "BadAnswer", "without /api"),
        (
            shown({"model_version": {"version": "1", "source": "s3://a/b", "status": "PENDING_REGISTRATION"}}),
            "VersionNotReady", "PENDING_REGISTRATION",
        ),
    ],
)  # fmt: skip
async def test_every_failure_has_its_cause_and_cure(answer: Answer, reason: str, part: str) -> None:
    async with Recorded(instead=answer) as mlflow:
        found = await failure(mlflow)
    assert found.reason == reason
    assert part in str(found)
    assert found.retry_after == (17.0 if reason == "TooManyRequests" else None)


async def test_a_refused_host_names_the_setting_with_the_port() -> None:
    """A name without its port is refused again: tried with 3.17.2."""
    answer = raw(403, "Invalid Host header - possible DNS rebinding attack detected")
    async with Recorded(instead=answer) as mlflow:
        found = await failure(mlflow)
        host = mlflow.url.removeprefix("http://")
    assert found.reason == "HostRefused"
    assert f"MLFLOW_SERVER_ALLOWED_HOSTS={host}" in str(found)


async def test_gzip_that_nobody_asked_for_is_not_unpacked() -> None:
    answer = raw(200, gzip.compress(b"{}" + b" " * 1_000_000), Content_Encoding="gzip")
    async with Recorded(instead=answer) as mlflow:
        assert (await failure(mlflow)).reason == "BadAnswer"


async def test_a_lineage_that_can_t_be_read_is_left_out_and_the_version_counts() -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        if "runs/get" in request.path:
            return error(403, "PERMISSION_DENIED", "no")
        if request.path.endswith("/MLmodel"):
            return web.Response(text="a: &a [x]\nflavors: *a")
        if "download" in request.path:
            return web.json_response({"artifact_uri": "mlflow-artifacts:/1/m"})
        told = {"version": "7", "source": "models:/m-1", "run_id": RUN, "name": "fraud"}
        return web.json_response({"model_version": told})

    async with Recorded(instead=answer) as mlflow:
        found = await resolve(mlflow, "models:/fraud@champion")
    assert (found.version, found.lineage) == ("7", {"runId": RUN, "name": "fraud"})


@pytest.mark.parametrize(
    "raw",
    [
        b"a: &a [x,x]\nb: &b [*a,*a]\nflavors: {x: {y_version: *b}}",
        b"flavors: " + b"[" * 5000,
        b"flavors:\n  x:\n    " + b"a" * 200_000 + b"_version: 1",
        b"\xff\x00" * 1000,
        b"signature:\n  inputs: " + b"'" * 100_000,
        b"",
    ],
)
def test_a_model_file_that_is_none_says_little(raw: bytes) -> None:
    assert len(str(described(raw))) < 600


async def test_a_lineage_is_bounded() -> None:
    many = [{"key": f"p{number:03}", "value": "v" * 500} for number in range(300)]

    def answer(request: web.Request) -> web.StreamResponse:
        if "runs/get" in request.path:
            run = {"info": {}, "data": {"params": many, "metrics": many, "tags": many}, "inputs": {"dataset_inputs": [
                {"dataset": {"name": "d" * 900, "digest": "x"}}] * 300}}  # fmt: skip
            return web.json_response({"run": run})
        if "download" in request.path:
            return web.json_response({"artifact_uri": "s3://a/b"})
        return web.json_response({"model_version": {"version": "7", "source": "s3://a/b", "run_id": RUN}})

    async with Recorded(instead=answer) as mlflow:
        found = await resolve(mlflow, "models:/fraud@champion")
    assert len(found.lineage["parameters"]) == 20
    assert len(str(found.lineage)) < 16_000


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        ({"token": "t0ken\n"}, "Bearer t0ken"),
        ({"username": "ann", "password": "pa:ss"}, f"Basic {base64.b64encode(b'ann:pa:ss').decode()}"),
    ],
)
async def test_the_login_is_the_secrets(secret: dict[str, str], header: str) -> None:
    async with Recorded() as mlflow:
        await resolve(mlflow, "models:/fraud@champion", secret=secret, workspace="risk")
        assert mlflow.headers["Authorization"] == header
        assert mlflow.headers["X-MLFLOW-WORKSPACE"] == "risk"


@pytest.mark.parametrize("secret", [{"username": "ann"}, {"else": "x"}, {"token": "a\nX-Evil: b"}])
async def test_a_secret_that_is_of_no_use_is_told(secret: dict[str, str]) -> None:
    async with Recorded() as mlflow:
        with pytest.raises(RegistryError) as found:
            await resolve(mlflow, "models:/fraud@champion", secret=secret)
        assert mlflow.asked == []
    assert found.value.reason == "BadCredentials"
    assert "X-Evil" not in str(found.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://git.example.com/fraud.git", "https://git.example.com/fraud.git"),
        ("https://gitlab-ci-token:glcbt-64_secret@gitlab.com/acme/fraud.git", "https://gitlab.com/acme/fraud.git"),
        ("HTTP://token@git.example.com/a@b", "HTTP://git.example.com/a@b"),
        ("https://user:p@ss@git.example.com/fraud", "https://git.example.com/fraud"),
        (f"https://x:{'s' * 3000}@git.example.com/fraud", "https://git.example.com/fraud"),
        ("git@github.com:acme/fraud.git", "git@github.com:acme/fraud.git"),
        ("ssh://git@github.com/acme/fraud.git", "ssh://git@github.com/acme/fraud.git"),
        ("ssh://ann:pass@git.example.com/fraud", "ssh://ann@git.example.com/fraud"),
        ("https://x:pa'ss\"<#@git.example.com/fraud", "https://git.example.com/fraud"),
        ("https://git.example.com/fraud?private_token=x", "https://git.example.com/fraud"),
    ],
)
def test_the_login_in_a_repositorys_address_is_nobodys_lineage(address: str, told: str) -> None:
    run = {"data": {"tags": [{"key": "mlflow.source.git.repoURL", "value": address}]}}
    assert lineage_of("r1", run, {})["repository"] == told
    package = {"MetadataProperties": {"Repository": address}}
    assert sagemaker.lineage_of(package, {})["repository"] == told
