"""`make demo`: from an empty machine to a model that an alias names in MLflow, and what comes of it when that moves."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

from examples.demo import cache, live, loop, objects, outcomes, registry
from examples.demo.cluster import HERE, create_namespace, forwarded, install_store
from examples.demo.load import load
from examples.demo.model import Trained, train
from localcluster import cluster, install
from localcluster.clients import kubectl
from localcluster.progress import SetupError, wait_for

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
    # What an earlier demo left would make version 1 a candidate, and nobody sends requests yet that could judge it.
    stale = ["modeldeployment,driftpolicy", MODEL, outcomes.POLICY]
    kubectl("delete", *stale, "-n", NAMESPACE, "--ignore-not-found", check=False)
    what = "images, the operator; beside them S3, an MLflow server, and a Job that trains"
    with stages.stage(what), ThreadPoolExecutor(1) as pool:
        beside = pool.submit(set_up_registry)
        install.install()
        job = beside.result()
    with stages.stage("a first version, trained on handwritten digits and registered in MLflow by that Job"):
        trained = train()
        print(f"    {registry.wait_for_versions(NAMESPACE, job, 1)[0]}; two more follow")
    with stages.stage(
        "version 1 gets the alias champion; kubectl apply -f examples/demo/digits.yaml, which follows it"
    ):
        print((HERE / "digits.yaml").read_text())
        move_alias("1")
        downloads = registry.downloads(NAMESPACE)
        applied = time.monotonic()
        kubectl("apply", "-n", NAMESPACE, "-f", str(HERE / "digits.yaml"))
        stable = live.wait_until_ready(NAMESPACE, MODEL, "1")["status"]["stable"]
        seconds_to_ready = time.monotonic() - applied
        print(f"    served: {stable['format']}, {stable['form'].lower()}, {stable['digest'][:19]}… of {stable['uri']}")
    with stages.stage("predictions for the held-out rows, through the router, by tritonclient"):
        with forwarded(NAMESPACE, MODEL, 80) as address:
            answer = predict(address, trained.rows)
        accuracy, agreement = float(np.mean(answer == trained.labels)), float(np.mean(answer == trained.predictions))
        print(f"    {len(trained.rows)} rows, accuracy {accuracy:.3f}, agreement with scikit-learn {agreement:.3f}")
    figures: dict[str, Any] = {
        "registry": "mlflow",
        "rows": len(trained.rows),
        "accuracy": round(accuracy, 4),
        "agreement": round(agreement, 4),
        "seconds_to_ready": round(seconds_to_ready, 1),
    }
    print("".join(f"    {line}\n" for line in registry.wait_for_versions(NAMESPACE, job, 3)[1:]), end="")
    roll_out(stages, trained, figures)
    loop.close_the_loop(stages.stage, trained, figures, request, predict, RATE)
    outcomes.learn_what_became(stages.stage, trained, figures)
    with stages.stage("which data and which code made the model that answers now, by MLflow and by the cluster"):
        figures["lineage"] = registry.tell_lineage(NAMESPACE, MODEL, request(trained.rows[0].tolist()))
        figures["downloads"] = registry.downloads(NAMESPACE) - downloads
        print(f"    {figures['downloads']} downloads by all pods together, as the S3 server's log counts them")
        print("\n" + kubectl("get", "modeldeployments", "-n", NAMESPACE, "-o", "wide"))
    report(stages, figures)


def set_up_registry() -> str:
    """S3, MLflow, a shared cache, and the Job that registers: it trains while MLflow starts. Returns the Job's name."""
    create_namespace(NAMESPACE)
    install_store(NAMESPACE)
    outcomes.forget()
    registry.install_mlflow(NAMESPACE)
    job = registry.train_versions(NAMESPACE)
    cache.install_cache()
    return job


