"""The Job that evaluates: it reads the store, has no rights in the cluster, and says at its end what it found. Pure."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import ModelDeployment, PredictionLog, SecretReference
from modelward.api.quality import Outcomes
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.quality.batch_log import BatchLog
from modelward.quality.evaluation import (
    LOG_CREDENTIALS,
    LOG_MOUNT,
    OUTCOMES_CREDENTIALS,
    OUTCOMES_MOUNT,
    claim_of,
    evaluation,
)
from modelward.quality.measured import Cohort
from modelward.revisions.pods import claims
from modelward.revisions.pods import init_containers as steps
from modelward.revisions.pods.cache_mounts import WRITERS
from modelward.values.durations import seconds
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, known_text

CONTAINER: Final = "evaluate"

ATTEMPTS: Final = 2
"""After the first: a store that stumbles is asked again, by a new pod."""

SCRATCH: Final = "20Gi"
"""Of what does not fit into the engine's memory."""

REQUESTS: Final = {"cpu": "100m", "memory": "512Mi"}


class About(Stored):
    """The annotation of a Job. `target`: the ModelDeployment's uid."""

    target: str
    revision: str
    cohort: Cohort

    @property
    def slot(self) -> float:
        """When it was due, in seconds since the epoch."""
        return self.cohort.slot


def job_name(policy: DriftPolicy, model: ModelDeployment, slot: float, spec: Any) -> str:
    """The same for whoever makes it: of whose it is, when it was due, and what `spec` (spec.quality, and the log) asks
    for, so that an edit has another one made."""
    about = {"policy": policy.uid, "target": model.uid, "slot": slot, "spec": spec}
    return f"{policy.name}-{content_hash(about)}-quality"


def read_about(job: Mapping[str, Any]) -> About | None:
    """None: somebody else has written it."""
    try:
        return known_text(About, (job["metadata"].get("annotations") or {})[names.ANNOTATION_EVALUATION])
    except (KeyError, ValueError):
        return None


def job(
    policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, platform: Platform, name: str, revision: str,
    cohort: Cohort,
) -> dict[str, Any]:  # fmt: skip
    """The manifest of a policy's."""
    quality = policy.spec.quality
    assert quality is not None
    about = {"target": model.uid, "revision": revision, "cohort": dict(vars(cohort))}
    account = log.account if isinstance(log, BatchLog) else model.spec.service_account_name
    work = Work(
        evaluation(policy, model, log, revision, cohort), log, source_of(quality.outcomes), quality.memory,
        quality.deadline, account,
    )  # fmt: skip
    return manifest(metadata_of(policy, model, name, about), work, platform)


def metadata_of(policy: DriftPolicy, model: ModelDeployment, name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Of a policy's Job about one of its targets. `about`: its annotation."""
    labels = {
        names.LABEL_NAME: f"modelward-{names.COMPONENT_EVALUATION}",
        names.LABEL_INSTANCE: policy.name,
        names.LABEL_COMPONENT: names.COMPONENT_EVALUATION,
        names.LABEL_PART_OF: "modelward",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_POLICY: policy.name,
        names.LABEL_TARGET: model.name,
    }
    return {
        "name": name,
        "namespace": policy.namespace,
        "labels": labels,
        "annotations": {names.ANNOTATION_EVALUATION: json.dumps(about, sort_keys=True)},
        "ownerReferences": [policy.owner_reference],
    }


@dataclass(frozen=True)
class Source:
    """What a Job reads beside the log. `name`: of its volumes, and in capitals of the variables of a database's login;
    `uri`: None: in a table, or in the log's own folder; `mount`, `credentials`: where a claim and a Secret are."""

    name: str
    uri: str | None
    is_table: bool
    secret: SecretReference | None
    mount: str
    credentials: str

    @property
    def login(self) -> tuple[str, str]:
        """Keys of a Secret, and variables of the evaluator, by which it logs in to a database."""
        return f"{self.name.upper()}_TABLE_USER", f"{self.name.upper()}_TABLE_PASSWORD"


def source_of(outcomes: Outcomes) -> Source:
    return Source(
        "outcomes", outcomes.uri, outcomes.table is not None, outcomes.credentials_secret, OUTCOMES_MOUNT,
        OUTCOMES_CREDENTIALS,
    )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What a Job is told (`asked`, as JSON), may read, and may take. `account`: that it runs as, None: the
    namespace's default."""

    asked: Mapping[str, Any]
    log: PredictionLog
    source: Source
    memory: str | int
    deadline: str
    account: str | None


def manifest(metadata: Mapping[str, Any], work: Work, platform: Platform) -> dict[str, Any]:
    """Of a Job that evaluates, whoever asks for it."""
    volumes, mounts = _volumes(work.log, work.source, platform)
    asked = json.dumps(work.asked, sort_keys=True)
    settings = {"MODELWARD_EVALUATION": asked, **steps.outside(platform)}
    container = {
        "name": CONTAINER,
        "image": platform.evaluate_image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": common.CONTAINER_SECURITY_CONTEXT,
        "env": [
            *common.environment(settings),
            *_of_table(work.source),
        ],
        "resources": {"requests": dict(REQUESTS), "limits": {"memory": str(work.memory)}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    writes = any("persistentVolumeClaim" in each for each in volumes)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**common.POD_SECURITY_CONTEXT, **(WRITERS if writes else {})},
        "containers": [container],
        "volumes": volumes,
    }
    if work.account:
        # Where no Secret opens the store it is the identity of the pods that wrote there that does.
        pod["serviceAccountName"] = work.account
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": dict(metadata),
        "spec": {
            "backoffLimit": ATTEMPTS,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": math.ceil(seconds(work.deadline)),
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": claims.each_once(pod)},
        },
    }


def _of_table(source: Source) -> list[dict[str, Any]]:
    """Variables with the login of a database."""
    secret = source.secret
    if not source.is_table or secret is None:
        return []
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": name, "optional": True}}}
        for name in source.login
    ]


def _volumes(
    log: PredictionLog, source: Source, platform: Platform
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts, all but the scratch read-only. Secrets are optional: the Job then says which is not there,
    where a pod that can't begin says it in an Event alone."""
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": SCRATCH}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  the path inside the container
    for name, uri, where in (("log", log.uri, LOG_MOUNT), (source.name, source.uri or "", source.mount)):
        claim = claim_of(uri)
        if claim is not None:
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
            mounts.append({"name": name, "mountPath": where, "readOnly": True})
    for name, secret, where in (
        ("log-credentials", log.credentials_secret, LOG_CREDENTIALS),
        (f"{source.name}-credentials", None if source.is_table else source.secret, source.credentials),
    ):
        if secret is not None:
            volumes.append({"name": name, "secret": {"secretName": secret.name, "optional": True}})
            mounts.append({"name": name, "mountPath": where, "readOnly": True})
    return [*volumes, *steps.ca_volumes(platform)], [*mounts, *steps.ca_mounts(platform)]
