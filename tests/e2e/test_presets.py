"""Real servers of others in real pods, by their presets: NVIDIA's Triton (2.51, of PyTriton's wheel, with its Python
backend) and Seldon's MLServer. A version takes over on what the router saw of clients, and a bad one comes back.

Their images are made here, of the same layout as their makers': those can't be had on every machine.
"""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import urllib3
from examples.demo.cluster import forwarded, publish
from examples.demo.load import load

from localcluster import images
from localcluster.clients import kubectl
from modelward.api.names import GRPC_PORT
from presetserver import models

from .model import Model, until
from .test_runtimes import CANARY, RATE, SMALL, rollout

ROW = [1.0, 2.0]
REQUEST = {"inputs": [{"name": "input", "shape": [1, models.COLUMNS], "datatype": "FP32", "data": ROW}]}
DEADLINE = 240.0
"""Seconds. MLServer imports for five seconds of a processor before it is ready, and other tests run beside it."""

JSON = {"Content-Type": "application/json"}
"""MLServer takes nothing else."""


LONGEST = int(2 * DEADLINE)
"""Seconds that clients ask on for, unless it ends before."""


class Served:
    """A model in a server of others, as a user applies and asks it."""

    def __init__(self, model: Model, preset: str) -> None:
        self.model, self.preset = model, preset
        self.image = images.ensure([preset])[preset]
        self.path = f"/v2/models/{model.name}/infer"
        self.address = f"http://{model.name}{self.path}"

    def apply(self, artifact: bytes, tap: bool = False, **more: Any) -> None:
        """Another version, under an address of its own. `tap`: with one before the server; `more`: of spec."""
        digest = hashlib.sha256(artifact).hexdigest()
        key = f"{self.model.name}/{digest[:12]}/model.tar"
        publish(self.model.namespace, "models", {key: artifact})
        self.model.apply(
            key, model={"digest": f"sha256:{digest}"}, resources=SMALL,
            runtime={"name": self.preset, **({"tap": {}} if tap else {})},
            template={"spec": {"containers": [{"name": "server", "image": self.image}]}}, **{"rollout": CANARY, **more},
        )  # fmt: skip

    def ends(self, phase: str) -> None:
        until(lambda: rollout(self.model).get("phase") == phase, f"the rollout is {phase}", DEADLINE)

    def settles(self) -> dict[str, Any]:
        until(self.model.is_settled, f"{self.model.name} settled", DEADLINE)
        return self.model.get()

    def ask(self, path: str, body: Any = None) -> urllib3.BaseHTTPResponse:
        """Through the router."""
        with forwarded(self.model.namespace, self.model.name, 80) as at, urllib3.PoolManager() as pool:
            how = {} if body is None else {"json": body}
            return pool.request("GET" if body is None else "POST", f"http://{at}{path}", **how)

    def score(self) -> float:
        answer = self.ask(self.path, REQUEST)
        assert answer.status == 200, answer.data
        return float(answer.json()["outputs"][0]["data"][0])

    def score_by_grpc(self) -> float:
        tensor = tritonclient.grpc.InferInput("input", [1, models.COLUMNS], "FP32")
        tensor.set_data_from_numpy(np.array([ROW], dtype=np.float32))
        with (
            forwarded(self.model.namespace, self.model.name, GRPC_PORT) as at,
            tritonclient.grpc.InferenceServerClient(at) as client,
        ):
            answer = client.infer(self.model.name, [tensor])
        return float(answer.as_numpy(answer.get_response().outputs[0].name)[0][0])

    def counted(self, metric: str) -> float:
        """Its own metric, of its pods, as Prometheus reads it."""
        return metric_of(self.model, 8081, metric)


