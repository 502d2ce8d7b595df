"""The demo's registry, a real MLflow server in the cluster: what trains and registers, and what people do in it.

By its REST API and from outside of the cluster, as a person's notebook would.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import urllib3

from examples.demo import objects
from examples.demo.cluster import HERE, forwarded, publish
from localcluster import images
from localcluster.clients import kubectl
from localcluster.progress import SetupError, wait_for

MLFLOW_SECONDS, TRAINING_SECONDS = 240.0, 300.0
ALIAS = "champion"
BUCKET = "mlflow"
"""Where artifacts lie: scripts write them to S3 themselves, and pods read them there."""

SCRIPTS = ("examples/demo/model.py", "examples/demo/versions.py", "examples/retraining/register.py")
ROOT = HERE.parents[1]


def install_mlflow(namespace: str) -> None:
    """Start the server, with nothing in it; `wait_for_mlflow` waits for it. The S3 server is there."""
    kubectl("delete", "deployment", "mlflow", "-n", namespace, "--ignore-not-found")
    publish(namespace, BUCKET, {})
    manifest = (HERE / "mlflow.yaml").read_text()
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest.replace("docker.io/modelward/mlflow:dev", image()))


def image() -> str:
    """MLflow's, which is the training image, too."""
    return images.ensure(["mlflow"])["mlflow"]


def wait_for_mlflow(namespace: str) -> None:
    kubectl("rollout", "status", "deployment/mlflow", "-n", namespace, f"--timeout={MLFLOW_SECONDS:.0f}s")


class Mlflow:
    """`with Mlflow(namespace) as mlflow:`; what a notebook does there. Raises RuntimeError where it refuses."""

    def __init__(self, namespace: str) -> None:
        self._forwarded = forwarded(namespace, "mlflow", 5000)

    def __enter__(self) -> "Mlflow":
        self._address = self._forwarded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._forwarded.__exit__(*error)

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One call of the REST API; for GET, `body` is the query."""
        url = f"http://{self._address}/api/2.0/mlflow/{path}"
        given: dict[str, Any] = {"fields": body} if method == "GET" else {"json": body}
        # The server ends what is kept open for five seconds, also while the next request is on its way.
        answer = urllib3.request(method, url, timeout=30.0, headers={"Connection": "close"}, **given)
        if answer.status != 200:
            raise RuntimeError(f"MLflow answered {method} {path} with {answer.status}: {answer.data[:500]!r}")
        return answer.json()

    def move(self, model: str, alias: str, version: str) -> float:
        """Point the alias to a version. Returns when that was done, seconds of time.monotonic()."""
        self.ask("POST", "registered-models/alias", name=model, alias=alias, version=version)
        return time.monotonic()

    def named(self, model: str, alias: str) -> dict[str, Any]:
        """The version that has the alias."""
        found: dict[str, Any] = self.ask("GET", "registered-models/alias", name=model, alias=alias)["model_version"]
        return found

    def source(self, model: str, version: str) -> str:
        """Where the version's artifacts lie."""
        path = "model-versions/get-download-uri"
        return str(self.ask("GET", path, name=model, version=version)["artifact_uri"])

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "runs/get", run_id=run_id)["run"]
        return found


def train_versions(namespace: str) -> str:
    """Start the Job that trains three versions and registers them. Returns its name."""
    kubectl("delete", "job", "train", "-n", namespace, "--ignore-not-found")
    give_scripts(namespace)
    manifest = (HERE / "training.yaml").read_text()
    kubectl("create", "-n", namespace, "-f", "-", stdin=manifest.replace("docker.io/modelward/mlflow:dev", image()))
    return "train"


def wait_for_versions(namespace: str, job: str, count: int) -> list[str]:
    """What the Job says of the first `count` versions, once they are registered. Raises SetupError."""
    said: list[str] = []

    def are_there() -> bool:
        failed = objects.get("jobs", namespace, job).get("status", {}).get("failed")
        log = kubectl("logs", f"job/{job}", "-n", namespace, check=False)
        if failed:
            raise SetupError(f"the training failed: {log[-3000:]}")
        said[:] = [line for line in log.splitlines() if line.startswith("digits version")]
        return len(said) >= count

    wait_for("the training", are_there, TRAINING_SECONDS, pause=1.0)
    return said[:count]


def give_scripts(namespace: str) -> None:
    """The ConfigMaps that training Jobs mount and read: scripts of this checkout, and what a CI system would set."""
    environment = {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000", "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": "/opt/modelward:/training", "GIT_COMMIT": commit() or "", "LOGNAME": "pipeline",
    }  # fmt: skip
    files = {Path(each).name: (ROOT / each).read_text() for each in SCRIPTS}
    for name, data in (("training", files), ("training-environment", environment)):
        body = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data,
        }  # fmt: skip
        kubectl("apply", "-f", "-", stdin=json.dumps(body))


def commit() -> str | None:
    """Of this checkout; None where it is none."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def downloads(namespace: str) -> int:
    """How often models' pods have downloaded a model: each reads MLmodel once, and nobody else does."""
    log = kubectl("logs", "deployment/s3", "-n", namespace)
    return sum("| GET |" in line and line.split("|")[6].strip().endswith("/MLmodel") for line in log.splitlines())


def tell_lineage(namespace: str, model: str, request: str) -> dict[str, Any]:
    """Print what made the model that answers `request` (JSON), by MLflow and by status. Returns what status says."""
    with forwarded(namespace, model, 80) as address:
        answer = urllib3.request("POST", f"http://{address}/v2/models/{model}/infer", body=request, timeout=30.0)
    revision = answer.headers["x-modelward-revision"]
    status = objects.get("modeldeployments", namespace, model)["status"]
    stable = status["stable"]
    if stable["revision"] != revision:
        raise RuntimeError(f"{revision} answered, and status names {stable['revision']}")
    lineage = stable.get("lineage") or status["model"]["lineage"]
    (data,) = lineage["dataSets"]
    told = _told(stable["version"], data, lineage.get("commit"))
    with Mlflow(namespace) as mlflow:
        named = mlflow.named(model, ALIAS)
        run = mlflow.run(named["run_id"])
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    learnt = run["inputs"]["dataset_inputs"][0]["dataset"]
    shown = _told(named["version"], learnt, tags.get("mlflow.source.git.commit"))
    print(f"    revision {revision} answered (the header x-modelward-revision)")
    print(f"    {'':10}{'its status':44}MLflow, of {model}@{ALIAS}")
    for name, value in told.items():
        print(f"    {name:10}{value:44}{shown.get(name)}")
    return told


def _told(version: str, data: dict[str, str], commit: str | None) -> dict[str, str]:
    found = {"version": version, "dataSet": data["name"], "digest": data["digest"], "commit": commit}
    return {name: value for name, value in found.items() if value}
