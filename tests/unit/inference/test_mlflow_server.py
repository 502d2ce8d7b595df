"""What MLflow's tracking server keeps, over its own REST interface.

The server is a stand-in that answers as MLflow 3.17.2 did when it was asked the same, unless MODELWARD_MLFLOW names the
`mlflow` program of an environment that has it: then it is MLflow itself, and what only a stand-in can do is left out.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from localcluster.progress import wait_for
from modelward_inference import errors
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.fetch import obtain, run
from modelward_inference.fetch.sources import folders, mlflow, source
from threaded import answering

from .artifacts import onnx, xgboost_file
from .test_mlflow_models import HERE

pytestmark = pytest.mark.unit

PROGRAM = os.environ.get("MODELWARD_MLFLOW")
ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
STANDS_IN = pytest.mark.skipif(PROGRAM is not None, reason="only the stand-in does this")


class Tracking(ThreadingHTTPServer):
    """Files below a folder. `cut`: bytes after which the next file breaks off; `before`: is called for each file."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.cut: int | None = None
        self.before: Callable[[str], object] = lambda _: None
        self.refuse = False


class Handler(BaseHTTPRequestHandler):
    server: Tracking
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.asked.append((self.path, headers))
        parts = urlsplit(self.path)
        if self.server.refuse or not parts.path.startswith(ROUTE):
            self._answer(403 if self.server.refuse else 404, b"Invalid Host header")
        elif parts.path == ROUTE:
            self._list(parse_qs(parts.query).get("path", [""])[0])
        else:
            self._file(unquote(parts.path.removeprefix(f"{ROUTE}/")), headers)

    def _list(self, path: str) -> None:
        folder = self.server.root / path
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        files = [
            {"path": each.name, "is_dir": each.is_dir()} | ({} if each.is_dir() else {"file_size": each.stat().st_size})
            for each in found
        ]
        self._answer(200, json.dumps({"files": files} if files else {}).encode())

    def _file(self, path: str, headers: dict[str, str]) -> None:
        self.server.before(path)
        file = self.server.root / path
        if not file.is_file():
            self._answer(400 if file.is_dir() else 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')
            return
        content = file.read_bytes()
        tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        wanted = headers.get("range") if headers.get("if-range", tag) == tag else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        extra = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if wanted else {}
        cut, self.server.cut = self.server.cut, None
        self._answer(206 if wanted else 200, content[start:], {"ETag": tag, **extra}, cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@dataclass
class Server:
    """`root`: where its artifacts lie."""

    address: str
    root: Path
    stand_in: Tracking | None = None
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path] | None]:
    if PROGRAM is None:
        yield None
        return
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = folder / "artifacts"
    root.mkdir()
    process = subprocess.Popen(
        [
            PROGRAM, "server", "--backend-store-uri", f"sqlite:///{folder}/ml.db", "--artifacts-destination", str(root),
            "--serve-artifacts", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONPATH": ""},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("MLflow's server", lambda: _answers(f"http://127.0.0.1:{port}/health"), 180)
        yield f"http://127.0.0.1:{port}", root
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def server(real: tuple[str, Path] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(source, "BACKOFF", 0.0)
    if real is not None:
        address, root = real
        shutil.rmtree(root / "1", ignore_errors=True)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield Server(address, root)
        return
    root = tmp_path / "root"
    root.mkdir()
    with answering(Tracking(root)) as stand_in:
        address = f"http://127.0.0.1:{stand_in.server_address[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield Server(address, root, stand_in)


def logged(server: Server, name: str = "1/models/m-1/artifacts") -> Path:
    folder = server.root / name
    shutil.copytree(HERE / "xgboost", folder)
    (folder / "model.ubj").write_bytes(xgboost_file())
    return folder


def got(uri: str, folder: Path) -> Receipt:
    (folder / "artifact").mkdir(exist_ok=True)
    return obtain.obtain(run.Request(uri, "auto", None, "m", folder), folder / "artifact")


def test_a_logged_model_is_fetched_by_the_folder_that_the_registry_names(server: Server, tmp_path: Path) -> None:
    folder = logged(server)
    receipt = got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)
    assert (receipt.format, receipt.uri) == ("xgboost", "mlflow-artifacts:/1/models/m-1/artifacts")
    assert receipt.size == sum(each.stat().st_size for each in folder.iterdir())
    assert sorted(receipt.files) == ["description.json", "model.ubj"]
    netloc = urlsplit(server.address).netloc
    (tmp_path / "again").mkdir()
    assert got(f"mlflow-artifacts://{netloc}/1/models/m-1/artifacts/", tmp_path / "again").digest == receipt.digest


def test_one_file_of_a_run_is_fetched_too_whatever_it_is_called(server: Server, tmp_path: Path) -> None:
    folder = server.root / "1" / "run" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "a ü+é&b.onnx").write_bytes(onnx())
    receipt = got("mlflow-artifacts:/1/run/artifacts/a ü+é&b.onnx", tmp_path)
    assert (receipt.format, receipt.digest) == ("onnx", f"sha256:{hashlib.sha256(onnx()).hexdigest()}")


def test_a_folder_in_a_folder_is_read_too(server: Server, tmp_path: Path) -> None:
    folder = logged(server, "1/run/artifacts/model")
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "x.txt").write_text("x")
    whole = mlflow.MlflowFolder(mlflow.Tracking(server.address), "1/run/artifacts")
    assert sorted(each.name for each in whole.entries()) == sorted(
        str(each.relative_to(server.root / "1/run/artifacts")) for each in folder.rglob("*") if each.is_file()
    )
    assert got("mlflow-artifacts:/1/run/artifacts", tmp_path).format == "xgboost"


