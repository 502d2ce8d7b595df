"""`make demo`: every stage from an empty machine to predictions through the router, and how long each took."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

from examples.demo import live, loop
from examples.demo.cluster import HERE, create_namespace, forwarded, install_store, publish
from examples.demo.load import load
from examples.demo.model import Trained, train
from localcluster import cluster, install
from localcluster.clients import kubectl
from localcluster.progress import SetupError

NAMESPACE, MODEL = loop.NAMESPACE, loop.MODEL

RATE = 100.0
"""Requests a second that clients send during the rollouts."""


class Stages:
    """Names the stages and keeps their times, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


def predict(address: str, rows: Any) -> Any:
    """The labels of rows [n, 64], from an ordinary client."""
    client = triton.InferenceServerClient(address)
    given = client.get_model_metadata(MODEL)["inputs"][0]
    tensor = triton.InferInput(given["name"], list(rows.shape), given["datatype"])
    tensor.set_data_from_numpy(rows.astype(triton_to_np_dtype(given["datatype"])))
    return client.infer(MODEL, [tensor]).as_numpy("predict")


def up() -> None:
    stages = Stages()
    with stages.stage("a Kubernetes cluster"):
        cluster.up()
    with stages.stage("images, and the operator"):
        install.install()
    with stages.stage("a model, trained on handwritten digits and published to S3 in the cluster"):
        trained = train()
        create_namespace(NAMESPACE)
        install_store(NAMESPACE)
        bundle = trained.bundle()
        versions = {"digits/1/digits.tar": bundle, "digits/2/digits.tar": train(trees=150, seed=1).bundle()}
        publish(NAMESPACE, "models", {**versions, "digits/3/digits.tar": train(shuffled=True).bundle()})
        print(f"    {len(bundle):,} bytes at s3://models/digits/1/digits.tar: the model, its signature and golden rows")
        print("    version 2 has more trees; version 3 was trained on labels in disorder")
    with stages.stage("kubectl apply -f examples/demo/digits.yaml"):
        print((HERE / "digits.yaml").read_text())
        # What an earlier demo left would make version 1 a candidate, and nobody sends requests yet that could judge it.
        kubectl("delete", "modeldeployment", MODEL, "-n", NAMESPACE, "--ignore-not-found")
        applied = time.monotonic()
        kubectl("apply", "-n", NAMESPACE, "-f", str(HERE / "digits.yaml"))
        stable = live.wait_until_ready(NAMESPACE, MODEL)["status"]["stable"]
        seconds_to_ready = time.monotonic() - applied
        print(f"    served: {stable['format']}, {stable['form'].lower()}, {stable['digest'][:19]}…")
    with stages.stage("predictions for the held-out rows, through the router, by tritonclient"):
        with forwarded(NAMESPACE, MODEL, 80) as address:
            answer = predict(address, trained.rows)
        accuracy, agreement = float(np.mean(answer == trained.labels)), float(np.mean(answer == trained.predictions))
        print(f"    {len(trained.rows)} rows, accuracy {accuracy:.3f}, agreement with scikit-learn {agreement:.3f}")
    figures: dict[str, Any] = {
        "rows": len(trained.rows),
        "accuracy": round(accuracy, 4),
        "agreement": round(agreement, 4),
        "seconds_to_ready": round(seconds_to_ready, 1),
    }
    roll_out(stages, trained, figures)
    loop.close_the_loop(stages.stage, trained, figures, request, predict, RATE)
    report(stages, figures)


def roll_out(stages: Stages, trained: Trained, figures: dict[str, Any]) -> None:
    """A better version by canary, and then a bad one, while clients go on asking."""
    address = f"http://{MODEL}/v2/models/{MODEL}/infer"
    rows = [request(row) for row in trained.rows.tolist()]
    with load(NAMESPACE, "rest", address, *rows, rate=RATE, longest=600) as clients:
        with stages.stage(f"version 2, by canary: 20 %, 50 %, all, while clients send {RATE:.0f} requests a second"):
            change_model(2)
            body = live.watch_rollout(NAMESPACE, MODEL, ("Promoted", "RolledBack"))
            figures["canary_promoted"] = body["status"]["rollout"]["phase"] == "Promoted"
            live.wait_until_ready(NAMESPACE, MODEL)
        with stages.stage("version 3, which is wrong: its gate sees it, and it is rolled back"):
            change_model(3)
            body = live.watch_rollout(NAMESPACE, MODEL, ("Promoted", "RolledBack"))
            figures["bad_version_rolled_back"] = body["status"]["rollout"]["phase"] == "RolledBack"
            bad = body["status"]["rollout"]["revision"]
    figures |= {
        "requests": sum(clients.results.values()),
        "lost_requests": sum(clients.failed.values()),
        "bad_answers": clients.revisions.get(bad, 0),
    }
    print(f"    {figures['requests']} requests during both, {figures['lost_requests']} lost;", end=" ")
    print(f"{figures['bad_answers']} were answered by the bad version")
    print("\n" + kubectl("get", "modeldeployments", "-n", NAMESPACE))


def request(row: list[float]) -> str:
    """One row, as curl would send it."""
    tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    return json.dumps({"inputs": [tensor]})


def change_model(version: int) -> None:
    """What a commit to Git would do."""
    patch = {"spec": {"model": {"uri": f"s3://models/digits/{version}/digits.tar"}}}
    print(f"    kubectl patch modeldeployment {MODEL} --type merge -p '{json.dumps(patch)}'")
    kubectl("patch", "modeldeployment", MODEL, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch))


def report(stages: Stages, figures: dict[str, Any]) -> None:
    print("\n== how long each stage took")
    for name, seconds in stages.seconds.items():
        print(f"    {seconds:7.1f}s  {name}")
    print(f"""
== go on from here (the cluster stays up; `make demo-down` ends it)
    export KUBECONFIG=$(make -s kubeconfig)
    kubectl get modeldeployments -n {NAMESPACE}
    kubectl describe modeldeployment {MODEL} -n {NAMESPACE}
    kubectl describe driftpolicy {MODEL} -n {NAMESPACE}
    kubectl get retrainingruns -n {NAMESPACE}
    kubectl port-forward -n {NAMESPACE} service/{MODEL} 8080:80 &
    curl -s localhost:8080/v2/models/{MODEL}
    kubectl annotate driftpolicy {MODEL} -n {NAMESPACE} modelward.io/retrain=now
""")
    print(json.dumps(figures))


def down() -> None:
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false", check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="examples.demo")
    parser.add_argument("verb", choices=["up", "down"])
    try:
        up() if parser.parse_args().verb == "up" else down()
    except (SetupError, live.NotReadyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here", file=sys.stderr)
        return 130
    return 0


sys.exit(main())
