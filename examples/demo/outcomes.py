"""The last part of the demo: people say what the digits were, and so what the model is worth."""

import json
import time
from typing import Any

import numpy as np
import urllib3

from examples.demo import live
from examples.demo.cluster import HERE, forwarded, s3_client
from examples.demo.loop import MODEL, NAMESPACE, Stage, first_target, inverted, status
from examples.demo.model import Trained
from localcluster.clients import kubectl
from localcluster.progress import wait_for

POLICY = "digits-quality"
SECONDS = 240.0
"""Longest that a value takes: the next full minute, the Job's image and start, and what else a small machine does."""

BUCKET, PREFIX = "models", "predictions/"

READ_OTHERWISE = np.array([7, 7, 2, 8, 9, 5, 6, 7, 8, 9])
"""By digit, what people call it after their guideline has changed: 0 and 1 are 7, 3 is 8, 4 is 9."""


def learn_what_became(stage: Stage, trained: Trained, figures: dict[str, Any]) -> None:
    """Labels arrive for predictions, by the caller's own keys; then the same inputs come to mean something else."""
    rows = inverted(trained.rows)
    with stage(f"{len(rows)} predictions under keys of the client's own; kubectl apply -f examples/demo/outcomes.yaml"):
        print((HERE / "outcomes.yaml").read_text())
        said = _predict("monday", rows)
        kubectl("apply", "-n", NAMESPACE, "-f", str(HERE / "outcomes.yaml"))
    with stage("people have labelled them: POST /v2/models/digits/outcomes"):
        _tell("monday", trained.labels)
        found = _measured(len(rows))
        figures["accuracy_known"] = round(float(np.mean(said == trained.labels)), 4)
        figures["accuracy_by_outcomes"] = float(found["value"])
        print(f"    accuracy {found['value']} ({found['low']} to {found['high']}) of {found['rows']} rows, as the")
        print(f"    cluster's Job joined them; what the demo itself knows: {figures['accuracy_known']}")
    with stage("the same inputs once more, but people call them otherwise now: concept drift"):
        _predict("tuesday", rows)
        _tell("tuesday", READ_OTHERWISE[trained.labels])
        found = _measured(2 * len(rows))
        wait_for(f"{POLICY} to be told", lambda: _condition("Drifted")["status"] == "True", SECONDS)
        figures["accuracy_after_concept_drift"] = float(found["value"])
        figures["verdict_by_inputs"] = str(first_target(status(MODEL)).get("verdict"))
        print(f"    by its inputs: {figures['verdict_by_inputs']}. Outcomes tell:")
        print(f"    {_condition('Drifted')['message']}")
        print("\n" + kubectl("get", "driftpolicies", "-n", NAMESPACE))


def forget() -> None:
    """What an earlier demo logged: its models had the same revisions."""
    with forwarded(NAMESPACE, "s3", 7070) as address:
        client = s3_client(address)
        if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            return
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX):
            for each in page.get("Contents", ()):
                client.delete_object(Bucket=BUCKET, Key=each["Key"])


def _predict(key: str, rows: Any) -> Any:
    """The labels (n,) of rows [n, 64], asked for in one request under `key`."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    headers = {"modelward-key": key, "content-type": "application/json"}
    answer = _post("infer", {"inputs": [tensor]}, headers)
    return np.array(next(each["data"] for each in answer["outputs"] if each["name"] == "predict"))


def _tell(key: str, labels: Any) -> None:
    """The outcome of each row of that request."""
    told = [{"key": key, "row": row, "value": str(label)} for row, label in enumerate(labels.tolist())]
    _post("outcomes", {"outcomes": told}, {"content-type": "application/json"})


def _post(verb: str, body: Any, headers: dict[str, str]) -> Any:
    with forwarded(NAMESPACE, MODEL, 80) as address, urllib3.PoolManager() as pool:
        url = f"http://{address}/v2/models/{MODEL}/{verb}"
        answer = pool.request("POST", url, body=json.dumps(body), headers=headers, timeout=60.0)
    if answer.status not in (200, 202):
        raise RuntimeError(f"POST {url} was answered with {answer.status}: {answer.data[:500]!r}")
    return answer.json()


def _measured(rows: int) -> dict[str, Any]:
    """The policy's value once it is about so many rows; what it says until then is shown."""
    began, shown = time.monotonic(), ""
    while time.monotonic() - began < SECONDS:
        found: dict[str, Any] = first_target(status(POLICY)).get("quality", {})
        if found.get("rows", 0) >= rows and "value" in found:
            return found
        told = _condition("Measured")["message"]
        if told and told != shown:
            print(f"    {time.monotonic() - began:5.1f}s  {told}", flush=True)
            shown = told
        time.sleep(0.5)
    raise live.NotReadyError(f"no value of {rows} rows in {SECONDS:.0f} s: {shown}")


def _condition(kind: str) -> dict[str, str]:
    nothing = {"status": "", "message": ""}
    return next((each for each in status(POLICY).get("conditions", ()) if each["type"] == kind), nothing)