def test_what_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(errors.ArtifactNotFound, match=r"mlflow-artifacts:/1/none does not exist on http://127"):
        got("mlflow-artifacts:/1/none", tmp_path)
    assert list((tmp_path / "artifact").iterdir()) == []


@STANDS_IN
def test_a_broken_transfer_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    assert server.stand_in is not None
    logged(server)
    server.stand_in.cut = 100  # of MLmodel, as its folder is listed
    cut = []

    def cuts(path: str) -> None:
        if path.endswith("model.ubj") and not cut:
            assert server.stand_in is not None
            cut.append(path)
            server.stand_in.cut = 100

    server.stand_in.before = cuts
    got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)
    assert [headers["range"] for _, headers in server.stand_in.asked if "range" in headers] == ["bytes=100-"]


@STANDS_IN
def test_a_model_that_is_logged_anew_while_it_is_read_is_read_again(server: Server, tmp_path: Path) -> None:
    assert server.stand_in is not None
    folder = logged(server)
    changed = []

    def change(path: str) -> None:
        if path.endswith("requirements.txt") and not changed:
            changed.append(path)
            (folder / "requirements.txt").unlink()
            (folder / "conda.yaml").write_text("another")

    server.stand_in.before = change
    receipt = got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)
    assert receipt.size == sum(each.stat().st_size for each in folder.iterdir())


@STANDS_IN
def test_another_model_whose_files_have_the_same_sizes_is_known_by_its_own_id(server: Server, tmp_path: Path) -> None:
    """Else one file would be of the one, and the next of the other."""
    assert server.stand_in is not None
    folder = logged(server)
    changed = []

    def change(path: str) -> None:
        if path.endswith("requirements.txt") and not changed:
            changed.append(path)
            for name, old, new in [("requirements.txt", "=", "#"), ("MLmodel", "model_uuid: c", "model_uuid: d")]:
                before = (folder / name).read_text()
                (folder / name).write_text(before.replace(old, new))
                assert (folder / name).read_text() != before

    server.stand_in.before = change
    receipt = got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)
    assert changed
    now = {each.name: f"sha256:{hashlib.sha256(each.read_bytes()).hexdigest()}" for each in folder.iterdir()}
    assert receipt.digest == folders.digest_of(now)


@STANDS_IN
def test_a_description_that_goes_while_its_folder_is_listed_is_looked_for_again(server: Server) -> None:
    assert server.stand_in is not None
    folder = logged(server)
    kept = (folder / "MLmodel").read_bytes()
    asked = []

    def change(path: str) -> None:
        asked.append(path)
        if len(asked) == 1:
            (folder / "MLmodel").unlink()
        else:
            (folder / "MLmodel").write_bytes(kept)

    server.stand_in.before = change
    whole = mlflow.MlflowFolder(mlflow.Tracking(server.address), "1/models/m-1/artifacts")
    with pytest.raises(source.TransientError, match="MLmodel went"):
        whole.entries()
    (folder / "MLmodel").write_bytes(kept)
    assert {each.name: bool(each.tag) for each in whole.entries()} == {
        each.name: each.name == "MLmodel" for each in folder.iterdir()
    }


