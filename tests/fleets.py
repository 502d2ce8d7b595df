"""A fleet as the API server tells of it, with a model in each state that the status page and the command line know."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

NAMESPACE: Final = "ml"
AT: Final = "2026-01-06T00:00:00Z"

Body = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": AT}


READY: Final = (
    condition("Ready", "True", "Serving", "It answers on every replica"),
    condition("Stalled", "False", "NoProblem", "Nothing needs a person"),
)


def stalled(reason: str, message: str) -> tuple[Body, ...]:
    return condition("Ready", "False", reason, message), condition("Stalled", "True", reason, message)


def arm(name: str, letter: str, version: str, weight: int, **more: Any) -> Body:
    return {
        "revision": f"{name}-{letter * 10}", "uri": f"s3://models/{name}/{version}/model.onnx", "version": version,
        "weight": weight, "replicas": 2, "readyReplicas": 2, **more,
    }  # fmt: skip


def model(name: str, phase: str = "Ready", conditions: Sequence[Body] = READY, **status: Any) -> Body:
    told = {
        "observedGeneration": 3, "phase": phase, "conditions": list(conditions), "replicas": 2, "readyReplicas": 2,
        "stable": arm(name, "a", "7", 100), **status,
    }  # fmt: skip
    return {"metadata": {"name": name, "namespace": NAMESPACE, "generation": 3}, "spec": {}, "status": told}


def gate(name: str, verdict: str, bad: tuple[int, int], **more: Any) -> Body:
    """`bad`: of 3,000 requests of the stable and of 200 of the candidate."""
    stable, candidate = ({"requests": many, "bad": each} for many, each in zip((3000, 200), bad, strict=True))
    return {
        "name": name, "verdict": verdict, "stable": stable, "candidate": candidate, "limit": "1%", "against": "0.6931",
        "supports": "-2.3026", "message": f"{candidate['bad']} of 200 are bad", **more,
    }  # fmt: skip


def rollout(name: str, phase: str, message: str, gates: Sequence[Body] = (), **more: Any) -> Body:
    return {
        "revision": f"{name}-{'b' * 10}", "from": f"{name}-{'a' * 10}", "strategy": "Canary", "phase": phase, "step": 2,
        "steps": 4, "progress": "2/4 25%", "startedAt": AT, "stepStartedAt": AT, "message": message,
        "gates": list(gates), **more,
    }  # fmt: skip


def feature(name: str, value: str, outcome: str, cut: str = "0.2") -> Body:
    measured = {"name": name, "metric": "psi", "value": value, "threshold": "0.2", "cut": cut}
    return {**measured, "rows": 4000, "outcome": outcome}


def policy(target: str, verdict: str = "NoDrift", *, quality: Mapping[str, Any] | None = None,
           signals: Sequence[Body] = (), **more: Any) -> Body:  # fmt: skip
    drifts = verdict == "Drifted"
    told = {
        "name": target, "verdict": verdict, "drifted": ["amount"] if drifts else [],
        "window": {"start": "2026-01-05T00:00:00Z", "end": AT, "rows": 4000},
        "features": [
            feature("amount", "0.31" if drifts else "0.05", "Drifted" if drifts else "BelowThreshold"),
            feature("age", "0.02", "BelowThreshold"),
        ],
        "message": "amount: psi 0.31 reaches 0.2" if drifts else "No feature drifts", "signals": list(signals), **more,
    }  # fmt: skip
    if quality is not None:
        told["quality"] = quality
    return {
        "metadata": {"name": f"watch-{target}", "namespace": NAMESPACE},
        "spec": {} if quality is None else {"quality": {"task": {"kind": "Classes"}}},
        "status": {
            "counts": {"targets": 1}, "targets": [told],
            "conditions": [condition("Drifted", "True" if drifts else "False", verdict, "as above")],
        },
    }  # fmt: skip


def quality(value: str = "0.81") -> Body:
    measured = {"name": "f1", "value": value, "low": "0.6801", "high": "0.8224", "reference": "0.8123", "rows": 4210}
    return {
        "revision": "fraud-aaaaaaaaaa", "begin": "2026-01-01T00:00:00Z", "end": AT, "rows": 4210, "coverage": "97.3%",
        "metrics": [measured],
    }  # fmt: skip


BELOW: Final = {
    "kind": "quality", "name": "f1:min", "value": "0.7012", "bound": "0.75", "breached": True, "since": AT,
    "message": "f1 is 0.7012 (0.6801 to 0.7224) of 4210 rows, below 0.75",
}  # fmt: skip


def run(target: str, phase: str, created: str = AT, **status: Any) -> Body:
    return {
        "metadata": {"name": f"{target}-run-1", "namespace": NAMESPACE, "creationTimestamp": created},
        "spec": {"target": {"name": target}, "trigger": "Drift"},
        "status": {"phase": phase, "message": f"It is {phase}", **status},
    }


BAD = "16 of 20 (80.00%) answers differ from the stable's; that is worse than 15% allows"
IMAGE = "The image registry.example.com/server:nope can't be pulled: not found. Correct MODELWARD_SERVER_IMAGE"
WORSE = gate("disagreement", "Fail", (0, 160), against="14.2")
CANARY = (
    gate("errorRate", "Inconclusive", (2, 1)),
    gate("latency", "Pass", (30, 1)),
    gate("disagreement", "Inconclusive", (0, 9)),
)

STATES: Final[Mapping[str, tuple[Body, Sequence[Body], Sequence[Body]]]] = {
    "failed": (model("stuck", "Failed", stalled("ImagePullFailed", IMAGE), readyReplicas=0), (), ()),
    "rolledback": (
        model("bad", "RolledBack", stalled("RolledBack", BAD),
              rollout=rollout("bad", "RolledBack", BAD, [WORSE], endedAt=AT)),
        (), (),
    ),
    "aborted": (
        model("given-up", "RolledBack", stalled("Aborted", "Somebody aborted it"),
              rollout=rollout("given-up", "Aborted", "Somebody aborted it", endedAt=AT)),
        (), (),
    ),
    "pending": (
        model("new", "Pending", [condition("Ready", "False", "Pending", "Waiting for new-aaaaaaaaaa to become ready")],
              readyReplicas=0, stable=None),
        (), (),
    ),
    "paused": (
        model("held", "Paused", candidate=arm("held", "b", "8", 25), stable=arm("held", "a", "7", 75),
              rollout=rollout("held", "Paused", "Step 2 of 4 waits for a person to resume it")),
        (), (),
    ),
    "progressing": (
        model("canary", "Progressing", candidate=arm("canary", "b", "8", 25), stable=arm("canary", "a", "7", 70),
              variants=[{"name": "b", **arm("canary", "v", "5", 5, mirrorPercent=10)}],
              rollout=rollout("canary", "Progressing", "Step 2 of 4: canary-bbbbbbbbbb gets 25% of the requests, for "
                              "300 s at least", CANARY)),
        (), (),
    ),
    "worse": (model("fraud"), (policy("fraud", quality=quality("0.7012"), signals=[BELOW]),), ()),
    "drifted": (model("moved"), (policy("moved", "Drifted", obstacle=f"Within its cooldown until {AT}"),), ()),
    "runfailed": (model("untrained"), (), (run("untrained", "Failed", finishedAt=AT),)),
    "retraining": (model("learning"), (policy("learning", "Drifted"),), (run("learning", "Running"),)),
    "ready": (model("well"), (policy("well", quality=quality()),), (run("well", "Promoted", model={"uri": "s3://m/9"}),)),
}  # fmt: skip
"""By the state's word: a model in it, the policies that watch it, its runs."""


def everything() -> tuple[list[Body], list[Body], list[Body]]:
    """Models, policies and runs of all states."""
    bodies, policies, runs = zip(*STATES.values(), strict=True)
    return list(bodies), [one for each in policies for one in each], [one for each in runs for one in each]