def roll_out(stages: Stages, trained: Trained, figures: dict[str, Any]) -> None:
    """A better version by canary, and then a bad one, while clients go on asking."""
    address = f"http://{MODEL}/v2/models/{MODEL}/infer"
    rows = [request(row) for row in trained.rows.tolist()]
    with load(NAMESPACE, "rest", address, *rows, rate=RATE, longest=600) as clients:
        with stages.stage(
            f"the alias moves to version 2: 20 %, 50 %, all, while clients send {RATE:.0f} requests a second"
        ):
            before = revisions()
            moved = move_alias("2")
            print(f"    kubectl annotate modeldeployment {MODEL} modelward.io/refresh=now")
            kubectl("annotate", "modeldeployment", MODEL, "-n", NAMESPACE, "modelward.io/refresh=now", "--overwrite")
            figures["alias_to_candidate_s"] = round(first_pod(before) - moved, 2)
            print(
                f"    {figures['alias_to_candidate_s']} s later the candidate's first pod is there. The annotation had"
            )
            print("    MLflow asked at once; else up to the pollInterval of 5 s comes on top")
            body = watch("2")
            figures["canary_promoted"] = body["status"]["rollout"]["phase"] == "Promoted"
            stable = live.wait_until_ready(NAMESPACE, MODEL, "2")["status"]["stable"]["revision"]
            first, *_, last = cache.start_seconds(NAMESPACE, stable)
            figures["cached_start_ratio"] = round(last / first, 2)
            print(f"    its first pod took {first:.0f} s to start, its last one, from the cache, {last:.0f} s")
        with stages.stage("the alias moves to version 3, which is wrong: its gate sees it, and it is rolled back"):
            move_alias("3")
            body = watch("3")
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


def move_alias(version: str) -> float:
    """What a person or a pipeline does in MLflow. Returns when it was done, seconds of time.monotonic()."""
    print(f'    MlflowClient().set_registered_model_alias("{MODEL}", "{registry.ALIAS}", "{version}")')
    with registry.Mlflow(NAMESPACE) as mlflow:
        return mlflow.move(MODEL, registry.ALIAS, version)


def watch(version: str) -> dict[str, Any]:
    """Show the rollout of a version until it has ended."""
    with registry.Mlflow(NAMESPACE) as mlflow:
        uri = mlflow.source(MODEL, version)
    return live.watch_rollout(NAMESPACE, MODEL, uri, ("Promoted", "RolledBack"))


def revisions() -> set[str]:
    """Those that have pods."""
    pods = objects.find_all("pods", NAMESPACE, f"app.kubernetes.io/instance={MODEL},modelward.io/revision")
    return {each["metadata"]["labels"]["modelward.io/revision"] for each in pods}


def first_pod(before: set[str]) -> float:
    """When another revision than those `before` had its first pod, seconds of time.monotonic()."""
    wait_for("the candidate's first pod", lambda: revisions() - before, live.READY_SECONDS, pause=0.05)
    return time.monotonic()


def report(stages: Stages, figures: dict[str, Any]) -> None:
    print("\n== how long each stage took")
    for name, seconds in stages.seconds.items():
        print(f"    {seconds:7.1f}s  {name}")
    print(f"""
== go on from here (the cluster stays up; `make demo-down` ends it)
    export KUBECONFIG=$(make -s kubeconfig)
    kubectl get modeldeployments,modelregistries -n {NAMESPACE} -o wide
    kubectl describe modeldeployment {MODEL} -n {NAMESPACE}
    kubectl describe driftpolicy {MODEL} -n {NAMESPACE}
    kubectl get retrainingruns -n {NAMESPACE}
    kubectl describe driftpolicy {outcomes.POLICY} -n {NAMESPACE}
    kubectl port-forward -n {NAMESPACE} service/{MODEL} 8080:80 &
    curl -s localhost:8080/v2/models/{MODEL}
    kubectl annotate driftpolicy {MODEL} -n {NAMESPACE} modelward.io/retrain=now
    kubectl port-forward -n {NAMESPACE} service/mlflow 5000:5000 &    # MLflow's page: http://localhost:5000/#/models/{MODEL}
""")
    print(json.dumps(figures))


def down() -> None:
    kubectl("delete", "namespace", cache.NODE_NAMESPACE, "--ignore-not-found", "--wait=false", check=False)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false", check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="examples.demo")
    parser.add_argument("verb", choices=["up", "down"])
    try:
        up() if parser.parse_args().verb == "up" else down()
    except (SetupError, live.NotReadyError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here", file=sys.stderr)
        return 130
    return 0


sys.exit(main())
