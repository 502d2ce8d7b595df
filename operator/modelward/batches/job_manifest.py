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
from modelward.api.batchinference import READ, BatchInference, claim_of
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

READ_COMMAND: Final = ("/opt/venv/bin/python3", "-m", "modelward_evaluate.extract")
"""Of the evaluator's image, which alone has drivers of databases."""

INPUT_MOUNT, OUTPUT_MOUNT, TABLE_MOUNT = "/input", "/output", "/etc/modelward/table"
_INPUT, _OUTPUT, _TABLE = "modelward-input", "modelward-output", "modelward-table"

TABLE_SIZE: Final = "20Gi"
"""Of a table's rows until they are in the store: more than the reader writes (16 GiB, extract.py), so that it is the
one to say so."""

_TABLE_LOGIN: Final = ("INPUT_TABLE_USER", "INPUT_TABLE_PASSWORD")
"""Entries of the Secret of spec.input.table. Both may be missing: databases take other proofs, too."""

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
    table = [READ] if batch.spec.input.table is not None else []
    return ",".join([MODELWARD.containers.compile, *table, *(each for each in sidecars if each != CONTAINER)])


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
    asked = json.dumps(_asked(batch, run, taken, drift), sort_keys=True)
    readers = [] if spec.input.table is None else [_reader(batch, platform, container, asked, bundle)]
    settings = {
        "MODELWARD_BATCH": asked,
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
        "initContainers": [download, compiling, *readers],
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
    asked: dict[str, Any] = {
        "run": run.name,
        "input": _source(batch),
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


def _source(batch: BatchInference) -> dict[str, Any]:
    source, table = batch.spec.input, batch.spec.input.table
    if table is not None:
        return {"table": {"url": table.url, "name": table.name} | ({"schema": table.schema} if table.schema else {})}
    assert source.uri is not None, "an input is files or a table"
    return {"uri": _inside(source.uri, INPUT_MOUNT)} | ({"format": source.format} if source.format else {})


def _reader(
    batch: BatchInference, platform: Platform, container: Mapping[str, Any], asked: str, bundle: Mapping[str, Any]
) -> dict[str, Any]:
    """The step that reads a table into a folder of the pod, by the names of the columns that the model takes."""
    table = batch.spec.input.table
    assert table is not None
    login = []
    if table.credentials_secret is not None:
        name = table.credentials_secret.name
        login = [
            {"name": each, "valueFrom": {"secretKeyRef": {"name": name, "key": each, "optional": True}}}
            for each in _TABLE_LOGIN
        ]
    settings = {
        "MODELWARD_BATCH": asked, "BUNDLE_DIR": BUNDLE_DIR, "TABLE_DIR": TABLE_MOUNT, **steps.outside(platform),
    }  # fmt: skip
    return {
        **container,
        "name": READ,
        "image": platform.evaluate_image,
        "command": list(READ_COMMAND),
        "env": [*common.environment(settings), *login],
        "volumeMounts": [
            {**bundle, "readOnly": True}, steps.tmp(READ), {"name": _TABLE, "mountPath": TABLE_MOUNT},
            *steps.ca_mounts(platform),
        ],
    }  # fmt: skip


def _inside(uri: str, mount: str) -> str:
    """The address inside the pod."""
    if claim_of(uri) is None:
        return uri
    return f"file://{mount}/{urlsplit(uri).path.lstrip('/')}"


def _rows(batch: BatchInference) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of rows and answers, and where what scores has them."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    source, target = batch.spec.input.claim, claim_of(batch.spec.output.uri)
    if batch.spec.input.table is not None:
        volumes += [steps.folder(_TABLE, TABLE_SIZE), steps.folder(steps.tmp(READ)["name"], steps.SCRATCH)]
        mounts.append({"name": _TABLE, "mountPath": TABLE_MOUNT, "readOnly": True})
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
