"""A server that is not ours, in real pods: a team's own FastAPI app, its files from the store, rolled out and back.

It runs from the inference image, which has FastAPI, by a command of its own; nothing of our server is in it.
"""

import hashlib
from typing import Any

import pytest
import urllib3
from examples.demo.cluster import forwarded
from examples.demo.load import load
from examples.demo.model import Trained

from .model import Model, until
from .test_pods import image

APP = """
import os, pathlib, fastapi, uvicorn
app = fastapi.FastAPI()
files = pathlib.Path(os.environ["MODEL_DIR"])
@app.get("/healthz")
def ready():
    return {"files": sorted(each.name for each in files.iterdir())}
@app.post("/score")
async def score(request: fastapi.Request):
    await request.json()
    if os.environ["VERSION"] == "bad":
        raise fastapi.HTTPException(500, "out of order")
    return {"version": os.environ["VERSION"], "bytes": sum(each.stat().st_size for each in files.iterdir())}
uvicorn.run(app, host="0.0.0.0", port=int(os.environ["PORT"]))
"""

CANARY: dict[str, Any] = {
    "strategy": "Canary", "steps": [{"weight": 20, "hold": "3s"}, {"weight": 50, "hold": "3s"}],
    "gates": {"errorRate": {"margin": "2%"}, "latency": {"slo": "500ms", "margin": "20%"}, "minSamples": 50},
}  # fmt: skip
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
BODIES = (('{"amount": 1}', 1.0),)
RATE = 60
"""Requests a second."""


def apply(model: Model, trained: Trained, version: str) -> None:
    container = {
        "image": image(), "command": ["/opt/venv/bin/python3", "-c"], "args": [APP], "readyPath": "/healthz",
        "env": [{"name": "VERSION", "value": version}],
    }  # fmt: skip
    digest = f"sha256:{hashlib.sha256(trained.onnx()).hexdigest()}"
    model.apply(model={"digest": digest}, runtime={"container": container}, rollout=CANARY, resources=SMALL)


def rollout(model: Model) -> dict[str, Any]:
    shown: dict[str, Any] = model.get().get("status", {}).get("rollout", {})
    return shown


@pytest.mark.quiet
def test_a_teams_own_server_is_rolled_out_and_a_bad_one_comes_back(model: Model, trained: Trained) -> None:
    apply(model, trained, "one")
    stable = model.settle()["status"]["stable"]
    assert (stable["runtime"], stable["protocol"], stable["format"]) == ("container", "path", "files")
    with forwarded(model.namespace, model.name, 80) as at:
        answer = urllib3.PoolManager().request("POST", f"http://{at}/score", json={"amount": 1}).json()
        assert answer == {"version": "one", "bytes": len(trained.onnx())}, "its files are those of the store"
        assert urllib3.PoolManager().request("GET", f"http://{at}/metrics").status == 404
    with load(model.namespace, "rest", f"http://{model.name}/score", *BODIES, rate=RATE) as sent:
        apply(model, trained, "two")
        until(lambda: rollout(model).get("phase") == "Promoted", "the promotion")
        model.settle()
    assert not sent.failed
    second = model.stable()
    assert second != stable["revision"]
    assert {each["name"]: each["verdict"] for each in rollout(model)["gates"]} == {
        "errorRate": "Pass",
        "latency": "Pass",
    }
    with load(model.namespace, "rest", f"http://{model.name}/score", *BODIES, rate=RATE):
        apply(model, trained, "bad")
        until(lambda: rollout(model).get("phase") == "RolledBack", "the rollback")
    assert "errorRate" in model.condition("Ready")["message"]
    assert (model.stable(), model.condition("Servable")["status"]) == (second, "True")


def test_a_server_that_never_gets_ready_is_named_with_its_path(model: Model) -> None:
    container = {
        "image": image(), "command": ["/opt/venv/bin/python3", "-m", "http.server", "8080"], "readyPath": "/healthz",
    }  # fmt: skip
    model.apply("image://", credentials=False, runtime={"container": container}, resources=SMALL)
    told = until(
        lambda: (found := model.condition("Ready"))["reason"] == "RuntimeNotReady" and found["message"],
        "that it does not answer",
    )
    assert "does not answer GET /healthz on port 8080 with 200" in told
