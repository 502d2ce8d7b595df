"""Downloads from real stores: an S3 server, versitygw, and an OCI registry, crane's."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import pytest

from localcluster import binaries
from localcluster.progress import wait_for
from modelward_inference import errors
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.fetch import obtain, run
from modelward_inference.fetch.sources import s3, source
from s3store import S3Store
from unit.inference.artifacts import onnx, tar_of, xgboost_file
from unit.inference.processes import free_port
from unit.inference.test_mlflow_models import HERE

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    made = S3Store(tmp_path_factory.mktemp("s3"), versions=True)
    try:
        made.client.create_bucket(Bucket="models")
        made.client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
        yield made
    finally:
        made.stop()


@pytest.fixture
def bucket(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client; the bucket is empty at first."""
    for name, value in {**store.environment, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(source, "BACKOFF", 0.0)
    client = store.client
    yield client
    for kept in client.list_object_versions(Bucket="models").get("Versions", ()):
        client.delete_object(Bucket="models", Key=kept["Key"], VersionId=kept["VersionId"])
    for kept in client.list_object_versions(Bucket="models").get("DeleteMarkers", ()):
        client.delete_object(Bucket="models", Key=kept["Key"], VersionId=kept["VersionId"])


def put(client: Any, key: str, content: bytes) -> str:
    return str(client.put_object(Bucket="models", Key=key, Body=content).get("VersionId"))


def logged(client: Any, prefix: str) -> None:
    for path in sorted((HERE / "xgboost").iterdir()):
        put(client, f"{prefix}/{path.name}", path.read_bytes())
    put(client, f"{prefix}/model.ubj", xgboost_file())


def got(uri: str, folder: Path) -> Receipt:
    shutil.rmtree(folder / "artifact", ignore_errors=True)
    (folder / "artifact").mkdir()
    return obtain.obtain(run.Request(uri, "auto", None, "m", folder), folder / "artifact")


@pytest.mark.parametrize("uri", ["s3://models/1/models/m-1/artifacts", "s3://models/1/models/m-1/artifacts/"])
def test_an_mlflow_model_is_fetched_from_its_prefix(uri: str, bucket: Any, tmp_path: Path) -> None:
    logged(bucket, "1/models/m-1/artifacts")
    put(bucket, "1/models/m-1/artifacts2/model.onnx", onnx())
    receipt = got(uri, tmp_path)
    assert (receipt.format, receipt.uri) == ("xgboost", uri)
    described = json.loads((tmp_path / "artifact" / "description.json").read_text())
    assert described["inputs"][0]["name"] == "sepal length (cm)"


def test_names_of_every_kind_are_read_as_they_are(bucket: Any, tmp_path: Path) -> None:
    put(bucket, "m/a b+c%20ü&=.onnx", onnx())
    put(bucket, "m/folder/", b"")
    receipt = got("s3://models/m/", tmp_path)
    assert (receipt.format, receipt.size) == ("onnx", len(onnx()))


def test_sagemaker_s_archive_is_fetched_with_its_programs_left_alone(bucket: Any, tmp_path: Path) -> None:
    files = {"xgboost-model": xgboost_file(), "code/inference.py": b"import os", "code/requirements.txt": b"x"}
    put(bucket, "job/output/model.tar.gz", tar_of(files))
    receipt = got("s3://models/job/output/model.tar.gz", tmp_path)
    assert receipt.format == "xgboost"
    assert "code/inference.py" in receipt.notes[0]


def test_a_version_is_fetched_though_a_newer_one_is_there(bucket: Any, tmp_path: Path) -> None:
    first = put(bucket, "m.bin", xgboost_file())
    put(bucket, "m.bin", onnx())
    assert got("s3://models/m.bin", tmp_path).format == "onnx"
    assert got(f"s3://models/m.bin?versionId={first}", tmp_path).format == "xgboost"
    with pytest.raises(errors.ModelError) as caught:
        got("s3://models/m.bin?versionId=01BX5ZZKBKACTAV9WEVGEMMVS0", tmp_path)
    assert type(caught.value) is errors.ArtifactNotFound


def test_a_file_that_is_overwritten_while_the_folder_is_read_begins_the_folder_anew(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(bucket, "m")
    opened: list[str] = []
    inner = s3.S3Source.open

    def spied(self: s3.S3Source, offset: int) -> source.Part:
        opened.append(self._key)
        if len(opened) == 2:
            put(bucket, "m/requirements.txt", b"numpy==1.0.0")
        return inner(self, offset)

    monkeypatch.setattr(s3.S3Source, "open", spied)
    got("s3://models/m/", tmp_path)
    assert opened.count("m/MLmodel") == 2
    assert json.loads((tmp_path / "artifact" / "description.json").read_text())["versions"]["numpy"] == "1.0.0"


def test_what_is_not_there_and_who_may_not_look_is_told(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "m/model.onnx", onnx())
    with pytest.raises(errors.ArtifactNotFound, match=r"there is no key other in bucket models"):
        got("s3://models/other", tmp_path)
    with pytest.raises(errors.ArtifactNotFound, match=r"s3://models/other/ is an empty folder"):
        got("s3://models/other/", tmp_path)
    with pytest.raises(errors.ArtifactNotFound, match=r"there is no bucket none"):
        got("s3://none/other/", tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(errors.AccessDenied, match=r"SignatureDoesNotMatch.*s3:ListBucket"):
        got("s3://models/m/", tmp_path)
    with pytest.raises(errors.AccessDenied, match=r"SignatureDoesNotMatch"):
        got("s3://models/m", tmp_path)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its host and port."""
    port = free_port()
    program = binaries.oci_registry()
    process = subprocess.Popen(
        [program, "registry", "serve", "--address", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    host = f"127.0.0.1:{port}"
    monkeypatch.setenv("OCI_PLAIN_HTTP", host)
    try:
        wait_for("the OCI registry", lambda: _status("GET", f"http://{host}/v2/") == 200, 60)
        yield host
    finally:
        process.kill()
        process.wait()


def _status(method: str, address: str, body: bytes = b"", **headers: str) -> int:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(address, body or None, told, method=method), timeout=10) as answer:
            return int(answer.status)
    except OSError:
        return 0


def push(host: str, files: dict[str, bytes]) -> str:
    """As `oras push` does: a blob for each file, with its name; returns the manifest's digest."""

    def blob(content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with urlopen(Request(f"http://{host}/v2/team/fraud/blobs/uploads/", b"", method="POST"), timeout=10) as begun:
            place = urljoin(f"http://{host}", begun.headers["Location"])
        assert _status("PUT", f"{place}?digest={digest}", content, Content_Type="application/octet-stream") == 201
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(content)}

    kind = "application/vnd.oci.image.manifest.v1+json"
    titled = [
        {**blob(content), "annotations": {"org.opencontainers.image.title": name}} for name, content in files.items()
    ]
    config = {**blob(b"{}"), "mediaType": "application/vnd.oci.empty.v1+json"}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": titled}).encode()
    address = f"http://{host}/v2/team/fraud/manifests/1"
    assert _status("PUT", address, manifest, Content_Type=kind) == 201
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def test_an_artifact_is_pulled_by_digest_and_by_a_tag_that_is_pinned(registry: str, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in sorted((HERE / "xgboost").iterdir())}
    digest = push(registry, {**files, "model.ubj": xgboost_file()})
    receipt = got(f"oci://{registry}/team/fraud@{digest}", tmp_path)
    assert (receipt.format, receipt.digest) == ("xgboost", digest)
    with pytest.raises(errors.InvalidConfiguration, match="plain http"):
        got(f"oci://{registry}/team/fraud:1", tmp_path)
    with pytest.raises(errors.ArtifactNotFound):
        got(f"oci://{registry}/team/fraud@sha256:{'0' * 64}", tmp_path)


def test_an_image_that_crane_made_is_read_below_models(registry: str, tmp_path: Path) -> None:
    (tmp_path / "layer.tar.gz").write_bytes(tar_of({"models/model.onnx": onnx(), "etc/os-release": b"x"}))
    pushed = subprocess.run(
        [
            binaries.oci_registry(), "append", "--oci-empty-base", "--insecure", "-f", tmp_path / "layer.tar.gz", "-t",
            f"{registry}/team/image:1",
        ],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    receipt = got(f"oci://{pushed}", tmp_path)
    assert (receipt.format, receipt.digest) == ("onnx", pushed.partition("@")[2])
