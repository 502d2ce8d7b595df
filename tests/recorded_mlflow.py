"""A tracking server that answers as MLflow 3.17.2 was recorded to: what a test holds in it, and what it is told to do.

tests/integration asks a real one the same questions.
"""

import json
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

API = "/api/2.0/mlflow"
RUN = "cd8ccc0832c4460db4f3291185786a52"
MODEL = "m-8c84c5391f1e44749fd4b11b3ac7128b"
COMMIT = "5be0e9c1c5f8b6d0f2f1c0b2a79a4e3d6c8f7a11"

MODEL_FILE = """\
flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
    python_version: 3.11.7
  sklearn:
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
mlflow_version: 3.17.2
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
"""

Answer = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]


def error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error_code": code, "message": message}, status=status)


@dataclass
class Recorded:
    """`async with Recorded() as mlflow:` serves the model `fraud` at `mlflow.url`. `models`: others that have the same
    versions and aliases; `instead`: answers everything in the
    place of what is held; `tags`: by version and key; `writes`: that were taken; `read_only`: none is taken; `asked`:
    paths with their queries; `headers`: of the last request."""

    versions: set[str] = field(default_factory=lambda: {"1", "2"})
    models: set[str] = field(default_factory=lambda: {"fraud"})
    aliases: dict[str, str] = field(default_factory=lambda: {"champion": "1"})
    artifacts: str = "mlflow-artifacts:/1/models/m-{}/artifacts"
    sources: dict[str, str] = field(default_factory=dict)
    model_file: str = MODEL_FILE
    instead: Answer | None = None
    data: str = '{"uri": "s3://data/train.parquet"}'
    tls: ssl.SSLContext | None = None
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    writes: list[tuple[str, ...]] = field(default_factory=list)
    read_only: bool = False
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1", scheme="https" if self.tls else "http")
        await self._server.start_server(**({"ssl": self.tls} if self.tls else {}))
        self.url = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    def count(self, part: str) -> int:
        return sum(part in each for each in self.asked)

    def artifact(self, version: str) -> str:
        return self.sources.get(version) or self.artifacts.format(version)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.headers = dict(request.headers)
        if self.instead is not None:
            answer = self.instead(request)
            return await answer if isinstance(answer, Awaitable) else answer
        path, query = request.path.removeprefix(API), request.query
        if request.method == "POST":
            return self._write(path, await request.json())
        match path:
            case "/registered-models/alias":
                return self._alias(query["name"], query["alias"])
            case "/model-versions/get":
                return self._version(query["name"], query["version"])
            case "/model-versions/get-download-uri":
                return web.json_response({"artifact_uri": self.artifact(query["version"])})
            case "/model-versions/search":
                return self._search(query["filter"])
            case "/registered-models/search":
                return web.json_response({"registered_models": []})
            case "/runs/get":
                return self._run(query["run_id"])
        if path.startswith("/logged-models/"):
            return self._logged(path.removeprefix("/logged-models/"))
        if request.path.startswith("/api/2.0/mlflow-artifacts/artifacts/") and path.endswith("/MLmodel"):
            return web.Response(text=self.model_file)
        return web.Response(status=404, text="Not Found")

    def _write(self, path: str, told: dict[str, str]) -> web.Response:
        if self.read_only:
            return web.Response(status=403, text="Permission denied")
        if told["name"] not in self.models or told["version"] not in self.versions:
            said = f"Model Version (name={told['name']}, version={told['version']}) not found"
            return error(404, "RESOURCE_DOES_NOT_EXIST", said)
        if path == "/model-versions/set-tag":
            assert re.fullmatch(r"[/\w.\- ]{1,250}", told["key"]), told
            self.tags[told["version"], told["key"]] = told["value"]
            self.writes.append((told["version"], told["key"], told["value"]))
        else:
            assert path == "/registered-models/alias"
            assert re.fullmatch(r"[\w\-]{1,255}", told["alias"]), told
            self.aliases[told["alias"]] = told["version"]
            self.writes.append((told["version"], "@" + told["alias"]))
        return web.json_response({})

    def _search(self, wanted: str) -> web.Response:
        name, key, value = re.fullmatch(r"name='([^']*)' and tags\.`([^`]*)` = '([^']*)'", wanted).groups()  # type: ignore[union-attr]
        found = [
            {"name": name, "version": version, "tags": [{"key": each, "value": told}]}
            for (version, each), told in self.tags.items()
            if (each, told) == (key, value) and name in self.models
        ]
        return web.json_response({"model_versions": found} if found else {})

    def _alias(self, name: str, alias: str) -> web.Response:
        if name not in self.models:
            return error(404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")
        if alias not in self.aliases:
            return error(400, "INVALID_PARAMETER_VALUE", f"Registered model alias {alias} not found.")
        return self._version(name, self.aliases[alias])

    def _version(self, name: str, version: str) -> web.Response:
        if name not in self.models or version not in self.versions:
            said = f"Model Version (name={name}, version={version}) not found"
            return error(404, "RESOURCE_DOES_NOT_EXIST", said)
        told = {
            "name": name, "version": version, "creation_timestamp": 1795971613893,
            "last_updated_timestamp": 1795971613893, "source": f"models:/{MODEL}", "run_id": RUN, "status": "READY",
        }  # fmt: skip
        return web.json_response({"model_version": told})

    def _run(self, run_id: str) -> web.Response:
        if run_id != RUN:
            return error(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found")
        info = {"run_id": RUN, "artifact_uri": f"mlflow-artifacts:/1/{RUN}/artifacts"}
        tags = [
            {"key": "mlflow.source.git.commit", "value": COMMIT},
            {"key": "mlflow.source.git.repoURL", "value": "https://git.example.com/fraud.git"},
        ]
        data = {"params": [{"key": "C", "value": "1"}], "metrics": [{"key": "auc", "value": 0.91}], "tags": tags}
        sets = [{"dataset": {"name": "fraud-train", "digest": "81835f75", "source_type": "s3", "source": self.data}}]
        outputs = {"model_outputs": [{"model_id": MODEL, "step": 0}]}
        run: dict[str, Any] = {
            "info": info, "data": data, "inputs": {"dataset_inputs": sets}, "outputs": outputs,
        }  # fmt: skip
        return web.json_response({"run": run})

    def _logged(self, model_id: str) -> web.Response:
        if model_id != MODEL:
            return error(404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{model_id}' not found.")
        info = {
            "model_id": MODEL, "name": "model", "source_run_id": RUN, "status": "LOGGED_MODEL_READY",
            "artifact_uri": f"mlflow-artifacts:/1/models/{MODEL}/artifacts",
        }  # fmt: skip
        return web.json_response({"model": {"info": info, "data": {"params": [{"key": "C", "value": "1"}]}}})


def raw(status: int, body: bytes | str, **headers: str) -> Answer:
    """Answers always the same."""
    content = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(status=status, body=content, headers=named)


def shown(document: object) -> Answer:
    return raw(200, json.dumps(document), Content_Type="application/json")
