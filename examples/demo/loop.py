"""The second half of the demo: the world changes, the monitors see it, and the model is trained anew by itself."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from examples.demo import live, objects, registry
from examples.demo.cluster import HERE, forwarded, publish
from examples.demo.load import load
from examples.demo.model import Trained
from localcluster.clients import kubectl

NAMESPACE = "modelward-demo"
MODEL = "digits"
LOOP_SECONDS = 420.0
WHITE = np.float32(16)

Stage = Callable[[str], AbstractContextManager[None]]
Predict = Callable[[str, Any], Any]


def inverted(rows: Any) -> Any:
    """Black on white instead of white on black, [n, 64]: somebody changed the scanner."""
    return WHITE - rows


def close_the_loop(
    stage: Stage,
    trained: Trained,
    figures: dict[str, Any],
    request: Callable[[list[float]], str],
    predict: Predict,
    rate: float,
) -> None:
    """`request`: a row as clients send it; `predict`: labels (n,) of rows [n, 64], asked at an address."""
    changed = inverted(trained.rows)
    with stage("kubectl apply -f examples/demo/drift-policy.yaml, while nothing drifts"):
        _publish_labelled(trained)
        print((HERE / "drift-policy.yaml").read_text())
        # A new model answers otherwise where the old one is wrong: that is what it was trained for.
        gates = {"spec": {"rollout": {"gates": {"disagreement": None}}}}
        kubectl("patch", "modeldeployment", MODEL, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(gates))
        back_to("2")
        kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=policy())
        before = live.get(NAMESPACE, MODEL)["metadata"]["generation"]
        figures["accuracy_before"] = _accuracy(trained.rows, trained, predict)
        print(f"    accuracy {figures['accuracy_before']:.3f}")
    with stage("the scanner was changed: black on white from now on"):
        figures["accuracy_drifted"] = _accuracy(changed, trained, predict)
        print(f"    accuracy {figures['accuracy_drifted']:.3f}, and no error anywhere: only the inputs can tell")
        with load(
            NAMESPACE, "rest", f"http://{MODEL}/v2/models/{MODEL}/infer", *map(request, changed.tolist()), rate=rate,
            longest=600,
        ) as clients:  # fmt: skip
            figures |= _watch()
    with stage("after it"):
        figures["accuracy_after"] = _accuracy(changed, trained, predict)
        lost = sum(clients.failed.values())
        figures["lost_requests"] += lost
        figures["requests"] += sum(clients.results.values())
        print(f"    accuracy {figures['accuracy_after']:.3f}; {lost} requests lost meanwhile")
        # Each write that changes a spec raises its generation.
        figures["spec_writes"] = live.get(NAMESPACE, MODEL)["metadata"]["generation"] - before
        print(f"    {figures['spec_writes']} writes to the ModelDeployment's spec: Git still says what it said")
        print("\n" + kubectl("get", "retrainingruns", "-n", NAMESPACE))
        print("\n" + kubectl("get", "driftpolicies,modeldeployments", "-n", NAMESPACE))


def policy() -> str:
    """The demo's DriftPolicy, whose Job runs in the image that trained the other versions."""
    manifest = (HERE / "drift-policy.yaml").read_text()
    return manifest.replace("docker.io/modelward/mlflow:dev", registry.image())


def _publish_labelled(trained: Trained) -> None:
    """What people will have labelled by the time of the change."""
    content = io.BytesIO()
    np.savez(content, rows=inverted(trained.train_rows), labels=trained.train_labels)
    publish(NAMESPACE, "models", {f"{MODEL}/data/latest.npz": content.getvalue()})


def back_to(version: str) -> None:
    """The alias still names the version that was rolled back: people set it back, as status says."""
    print(f'    MlflowClient().set_registered_model_alias("{MODEL}", "{registry.ALIAS}", "{version}")')
    with registry.Mlflow(NAMESPACE) as mlflow:
        mlflow.move(MODEL, registry.ALIAS, version)
    live.wait_until_ready(NAMESPACE, MODEL, version)


def _accuracy(rows: Any, trained: Trained, predict: Predict) -> float:
    with forwarded(NAMESPACE, MODEL, 80) as address:
        return round(float(np.mean(predict(address, rows) == trained.labels)), 4)


def _watch() -> dict[str, Any]:
    """Print what happens until a run has ended. Returns the figures of the loop."""
    began = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        target, runs = first_target(status(MODEL)), _runs()
        for topic, text in _lines(target, runs):
            if shown.get(topic) != text:
                shown[topic] = text
                print(f"    {time.monotonic() - began:5.1f}s  {text}", flush=True)
        ended = [each["status"]["phase"] for each in runs if "finishedAt" in each.get("status", {})]
        if ended:
            return {"retraining_jobs": len(ended), "retrained_promoted": ended[0] == "Promoted"}
        if time.monotonic() - began > LOOP_SECONDS:
            raise live.NotReadyError(f"the loop did not close in {LOOP_SECONDS:.0f} s: {shown}")
        time.sleep(0.5)


def _runs() -> list[dict[str, Any]]:
    """The retraining runs, the latest first."""
    items: list[dict[str, Any]] = json.loads(kubectl("get", "retrainingruns", "-n", NAMESPACE, "-o", "json"))["items"]
    return sorted(items, key=lambda each: str(each["spec"]["requestedAt"]), reverse=True)


def status(policy: str) -> dict[str, Any]:
    """What a DriftPolicy says."""
    found: dict[str, Any] = objects.get("driftpolicies", NAMESPACE, policy).get("status", {})
    return found


def first_target(said: dict[str, Any]) -> dict[str, Any]:
    """What it says of the model, the only one that the demo's policies are for."""
    return next(iter(said.get("targets", ())), {})


def _lines(target: dict[str, Any], runs: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What there is to see, by topic."""
    if "window" in target:
        worst = "".join(f"  {each['name']} {each['metric']} {each['value']}" for each in target["features"][:1])
        many = f"{len(target.get('drifted', ()))} of {target.get('judged', 0)} features"
        yield "verdict", f"{target['verdict']}: {many} in a window of {target['window']['rows']} rows{worst}"
    for run in runs:
        name, status = run["metadata"]["name"], run.get("status", {})
        told = [status.get("phase"), status.get("holdout"), status.get("message")]
        yield name, f"{name}: {'; '.join(filter(None, told))}"
    model = live.get(NAMESPACE, MODEL)["status"]
    if model.get("rollout", {}).get("phase") == "Progressing":
        yield "rollout", live.line(model)
