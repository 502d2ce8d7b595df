"""ModelDeployments, policies and batches in the states that a pipeline meets."""

from typing import Any

OLD, NEW = "s3://models/fraud/1/fraud.tar", "s3://models/fraud/2/fraud.tar"
PIN, NEW_PIN = "sha256:" + "1" * 64, "sha256:" + "2" * 64

GATES = [
    {
        "name": "errorRate", "verdict": "Fail", "message": "7 of 20 requests failed; that is worse than 1% allows",
        "stable": {"requests": 400, "bad": 1}, "candidate": {"requests": 20, "bad": 7},
    },
]  # fmt: skip


def model(
    uri: str = OLD, digest: str | None = None, *, generation: int = 3, seen: int | None = None, **status: Any
) -> Any:
    """`seen`: the generation that its status speaks of; by default it serves what it asks for."""
    said = {"uri": uri, **({"digest": digest} if digest else {})}
    return {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "namespace": "ml", "uid": "u1", "generation": generation},
        "spec": {"model": said, "replicas": 2},
        "status": {
            "observedGeneration": generation if seen is None else seen,
            "phase": "Ready",
            "model": said,
            "stable": {"revision": "fraud-a", "uri": uri, **({"digest": digest} if digest else {})},
            "conditions": [
                {"type": "Ready", "status": "True", "message": "It answers"},
                {"type": "Stalled", "status": "False"},
            ],
            **status,
        },
    }


def rolling(phase: str, message: str, **more: Any) -> Any:
    """NEW is asked for, OLD is stable still."""
    words = {"Paused": "Paused", "RolledBack": "RolledBack", "Aborted": "RolledBack"}
    rollout = {"revision": "fraud-b", "phase": phase, "progress": phase, "message": message, "gates": []}
    status = {
        "phase": words.get(phase, "Progressing"),
        "stable": {"revision": "fraud-a", "uri": OLD},
        "rollout": {**rollout, **more},
    }
    return model(NEW, **status)


def promoted() -> Any:
    rollout = {"revision": "fraud-b", "phase": "Promoted", "progress": "Promoted", "message": "Every gate is passed"}
    return model(NEW, rollout=rollout)


def policy(*, drifted: bool = False, worse: bool = False) -> Any:
    signal = {
        "kind": "quality", "name": "f1:min", "value": "0.70", "bound": "0.75", "breached": worse,
        "message": "f1 is 0.70, below 0.75",
    }  # fmt: skip
    feature = {"name": "amount", "metric": "psi", "value": "0.31", "cut": "0.2"}
    target = {
        "name": "fraud",
        "verdict": "Drifted" if drifted else "NoDrift",
        "message": "amount: psi 0.31 reaches 0.2" if drifted else "Nothing drifts",
        "window": {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z", "rows": 4000},
        "drifted": ["amount"] if drifted else [],
        "features": [{**feature, "outcome": "Drifted" if drifted else "BelowThreshold"}],
        "quality": {
            "revision": "fraud-a", "rows": 4210,
            "metrics": [{"name": "f1", "value": "0.70", "low": "0.68", "high": "0.72", "reference": "0.81"}],
        },
        "signals": [signal],
    }  # fmt: skip
    return {
        "metadata": {"name": "watch", "namespace": "ml"},
        "spec": {"target": {"name": "fraud"}, "quality": {"rules": []}},
        "status": {"targets": [target], "counts": {"targets": 1}},
    }
