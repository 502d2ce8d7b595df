"""`modelward lineage` on a real cluster: a request is found by the id that its client was told, in a real pod."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from examples.demo.cluster import forwarded
from examples.demo.model import Trained

from localcluster import binaries, settings

from .model import Model, until
from .test_monitors import BUNDLE, requests, window

CLI = Path(__file__).parents[2] / "integrations" / "cli"
UNCERTAIN = 3


def lineage(model: Model, name: str) -> tuple[int, Any]:
    ended = subprocess.run(
        [
            sys.executable, "-m", "modelward_cli", "lineage", name, "-n", model.namespace, "-o", "json",
            "--kubectl", str(binaries.kubectl()), "--kubeconfig", str(settings.kubeconfig_path()),
        ],
        env={**os.environ, "PYTHONPATH": str(CLI)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def test_a_request_is_found_by_the_id_in_its_answer(model: Model, trained: Trained) -> None:
    model.apply(BUNDLE, monitor=window(60, 200))
    model.settle()
    until(lambda: model.condition("Monitored")["reason"] == "Counting", "monitored")
    (body, *_) = requests(trained.rows)
    with forwarded(model.namespace, model.name, 80) as address:
        url = f"http://{address}/v2/models/{model.name}/infer"
        forged = {"content-type": "application/json", "x-modelward-revision": "forged", "x-request-id": "forged"}
        with urlopen(Request(url, body.encode(), forged), timeout=10.0) as answer:
            told = {name.lower(): value for name, value in answer.headers.items()}
    assert told["x-modelward-revision"] == model.stable()
    found = until(lambda: _certain(model, told["x-request-id"]), "its pod remembers it")
    assert found["revision"] == model.stable()
    assert found["artifact"]["digest"] == model.get()["status"]["stable"]["digest"]
    assert lineage(model, "forged")[0] == UNCERTAIN, "the router made the id"
    code, unknown = lineage(model, str(uuid.uuid4()))
    assert code == UNCERTAIN, unknown
    # Models of other tests in this namespace could have answered it as well.
    assert [each["share"] for each in unknown["revisions"] if each["revision"] == model.stable()] == [100]
    assert all(each["problem"] is None for each in unknown["pods"] if each["model"] == model.name)


def _certain(model: Model, request_id: str) -> Any:
    code, told = lineage(model, request_id)
    return told["revisions"][0] if code == 0 else None
