"""The six faults: what is there before, what is done to it, and which alert has to tell of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from examples.demo.cluster import publish
from examples.demo.model import Trained, train

from e2e import versions
from e2e.model import Model
from localcluster.clients import kubectl

MODELS: Final = "models"
"""The bucket."""

SYSTEM: Final = "modelward-system"


@dataclass(frozen=True)
class Fault:
    """`name`: of the model it befalls; `spec`: of the model before, `rows`: what its clients send before and after,
    `rate`: how often a second; `strike`: does it; `alert`, `severity`: what has to be told; `arrives`: the phase of a
    rollout in which it has done what it does.
    """

    name: str
    about: str
    alert: str
    severity: str
    strike: Callable[[Model], None]
    before: Any
    after: Any = None
    key: str = "plain"
    spec: dict[str, Any] = field(default_factory=dict)
    rate: float = 20.0
    arrives: str = ""
    of_the_operator: bool = False


def artifacts(trained: Trained) -> dict[str, bytes]:
    """What the models of all faults are made of, by key."""
    onnx = trained.onnx()
    return {
        "plain.onnx": onnx,
        "bundle.tar": trained.bundle(),
        "next.onnx": train(trees=25, seed=1).onnx(),
        "failing.onnx": versions.failing(onnx),
        "slow.onnx": versions.slow(onnx, size=800, times=12),
    }


def faults(namespace: str, trained: Trained) -> list[Fault]:
    """All six, in the order in which none keeps another from happening: each new version needs the store."""
    rows = trained.rows
    marked = rows.copy()
    marked[::5, 0] = versions.MARK
    few = rows[np.isin(trained.labels, (0, 1))]
    canary = {
        "strategy": "Canary", "steps": [{"weight": 20, "hold": "30m"}],
        "gates": {"errorRate": {"margin": "1%"}, "refusals": {"margin": "1%"}, "minSamples": 30},
    }  # fmt: skip
    watched = {"monitor": {"window": {"duration": "10s", "minSamples": 100}}}
    return [
        Fault(
            "bad-version", "a new version fails at a fifth of the requests", "ModelwardRolledBack", "ticket",
            lambda model: apply(model, "failing", rollout=canary), marked, spec={"rollout": canary},
            arrives="RolledBack",
        ),
        Fault(
            "slow-version", "a new version that nobody judged takes many times as long", "ModelwardLatencyBurn", "page",
            lambda model: apply(model, "slow", rollout={"strategy": "Immediate"}), rows,
            spec={"rollout": {"strategy": "Immediate"}}, rate=2.0, arrives="Promoted",
        ),
        Fault(
            "drifted-feature", "other inputs than in training, each of them possible", "ModelwardDrift", "ticket",
            lambda _: None, rows, few, "bundle", watched, rate=50.0,
        ),
        Fault(
            "broken-pipeline", "another unit: every value 16 times as large", "ModelwardDataQuality", "ticket",
            lambda _: None, rows, rows * 16, "bundle", watched,
        ),
        Fault(
            "dying-store", "the store is away when a new version is to be fetched", "ModelwardModelStalled", "ticket",
            lambda model: dying(model, namespace), rows, spec={"rollout": {"strategy": "Immediate"}},
        ),
        Fault(
            "operator-cut-off", "the API server refuses the operator", "ModelwardNoLeader", "page",
            cut_off, rows, of_the_operator=True,
        ),
    ]  # fmt: skip


def apply(model: Model, key: str, **spec: Any) -> None:
    """The model as it is promised to clients."""
    ending = "tar" if key == "bundle" else "onnx"
    promised = {"availability": "99%", "latency": {"threshold": "200ms", "objective": "95%"}}
    model.apply(f"{key}.{ending}", slo=promised, **spec)


def dying(model: Model, namespace: str) -> None:
    kubectl("scale", "deployment/s3", "-n", namespace, "--replicas=0")
    apply(model, "next", rollout={"strategy": "Immediate"})


def cut_off(_: Model) -> None:
    """As a network does that lets nothing through: it can neither read nor hold its lease."""
    kubectl("delete", "clusterrolebinding/modelward-operator")
    kubectl("delete", "rolebinding/modelward-operator-lease", "-n", SYSTEM)


def watch_drift(model: Model) -> None:
    """A DriftPolicy that tells, and starts nothing."""
    spec = {
        "target": {"name": model.name},
        "window": {"duration": "30s", "minSamples": 500},
        "actions": {"inputs": "Warn", "outputs": "Warn"},
    }
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
        "metadata": {"name": model.name, "namespace": model.namespace}, "spec": spec,
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(body))


def publish_artifacts(namespace: str, trained: Trained) -> None:
    publish(namespace, MODELS, artifacts(trained))
