"""The Indexed Job of a run: each pod brings the model as a serving pod does, and goes through its share of rows. Pure.

Invariant: no container has a token of the cluster; what loads the model has no credentials, and what scores has those
of the rows alone, never those that the model was fetched with.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from modelward.api import modeldeployment, names
from modelward.api.batchinference import BatchInference, claim_of
from modelward.api.modeldeployment import Model, Resources
from modelward.api.pod_template import SCORE
from modelward.batches.drift import DriftAsked
from modelward.batches.run import About, Run, Used
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.revisions.deployment import BUNDLE_DIR
from modelward.revisions.pods import claims, pod_template
from modelward.revisions.pods import init_containers as steps
from modelward.revisions.pods.cache_mounts import WRITERS
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds, share

CONTAINER: Final = SCORE
COMMAND: Final = ("/opt/venv/bin/python3", "-m", "modelward_batch")

INCURABLE: Final = 3
"""The exit code of a pod that can't be helped by another one."""

INPUT_MOUNT, OUTPUT_MOUNT = "/input", "/output"
_INPUT, _OUTPUT = "modelward-input", "modelward-output"

SCRATCH: Final = "10Gi"
"""Of files that are written before they go to the store."""

DEFAULT_RESOURCES: Final = Resources(requests={"cpu": "500m", "memory": "1Gi"})

_LOGIN: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""Entries that spec.credentialsSecret has to have: without them the pod does not start, and says so."""

_BESIDES: Final = (
    "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS", "AWS_ASSUME_ROLE_ARN",
)  # fmt: skip
"""Others that it may have. By name, and nothing else of it: a Secret sets no variable of the interpreter."""


@dataclass(frozen=True)
class RunModel:
    """What a run takes. `first`: the digest of what the stable revision serves, empty: not known; `image`: the part of
    a container of ModelDeployment's template that says which image the model needs."""

    model: Model
    used: Used
    first: str = ""
    image: Mapping[str, Any] = field(default_factory=dict)


def about(batch: BatchInference, run: Run, taken: RunModel, drift: DriftAsked | None = None) -> About:
    """What is written on the Job."""
    pods, output = batch.spec.parallelism, f"{batch.spec.output.uri}{run.name}/"
    return About(
        trigger=run.trigger, asked=run.asked, model=taken.used, pods=pods, output=output, slot=run.slot,
        request=run.request, drift=None if drift is None else drift.judging,
    )  # fmt: skip


def job(
    batch: BatchInference, platform: Platform, run: Run, taken: RunModel, drift: DriftAsked | None = None
) -> dict[str, Any]:
    """The manifest. `drift`: how its rows are judged, None: they are not."""
    spec, labels = batch.spec, _labels(batch, run)
    kept = {names.ANNOTATION_BATCH: json.dumps(_shown(about(batch, run, taken, drift)), sort_keys=True)}
    template = {
        "metadata": {
            "labels": labels,
            # By their web identity the model is fetched, and rows are read; what loads the model has none.
            "annotations": {"eks.amazonaws.com/skip-containers": _without_identity(batch)},
        },
        "spec": _pod(batch, platform, run, taken, drift),
    }
    merged = pod_template.merged(template, spec.template, {names.LABEL_RUN: run.name})
    pod = {**merged["spec"], "restartPolicy": "Never"}
    if not pod["topologySpreadConstraints"]:
        del pod["topologySpreadConstraints"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.name,
            "namespace": batch.namespace,
            "labels": labels,
            "annotations": kept,
            "ownerReferences": [batch.owner_reference],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": spec.parallelism,
            "parallelism": spec.parallelism,
            "backoffLimitPerIndex": spec.retries,
            # A part that can't be had makes the whole one that nobody may read: the others need not go on.
            "maxFailedIndexes": 0,
            "activeDeadlineSeconds": max(1, math.ceil(seconds(spec.deadline))),
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [INCURABLE]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {**merged, "spec": claims.each_once(pod)},
        },
    }


def _labels(batch: BatchInference, run: Run) -> dict[str, str]:
    return {
        names.LABEL_NAME: f"modelward-{names.COMPONENT_BATCH}",
        names.LABEL_INSTANCE: batch.name,
        names.LABEL_COMPONENT: names.COMPONENT_BATCH,
        names.LABEL_PART_OF: "modelward",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_BATCH: batch.name,
        names.LABEL_RUN: run.name,
    }


def _without_identity(batch: BatchInference) -> str:
    sidecars = pod_template.sidecars(batch.spec.template)
    return ",".join([MODELWARD.containers.compile, *(each for each in sidecars if each != CONTAINER)])


