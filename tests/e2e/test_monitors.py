"""Monitors in real pods: drift in status, every row counted once whatever dies, references that are learned."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from examples.demo import objects
from examples.demo.load import load
from examples.demo.model import Trained

from localcluster.clients import kubectl

from .model import Model, until

BUNDLE = "digits/1/digits.tar"
RATE = 100.0
KILL_THE_MONITOR = """
import os, signal
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/cmdline").read().split("\\0")
    except OSError:
        continue
    if words[-2:] == ["monitor", ""] and "keep" not in words:
        os.kill(int(name), signal.SIGKILL)
"""


def address(model: Model) -> str:
    return f"http://{model.name}/v2/models/{model.name}/infer"


def requests(rows: Any) -> list[str]:
    """One row each. The bundle's model takes `input`, the plain ONNX `X`; a name that is wrong would be refused."""
    return [
        json.dumps({"inputs": [{"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}]})
        for row in rows.tolist()
    ]


def monitor(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = model.get()["status"].get("monitor", {})
    return found


def counted(model: Model) -> int:
    return int(monitor(model).get("intake", {}).get("counted", 0))


def pods(model: Model) -> list[str]:
    selector = f"app.kubernetes.io/instance={model.name},app.kubernetes.io/component=server"
    return objects.names("pods", model.namespace, selector)


def window(seconds: int, rows: int) -> dict[str, Any]:
    return {"window": {"duration": f"{seconds}s", "minSamples": rows}}


def test_a_shift_of_the_inputs_is_told(model: Model, trained: Trained, measured: Callable[[str], None]) -> None:
    model.apply(BUNDLE, monitor=window(3, 200))
    model.settle()
    until(lambda: model.condition("Monitored")["reason"] == "Counting", "monitored")
    usual, shifted = requests(trained.rows), requests(np.float32(16) - trained.rows)
    with load(model.namespace, "rest", address(model), *usual, rate=RATE) as sent:
        until(lambda: monitor(model).get("window", {}).get("rows", 0) >= 200, "a window")
        said = monitor(model)
    assert not sent.failed
    assert said["window"]["drifted"] == 0, said["features"]
    assert said["reference"]["source"] == "Training"
    began = time.monotonic()
    with load(model.namespace, "rest", address(model), *shifted, rate=RATE) as sent:
        until(lambda: monitor(model)["window"]["drifted"] > 10, "drift of most pixels")
    told = model.condition("Monitored")["message"]
    assert "features drifted" in told
    said = monitor(model)
    assert len(said["features"]) == 10
    assert all(each["verdict"] == "Drifted" for each in said["features"])
    worst = said["features"][0]
    measured(f"drift: {said['window']['drifted']} features of {said['reference']['features']} in a window of "
             f"{said['window']['rows']} rows, {time.monotonic() - began:.0f} s after the inputs changed; "
             f"{worst['name']} {worst['metric']} {worst['value']}, cut {worst['cut']}")  # fmt: skip


@pytest.mark.quiet
def test_every_row_is_counted_once_whatever_dies(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    model.apply(BUNDLE, replicas=2, monitor=window(3, 1))
    model.settle()
    until(lambda: model.condition("Monitored")["reason"] == "Counting", "monitored")
    with load(model.namespace, "rest", address(model), *requests(trained.rows[:50]), rate=RATE) as sent:
        first, second = pods(model)
        until(lambda: counted(model) > 100, "the first rows")
        python = ("/opt/venv/bin/python3", "-c")
        kubectl("exec", first, "-n", model.namespace, "-c", "monitor", "--", *python, KILL_THE_MONITOR)
        until(lambda: counted(model) > 500, "more rows")
        kubectl("delete", "pod", second, "-n", model.namespace, "--wait=false")
        until(lambda: len(set(pods(model)) - {first, second}) == 1, "another pod")
        until(lambda: second not in pods(model), "the end of the pod")
        seen = counted(model)
        until(lambda: counted(model) > seen, "rows after it")
        kubectl("rollout", "restart", "deployment/modelward-operator", "-n", "modelward-system")
        kubectl("rollout", "status", "deployment/modelward-operator", "-n", "modelward-system", "--timeout=120s")
        seen = counted(model)
        until(lambda: counted(model) > seen, "rows that another operator counted")
    assert not sent.failed
    total = sum(sent.results.values())
    until(lambda: counted(model) >= total, f"all {total} rows")
    said = monitor(model)
    assert said["intake"] == {"counted": total, "sampledOut": 0, "dropped": 0, "refused": 0, "lost": 0}
    assert "missing" not in said["window"]
    ready = kubectl(
        "get", "pod", first, "-n", model.namespace, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"
    )
    assert ready == "0"
    measured(f"every one of {total} rows counted once: a monitor killed, a pod deleted, the operator restarted")


def test_a_model_without_a_reference_learns_one_for_all_its_pods(model: Model, trained: Trained) -> None:
    model.apply(replicas=2, monitor={"learnRows": 100, **window(2, 50)})
    model.settle()
    until(lambda: model.condition("Monitored")["reason"] == "LearningReference", "that one is learned")
    rows = [body.replace('"input"', '"X"') for body in requests(trained.rows[:50])]
    with load(model.namespace, "rest", address(model), *rows, rate=RATE) as sent:
        until(lambda: model.condition("Monitored")["reason"] == "LearnedReference", "that one was learned")
        until(lambda: monitor(model).get("window", {}).get("rows", 0) >= 50, "a window")
    assert not sent.failed
    said = monitor(model)
    assert said["reference"]["source"] == "Learned"
    digests = set()
    for pod in pods(model):
        proxy = f"/api/v1/namespaces/{model.namespace}/pods/{pod}:8081/proxy"
        assert "digest" not in kubectl("get", "--raw", f"{proxy}/v1/reference", check=False), "the operator's alone"
        told = kubectl("get", "--raw", f"{proxy}/metrics")
        digests |= set(re.findall(r'modelward_monitor_reference_info\{digest="([^"]+)"', told))
    assert digests == {said["reference"]["digest"]}