def test_a_file_of_that_name_which_is_no_description_is_not_read_to_its_end(server: Server) -> None:
    folder = logged(server)
    (folder / "MLmodel").write_bytes(b" " * (5 << 20))
    whole = mlflow.MlflowFolder(mlflow.Tracking(server.address), "1/models/m-1/artifacts")
    assert not any(each.tag for each in whole.entries())


WHO: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "nobody": ({}, {}),
    "a user": (
        {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p:w"},
        {"authorization": f"Basic {base64.b64encode(b'u:p:w').decode()}"},
    ),
    "a token": ({"MLFLOW_TRACKING_TOKEN": "t\n"}, {"authorization": "Bearer t"}),
    "a workspace": ({"MLFLOW_WORKSPACE": "team"}, {"x-mlflow-workspace": "team"}),
}


@STANDS_IN
@pytest.mark.parametrize("case", WHO)
def test_who_asks_is_told_with_every_request(
    case: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.stand_in is not None
    settings, sent = WHO[case]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    logged(server)
    got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)
    assert len(server.stand_in.asked) > 5
    for _, headers in server.stand_in.asked:
        assert {key: headers[key] for key in ("authorization", "x-mlflow-workspace") if key in headers} == sent


@STANDS_IN
def test_a_redirect_to_another_host_does_not_take_the_credentials_along(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .test_downloads import Answer, serving

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with (
        serving(Answer(200, {}, b'{"files": []}')) as other,
        serving(Answer(302, {"Location": f"http://127.0.0.1:{other.port}/x"})) as first,
    ):
        tracking = mlflow.Tracking.from_environment(
            {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{first.port}", "MLFLOW_TRACKING_TOKEN": "secret"}
        )
        assert tracking.listed("x") == []
        assert first.asked[0][1]["authorization"] == "Bearer secret"
        assert "authorization" not in other.asked[0][1]


@STANDS_IN
def test_a_server_that_refuses_is_told_with_what_to_set(server: Server, tmp_path: Path) -> None:
    assert server.stand_in is not None
    server.stand_in.refuse = True
    with pytest.raises(errors.AccessDenied, match=r"MLFLOW_TRACKING_USERNAME.*MLFLOW_SERVER_ALLOWED_HOSTS"):
        got("mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)


LISTS = [
    b"<html>", b"[]", b'{"files": [{"path": "../x"}]}', b'{"files": [{}]}', b'{"files": 1}', b"[" * 100_000,
    b'{"files": [{"path": "..", "is_dir": true}]}', b'{"files": [{"path": "\\ud800", "is_dir": true}]}',
    b'{"files": [{"path": "x", "file_size": 1e999}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", LISTS)
def test_what_is_no_mlflow_server_is_told(body: bytes) -> None:
    from .test_downloads import Answer, serving

    with serving(Answer(200, {}, body)) as other, pytest.raises(errors.ArtifactUnreachable, match="--serve-artifacts"):
        mlflow.Tracking(f"http://127.0.0.1:{other.port}").listed("x")


def test_a_server_whose_folders_never_end_is_cut_off() -> None:
    from .test_downloads import Answer, serving

    files = [{"path": f"d{each}", "is_dir": True} for each in range(100)]
    with serving(Answer(200, {}, json.dumps({"files": files}).encode())) as other:
        folder = mlflow.MlflowFolder(mlflow.Tracking(f"http://127.0.0.1:{other.port}"), "x")
        assert len(folder.entries()) > 10_000
        assert len(other.asked) <= 101


SETTINGS: dict[str, tuple[dict[str, str], str, str]] = {
    "no server": ({}, "mlflow-artifacts:/1", "MLFLOW_TRACKING_URI"),
    "a server of another kind": ({"MLFLOW_TRACKING_URI": "sqlite:///x"}, "mlflow-artifacts:/1", "http:// or"),
    "another server": ({"MLFLOW_TRACKING_URI": "http://a:5000"}, "mlflow-artifacts://b:5000/1", "the server b:5000"),
    "no path": ({"MLFLOW_TRACKING_URI": "http://a:5000"}, "mlflow-artifacts:/", "names no artifact"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_can_not_be_used_are_told_before_anyone_is_asked(case: str) -> None:
    environment, uri, said = SETTINGS[case]
    with pytest.raises(errors.InvalidConfiguration, match=said):
        mlflow.source_of(uri, environment)


def test_credentials_in_the_server_s_address_are_not_part_of_it() -> None:
    told = mlflow.Tracking.from_environment({"MLFLOW_TRACKING_URI": "https://u:p@m.example/base/"})
    assert told.address == "https://m.example/base"
