"""Twenty rollouts, one after another, while clients send requests by REST and gRPC: how many are lost?

Canaries that are promoted, one that is rolled back by its gate, one that a person gives up, returns to a revision that
is still there, and a change of mind in the middle.
"""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from examples.demo.cluster import publish
from examples.demo.load import load
from examples.demo.model import Trained, train

from e2e import versions
from e2e.model import Model, until
from localcluster.clients import kubectl
from modelward.api.names import ANNOTATION_COMMAND, GRPC_PORT
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest

RATE = 150.0
"""Requests a second by REST, enough for a verdict in seconds and little enough for two cores; a third of it by gRPC."""

LONGEST = 600
"""Seconds after which the load ends by itself."""

GOOD, OTHER, FAILING, SLOW, WRONG = (
    f"rollouts/{name}/model.onnx" for name in ("good", "other", "failing", "slow", "wrong")
)

SPEC: dict[str, Any] = {
    "revisionHistoryLimit": 1,
    "rollout": {
        "strategy": "Canary",
        "steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}],
        "gates": {
            "errorRate": {"margin": "5%"},
            "refusals": {"margin": "5%"},
            "latency": {"slo": "20ms", "margin": "20%"},
            "minSamples": 30,
        },
    },
}


@dataclass
class Result:
    """`ends`: rollouts by how they ended; `requests`: by their answer."""

    ends: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    @property
    def rollouts(self) -> int:
        return self.ends.total()

    @property
    def lost(self) -> int:
        """Requests that got an error or no answer."""
        return self.requests.total() - self.requests["200"]


def publish_versions(namespace: str, trained: Trained) -> None:
    """Versions of the digits, good and bad, in the namespace's store."""
    onnx = trained.onnx()
    made = {
        GOOD: onnx,
        OTHER: train(trees=25).onnx(),
        FAILING: versions.failing(onnx),
        SLOW: versions.slow(onnx),
        WRONG: train(trees=20, shuffled=True).onnx(),
    }
    publish(namespace, "models", made)


def body(row: list[float]) -> str:
    """One row of the digits as a request by REST."""
    tensor = {"name": "X", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    return json.dumps({"inputs": [tensor]})


def address(model: Model) -> str:
    """Where `load` sends requests by REST."""
    return f"http://{model.name}/v2/models/{model.name}/infer"


def grpc_request(model: Model, trained: Trained) -> tuple[str, str, str]:
    """What `load` sends by gRPC: one row, raw."""
    tensor = ModelInferRequest.InferInputTensor(name="X", datatype="FP32", shape=[1, 64])
    request = ModelInferRequest(
        model_name=model.name, inputs=[tensor], raw_input_contents=[trained.rows[:1].tobytes()]
    )  # fmt: skip
    return "grpc", f"{model.name}:{GRPC_PORT}", request.SerializeToString().hex()


def run(model: Model, trained: Trained) -> Result:
    """Go through them. The versions have to be published."""
    result = Result()
    model.apply(GOOD, **SPEC)
    model.settle()
    rest = [body(row) for row in trained.rows[:40].tolist()]
    with ExitStack() as stack:
        loads = [
            stack.enter_context(load(model.namespace, "rest", address(model), *rest, rate=RATE, longest=LONGEST)),
            stack.enter_context(
                load(model.namespace, *grpc_request(model, trained), rate=RATE / 3, longest=LONGEST)
            ),
        ]  # fmt: skip
        for version in (OTHER, *(GOOD, OTHER) * 7):
            _roll(model, result, version, "Promoted")
        _roll(model, result, SLOW, "RolledBack")
        command(model, "retry")
        until(lambda: phase(model) == "Progressing", "another try")
        command(model, "abort")
        until(lambda: phase(model) == "Aborted", "the abortion")
        result.ends["Aborted"] += 1
        _roll(model, result, GOOD, "Promoted")
        model.apply(SLOW, **SPEC)
        result.ends["Abandoned"] += 1
        _roll(model, result, OTHER, "Promoted")
    for sent in loads:
        result.requests.update(sent.results)
    return result


def _roll(model: Model, result: Result, version: str, end: str) -> None:
    model.apply(version, **SPEC)
    until(lambda: phase(model) == end, f"{end}: {version}")
    result.ends[end] += 1


def command(model: Model, word: str) -> None:
    """As a person gives it."""
    kubectl("annotate", "md", model.name, "-n", model.namespace, "--overwrite", f"{ANNOTATION_COMMAND}={word}")


def phase(model: Model) -> str:
    """Of the rollout to what spec asks for now; empty before the operator has seen it."""
    found = model.get()
    status = found.get("status", {})
    fresh = status.get("observedGeneration") == found["metadata"]["generation"]
    return str(status.get("rollout", {}).get("phase", "")) if fresh else ""