def metric_of(model: Model, port: int, metric: str) -> float:
    """Over all pods of a model, as Prometheus reads it there."""
    total = 0.0
    for pod in model.pods():
        proxy = f"/api/v1/namespaces/{model.namespace}/pods/{pod['metadata']['name']}:{port}/proxy/metrics"
        lines = kubectl("get", "--raw", proxy).splitlines()
        total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{metric}{{", f"{metric} ")))
    return total


def by_grpc(model: Model) -> tuple[str, str, str]:
    """What `load` sends by gRPC."""
    messages = tritonclient.grpc.service_pb2
    tensor = messages.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[1, models.COLUMNS])
    raw = np.array([ROW], dtype=np.float32).tobytes()
    request = messages.ModelInferRequest(model_name=model.name, inputs=[tensor], raw_input_contents=[raw])
    return "grpc", f"{model.name}:{GRPC_PORT}", request.SerializeToString().hex()


def test_two_tritons_are_rolled_out_by_evidence_and_one_that_fails_comes_back(model: Model) -> None:
    served = Served(model, "triton")
    served.apply(models.triton_repository(1.0))
    first = served.settles()["status"]["stable"]
    assert (first["runtime"], first["protocol"], first["format"]) == ("triton", "v2", "files")
    assert (served.score(), served.score_by_grpc()) == (4.0, 4.0)
    assert [served.ask(path, {}).status for path in ("/v2/repository/index", "/v2/logging")] == [404, 404]
    assert served.counted("nv_inference_request_success") >= 2
    with load(model.namespace, "rest", served.address, json.dumps(REQUEST), rate=RATE, longest=LONGEST) as sent:
        served.apply(models.triton_repository(10.0))
        served.ends("Promoted")
        served.settles()
    assert not sent.failed
    second = model.stable()
    assert second != first["revision"]
    assert {each["name"]: each["verdict"] for each in rollout(model)["gates"]} == {
        "errorRate": "Pass", "latency": "Pass",
    }  # fmt: skip
    assert served.score() == 13.0
    with load(model.namespace, *by_grpc(model), rate=RATE, longest=LONGEST) as sent:
        served.apply(models.triton_repository(None))
        served.ends("RolledBack")
    assert "errorRate" in model.condition("Ready")["message"]
    assert set(sent.failed) == {"INTERNAL"}
    assert (model.stable(), served.score_by_grpc()) == (second, 13.0)


def test_two_mlservers_are_rolled_out_by_evidence_and_one_of_other_columns_comes_back(model: Model) -> None:
    served = Served(model, "mlserver")
    served.apply(models.mlserver_folder(1.0))
    first = served.settles()["status"]["stable"]
    assert [served.score(), served.score_by_grpc()] == pytest.approx([4.0, 4.0])
    # It would unload the model for whoever asks.
    assert served.ask(f"/v2/repository/models/{model.name}/unload", {}).status == 404
    assert served.counted("model_infer_request_success_total") >= 2
    with load(
        model.namespace, "rest", served.address, json.dumps(REQUEST), rate=RATE, headers=JSON, longest=LONGEST
    ) as sent:
        served.apply(models.mlserver_folder(10.0))
        served.ends("Promoted")
        served.settles()
    assert not sent.failed
    second = model.stable()
    assert second != first["revision"]
    assert served.score() == pytest.approx(13.0)
    with load(model.namespace, "rest", served.address, json.dumps(REQUEST), rate=RATE, headers=JSON, longest=LONGEST):
        served.apply(models.mlserver_folder(10.0, columns=models.COLUMNS + 1))
        served.ends("RolledBack")
    assert "errorRate" in model.condition("Ready")["message"]
    assert model.stable() == second
    assert served.score() == pytest.approx(13.0)


def test_a_tap_before_an_mlserver_tells_the_monitor_what_it_is_asked_and_compares_answers(model: Model) -> None:
    """Rows reach the monitor by both protocols, the server's own metrics are at their other port, and a shadow that
    answers otherwise is told by its answers alone: nothing fails."""
    served = Served(model, "mlserver")
    gates = {"disagreement": {"max": "5%"}, "minSamples": 50}
    more: dict[str, Any] = {
        "tap": True, "monitor": {"learnRows": 100},
        "rollout": {"strategy": "Shadow", "shadow": {"percent": 100, "requests": 200}, "gates": gates},
    }  # fmt: skip
    served.apply(models.mlserver_folder(1.0), **more)
    first = served.settles()["status"]["stable"]
    assert served.score() == pytest.approx(4.0)
    assert metric_of(model, 8083, "model_infer_request_success_total") >= 1
    until(lambda: learned(model) == 1, "the row that was asked by REST is the monitor's", DEADLINE)
    assert served.score_by_grpc() == pytest.approx(4.0)
    until(lambda: learned(model) == 2, "the row that was asked by gRPC is, too", DEADLINE)
    pod, *_ = model.pods()
    names = [each["name"] for each in pod["spec"]["initContainers"]]
    assert names == ["download", "monitor", "modelward-tap"]
    with load(
        model.namespace, "rest", served.address, json.dumps(REQUEST), rate=RATE, headers=JSON, longest=LONGEST
    ) as sent:
        until(lambda: captured(model) >= 150, "rows are captured", DEADLINE)
        served.apply(models.mlserver_folder(10.0), **more)
        served.ends("RolledBack")
    assert not sent.failed
    assert "disagreement" in model.condition("Ready")["message"]
    assert model.stable() == first["revision"]
    assert served.score() == pytest.approx(4.0)


def learned(model: Model) -> float:
    """Rows that the monitors of its pods hold, from which they are to learn."""
    return metric_of(model, 8081, "modelward_monitor_learning_rows")


def captured(model: Model) -> float:
    """Requests that the taps of the stable's pods have read."""
    return metric_of(model, 8082, "modelward_tap_captured_requests_total")
