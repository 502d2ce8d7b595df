"""Stands in for what retraining needs and this tier has not: monitors that saw drift, and a kubelet that ends Jobs.

Mocks, because no pod runs on a bare API server; the e2e tier has real monitors and a training Job that trains.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from modelward.api import names
from modelward.kube.cache import Key
from modelward.kube.resources import DRIFT_POLICIES, EVENTS, JOBS, PODS, RETRAINING_RUNS
from modelward.monitoring.windows import Look, Window, WindowSettings
from modelward.retraining.persistence.run_object import is_over
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.profiles.profile import SPECIAL, Profile
from modelward_drift.profiles.reference import Feature, Reference

from .cluster import Cluster
from .kubelet import MERGE, FakeKubelet

PROFILE = Profile("colour", "categorical", (5000, 5000, *(0 for _ in SPECIAL)), 10_000, levels=("blue", "red"))
REFERENCE = Reference((Feature("input", "colour", None, PROFILE),))


def counts(share: float, rows: int = 1000) -> Counts:
    """Of `rows`, a share of blue ones: 0.5 is what the reference has."""
    cells = np.zeros(len(PROFILE.counts), np.int64)
    cells[:2] = round(share * rows), rows - round(share * rows)
    made = zero(PROFILE)
    return Counts(made.digest, cells, made.quality)


class FakeMonitors:
    """Instead of the monitors. `share`: of blue rows, by revision, else `usual`; `ended`: when the last window did."""

    def __init__(self) -> None:
        self.usual = 0.5
        self.share: dict[str, float] = {}
        self.ended = 1_700_000_000.0
        self.silent = False

    def drift(self) -> None:
        """Another window, in which most rows are blue."""
        self.usual = 0.9
        self.ended += 3600

    def calm(self) -> None:
        """Another window, as the reference."""
        self.usual = 0.5
        self.ended += 3600

    def window(self, _owner: Key, revision: str, _reader: str, _settings: WindowSettings, _now: float) -> Look:
        if self.silent:
            return Look(problem="No monitor answers")
        seen = (counts(self.share.get(revision, self.usual)),)
        window = Window(revision, REFERENCE.digest, self.ended - 3600, self.ended, seen)
        return Look(REFERENCE, None, window)


class Policy:
    """The DriftPolicy `fraud` of a namespace, and the pretended end of its Jobs. `now`: when that is."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str = "fraud",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self.cluster = cluster
        self._now = now
        self.namespace = namespace
        self.name = name
        self.kubelet = FakeKubelet(cluster, namespace)

    def apply(self, retrain: dict[str, Any] | None = None, **spec: Any) -> None:
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"target": {"name": "fraud"}, "retrain": {**TRAINING, **(retrain or {})}, **spec},
        }  # fmt: skip
        self.cluster.apply(body, self.namespace)

    def get(self) -> Any:
        return self.cluster.request("GET", DRIFT_POLICIES.path(self.namespace, self.name))

    def target(self, name: str = "fraud") -> Any:
        targets = (self.get() or {}).get("status", {}).get("targets") or ()
        return next((each for each in targets if each["name"] == name), {})

    def objects(self) -> list[Any]:
        """Its RetrainingRuns, the latest first."""
        listed = self.cluster.request("GET", RETRAINING_RUNS.path(self.namespace))["items"]
        own = [each for each in listed if each["metadata"]["labels"].get(names.LABEL_POLICY) == self.name]
        return sorted(own, key=lambda each: each["spec"]["requestedAt"], reverse=True)

    def active(self) -> Any:
        """The run that goes on."""
        return next((each for each in self.objects() if not is_over(each)), None)

    def phase(self) -> str | None:
        """Of the run that goes on."""
        found = self.active()
        return None if found is None else found.get("status", {}).get("phase")

    def ended(self) -> list[Any]:
        """The runs that have ended, the latest first."""
        return [each for each in self.objects() if is_over(each)]

    def runs(self) -> list[tuple[str, str]]:
        """Results and triggers of the ended runs, the latest first."""
        return [(each["status"]["phase"], each["spec"]["trigger"]) for each in self.ended()]

    def settled_runs(self) -> list[tuple[str, str]]:
        """The same, after the kubelet has worked."""
        self.kubelet.settle()
        return self.runs()

    def condition(self, kind: str) -> Any:
        found = (each for each in self.get()["status"].get("conditions", ()) if each["type"] == kind)
        return next(found, {"status": "", "reason": "", "message": ""})

    def request(self, value: str) -> None:
        self.cluster.kubectl(
            "annotate", "dp", self.name, "-n", self.namespace, f"{names.ANNOTATION_RETRAIN}={value}", "--overwrite"
        )

    def jobs(self) -> list[Any]:
        listed = self.cluster.request("GET", JOBS.path(self.namespace))["items"]
        own = [each for each in listed if each["metadata"]["labels"].get(names.LABEL_POLICY) == self.name]
        return sorted(own, key=lambda each: each["metadata"]["creationTimestamp"])

    def running(self) -> list[str]:
        """The Jobs that have not ended."""
        return [each["metadata"]["name"] for each in self.jobs() if not (each.get("status") or {}).get("conditions")]

    def succeed(self, job: str, report: Any) -> None:
        """The Job ends well, with this report."""
        self._pod(job, 0, report if isinstance(report, str) else json.dumps(report))
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {"succeeded": 1, "startTime": now, "completionTime": now}
        self._end(job, status, ("SuccessCriteriaMet", "Complete"))

    def fail(self, job: str, log: str = "", reason: str = "BackoffLimitExceeded") -> None:
        """The Job ends badly, with this end of its log."""
        if log:
            self._pod(job, 1, log)
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._end(job, {"failed": 1, "startTime": now}, ("FailureTarget", "Failed"), reason)

    def _end(self, job: str, status: dict[str, Any], kinds: tuple[str, ...], reason: str = "Done") -> None:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "reason": reason, "message": f"it is {reason}", "lastTransitionTime": now}
            for kind in kinds
        ]
        path = JOBS.path(self.namespace, job, "status")
        self.cluster.request("PATCH", path, {"status": {**status, "conditions": conditions}}, MERGE)

    def _pod(self, job: str, exit_code: int, message: str) -> None:
        name = self.cluster.request("GET", JOBS.path(self.namespace, job))["spec"]["template"]["spec"]["containers"][0]
        ended = container(name["name"], terminated(exit_code, message))
        self.pod(job, [ended], phase="Failed" if exit_code else "Succeeded")

    def pod(self, job: str, containers: list[dict[str, Any]], **status: Any) -> None:
        """The Job's pod, with what a kubelet says of its containers."""
        body = self.cluster.request("GET", JOBS.path(self.namespace, job))
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job,
            "uid": body["metadata"]["uid"],
            "controller": True,
        }
        template = body["spec"]["template"]
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": f"{job}-0", "labels": template["metadata"]["labels"],
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
        }  # fmt: skip
        self.cluster.request("POST", PODS.path(self.namespace), pod)
        told = {"status": {"containerStatuses": containers, **status}}
        self.cluster.request("PATCH", PODS.path(self.namespace, f"{job}-0", "status"), told, MERGE)

    def warn(self, job: str, reason: str, message: str) -> None:
        """What the Job's controller would tell of it."""
        body = self.cluster.request("GET", JOBS.path(self.namespace, job))
        about = {"apiVersion": "batch/v1", "kind": "Job", "namespace": self.namespace, "name": job}
        event = {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{job}.{reason}", "namespace": self.namespace},
            "involvedObject": {**about, "uid": body["metadata"]["uid"]}, "type": "Warning", "reason": reason,
            "message": message, "lastTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        self.cluster.request("POST", EVENTS.path(self.namespace), event)


def container(name: str, state: dict[str, Any]) -> dict[str, Any]:
    """One of a pod's containerStatuses."""
    return {"name": name, "ready": "running" in state, "restartCount": 0, "image": "i", "imageID": "", "state": state}


def terminated(exit_code: int, message: str, ago: float = 0.0) -> dict[str, Any]:
    """The state of a container that has ended, `ago` seconds before now."""
    at = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": exit_code, "message": message, "reason": "Error" if exit_code else "Completed"}
    return {"terminated": {**ended, "startedAt": at, "finishedAt": at}}


TRAINING: dict[str, Any] = {
    "cooldown": "0s",
    "backoff": "0s",
    "job": {
        "template": {
            "metadata": {"labels": {"team": "risk"}},
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {
                                "name": "train",
                                "image": "train:1",
                                "env": [{"name": "HOME", "value": "$(MODELWARD_RUN)"}],
                            }
                        ]
                    }
                }
            },
        }
    },
}
"""A run that may follow on another at once."""
