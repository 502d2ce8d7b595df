"""Values that the tests of batches begin with, and objects as the cluster has them."""

import json
from datetime import UTC, datetime
from typing import Any

from modelward.api.batchinference import BatchInference, parse
from modelward.api.modeldeployment import Model
from modelward.batches.job_manifest import RunModel
from modelward.batches.progress import facts_of
from modelward.batches.run import About, RunFacts, Used
from modelward.revisions.observed.workloads import pod_facts

CREATED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86400.0
SPEC: dict[str, Any] = {
    "model": {"modelDeployment": "churn"}, "input": {"uri": "s3://lake/churn/"}, "output": {"uri": "s3://lake/scored/"},
    "keys": ["customer"],
}  # fmt: skip
NIGHTLY = {"cron": "0 2 * * *"}
USED = Used(
    name="churn", uri="s3://models/churn.onnx", version="3", revision="churn-0123456789", digest="sha256:" + "a" * 64
)
TAKEN = RunModel(Model("s3://models/churn.onnx"), USED, USED.digest)
DOWNLOADED = {"digest": USED.digest, "format": "onnx"}


def batch(status: Any = None, request: str | None = None, generation: int = 1, **spec: Any) -> BatchInference:
    metadata: dict[str, Any] = {
        "namespace": "ml", "name": "nightly", "uid": "uid-1", "generation": generation,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    if request is not None:
        metadata["annotations"] = {"modelward.io/run": request}
    return parse({"metadata": metadata, "spec": SPEC | spec, "status": status or {}})


def about(**given: Any) -> About:
    return About(
        **({"trigger": "Once", "asked": "asked", "model": USED, "pods": 2, "output": "s3://lake/scored/r/"} | given)
    )


def time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def job(name: str = "nightly-0000000001", start: float = CREATED, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": time(start)},
        "status": {"startTime": time(start), **status},
    }


def ended(kind: str, at: float, reason: str = "", message: str = "") -> dict[str, Any]:
    """The status of a Job that has."""
    told = {"type": kind, "status": "True", "lastTransitionTime": time(at), "reason": reason, "message": message}
    return {"conditions": [told]}


def pod(
    number: int, code: int | None = None, message: Any = "", at: float = CREATED, digest: str = USED.digest,
    name: str | None = None, **status: Any,
) -> dict[str, Any]:  # fmt: skip
    """One of a run. `code`: None: it runs; `message`: of its end."""
    said = message if isinstance(message, str) else json.dumps(message)
    state: dict[str, Any] = {"running": {}}
    if code is not None:
        state = {"terminated": {"exitCode": code, "message": said, "finishedAt": time(at)}}
    steps = [
        {
            "name": "download",
            "state": {"terminated": {"exitCode": 0, "message": json.dumps({"digest": digest, "format": "onnx"})}},
        },
        {"name": "compile", "state": {"terminated": {"exitCode": 0, "message": json.dumps({"form": "compiled"})}}},
    ]
    phase = "Running" if code is None else "Failed" if code else "Succeeded"
    return {
        "metadata": {
            "name": name or f"pod-{number}", "uid": f"uid-pod-{name or number}", "creationTimestamp": time(at),
            "labels": {"batch.kubernetes.io/job-completion-index": str(number)},
        },
        "status": {
            "phase": phase, "initContainerStatuses": steps,
            "containerStatuses": [{"name": "score", "ready": code is None, "state": state}], **status,
        },
    }  # fmt: skip


def facts(body: dict[str, Any], *pods: dict[str, Any], now: float = CREATED + 60, **given: Any) -> RunFacts:
    return facts_of(body, about(**given), [(each, pod_facts(each)) for each in pods], now)