def _pod(
    batch: BatchInference, platform: Platform, run: Run, taken: RunModel, drift: DriftAsked | None
) -> dict[str, Any]:
    spec, model = batch.spec, taken.model
    image = {**taken.image, **_own_image(spec.template)}
    bringing = modeldeployment.Spec(model=model, resources=spec.resources, template=_for_steps(spec.template, image))
    container = common.container(platform.server_image, spec.resources, DEFAULT_RESOURCES)
    bundle = {"name": "bundle", "mountPath": BUNDLE_DIR}
    shared = {"MODEL_NAME": taken.used.name, "BUNDLE_DIR": BUNDLE_DIR}
    pinned = [{"name": "MODEL_FIRST_DIGEST", "value": taken.first}] if taken.first and not model.digest else []
    download = steps.download(bringing, model, platform, container, shared, pinned)
    compiling = steps.compiling(bringing, model, platform, container, shared, bundle)
    volumes, mounts = _rows(batch)
    mounts += steps.ca_mounts(platform)
    settings = {
        "MODELWARD_BATCH": json.dumps(_asked(batch, run, taken, drift), sort_keys=True),
        "MODELWARD_BATCH_PODS": str(spec.parallelism),
        "ARTIFACT_DIR": steps.ARTIFACT_DIR,
        **steps.outside(platform),
        **steps.formats(model, platform),
    }
    score = {
        **container,
        **image,
        "name": CONTAINER,
        "command": list(COMMAND),
        "env": [
            *common.environment({**shared, **{name: value for name, value in settings.items() if value}}),
            *_credentials(batch),
        ],
        "volumeMounts": [{**bundle, "readOnly": True}, steps.ARTIFACT, steps.tmp(CONTAINER), *mounts],
    }
    built: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**common.POD_SECURITY_CONTEXT, **(WRITERS if claim_of(spec.output.uri) else {})},
        "initContainers": [download, compiling],
        "containers": [score],
        "volumes": [
            *steps.volumes(model, platform), steps.folder(steps.tmp(CONTAINER)["name"], SCRATCH), *volumes,
        ],
        "topologySpreadConstraints": [],
    }  # fmt: skip
    if spec.service_account_name:
        built["serviceAccountName"] = spec.service_account_name
    return built


def _asked(batch: BatchInference, run: Run, taken: RunModel, drift: DriftAsked | None) -> dict[str, Any]:
    """What the pods are told, beside their number."""
    spec, used = batch.spec, taken.used
    source = {"uri": _inside(spec.input.uri, INPUT_MOUNT)} | (
        {"format": spec.input.format} if spec.input.format else {}
    )
    asked: dict[str, Any] = {
        "run": run.name,
        "input": source,
        "output": {"uri": _inside(spec.output.uri, OUTPUT_MOUNT)},
        "keys": list(spec.keys),
        "maxRejectedShare": share(spec.max_rejected_share),
        "model": {
            "name": used.name, "version": used.version, "revision": used.revision, "uri": used.uri,
            "digest": used.digest,
        },
    }  # fmt: skip
    if drift is not None and drift.rules is not None:
        asked["drift"] = dict(drift.rules)
    return asked | ({"columns": dict(spec.columns)} if spec.columns else {})


def _inside(uri: str, mount: str) -> str:
    """The address inside the pod."""
    if claim_of(uri) is None:
        return uri
    return f"file://{mount}/{urlsplit(uri).path.lstrip('/')}"


def _rows(batch: BatchInference) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts of claims with rows and answers."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    source, target = claim_of(batch.spec.input.uri), claim_of(batch.spec.output.uri)
    if source is not None:
        volumes.append({"name": _INPUT, "persistentVolumeClaim": {"claimName": source, "readOnly": True}})
        mounts.append({"name": _INPUT, "mountPath": INPUT_MOUNT, "readOnly": True})
    if target is not None:
        volumes.append({"name": _OUTPUT, "persistentVolumeClaim": {"claimName": target}})
        mounts.append({"name": _OUTPUT, "mountPath": OUTPUT_MOUNT})
    return volumes, mounts


def _credentials(batch: BatchInference) -> list[dict[str, Any]]:
    secret = batch.spec.credentials_secret
    if secret is None:
        return []
    optional = dict.fromkeys(_LOGIN, False) | dict.fromkeys(_BESIDES, True)
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": name, "optional": missing}}}
        for name, missing in optional.items()
    ]


def _own_image(template: Mapping[str, Any]) -> dict[str, Any]:
    found: Mapping[str, Any] = next(
        (each for each in (template.get("spec") or {}).get("containers") or () if each["name"] == CONTAINER), {}
    )
    return {name: found[name] for name in ("image", "imagePullPolicy") if found.get(name)}


def _for_steps(template: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """The template as the steps that bring the model read one: its image is that of the container that serves."""
    spec = template.get("spec") or {}
    own = [{"name": MODELWARD.containers.server, **image}] if image else []
    return {"spec": {"containers": own, "initContainers": list(spec.get("initContainers") or ())}}


def _shown(kept: About) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(kept)
    return {name: value for name, value in found.items() if value is not None}
