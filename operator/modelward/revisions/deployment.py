"""A revision's objects: the Deployment that runs the model and the Service that names its pods."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelward.api import names
from modelward.api.asked import said
from modelward.api.modeldeployment import Model, ModelDeployment, Resources, Spec, Variant
from modelward.api.runtime import is_in_image
from modelward.facts import ModelFacts, Promotion
from modelward.kube import manifests as common
from modelward.models.resolved import ResolvedModel
from modelward.net.untrusted import in_header
from modelward.platform import Platform
from modelward.revisions import restart
from modelward.revisions.naming import revision_name
from modelward.revisions.pods import (
    cache_mounts,
    claims,
    features,
    foreign_pod,
    identity,
    monitor_container,
    pod_template,
    prediction_log,
    tracing,
)
from modelward.revisions.pods import init_containers as steps
from modelward.revisions.pods.monitor_container import plain
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds, share
from modelward.values.hashing import content_hash
from modelward.values.quantities import amount
from modelward.values.stored import known_text

CONTAINERS, PORTS = MODELWARD.containers, MODELWARD.ports

PIN_KEY = "digest"
"""In the ConfigMap of the revision's pin."""

BUNDLE_DIR = "/bundle"

DRAIN_SECONDS = 5
"""How long a server keeps accepting after SIGTERM: until kube-proxy everywhere has dropped the pod."""

TERMINATION_GRACE_SECONDS = 90
"""DRAIN_SECONDS and the longest prediction that should still be answered."""

STARTUP_SECONDS = 900
"""How long a large model may take to load before the kubelet starts over."""

DEFAULT_RESOURCES = Resources(requests={"cpu": "100m", "memory": "256Mi"})


def name_of(deployment: ModelDeployment, variant: Variant | None = None) -> str:
    """The name of the revision that `deployment.spec`, or one of its variants, asks for: whatever pods an
    operator makes of it, so that an upgrade makes no new revision."""
    if variant is None:
        return revision_name(deployment.name, _asked(deployment, deployment.spec.model))
    return revision_name(f"{deployment.name}-{variant.name}", _asked(deployment, variant.model))


def intent_of(deployment: ModelDeployment, model: Model | None = None) -> str:
    """Names what the user wrote of the model and its pods: the same for every operator. `model`: that of a variant."""
    return content_hash(_asked(deployment, model or deployment.spec.model))


def _asked(deployment: ModelDeployment, model: Model) -> dict[str, Any]:
    """What was left out counts for nothing, so that a field which a later operator adds changes no name."""
    spec, monitor = deployment.spec, deployment.spec.monitor
    wrote = {
        "model": said(model, as_field=True),
        "resources": said(spec.resources, as_field=True),
        "server": said(spec.server, as_field=True),
        "serviceAccountName": spec.service_account_name,
        "monitor": None if monitor is None else {**said(monitor, as_field=True), "window": monitor.window.duration},
        "predictionLog": None if spec.prediction_log is None else said(spec.prediction_log, as_field=True),
        "template": dict(spec.template),
        "runtime": None if spec.runtime is None else said(spec.runtime, as_field=True),
        "features": None if spec.features is None else said(spec.features, as_field=True),
    }
    return {name: value for name, value in wrote.items() if value not in (None, {})}


def model_of(model: Model) -> ModelFacts:
    facts = ModelFacts(uri=model.uri, format=model.format, digest=model.digest)
    if isinstance(model, ResolvedModel):
        return replace(facts, version=model.version, lineage=model.lineage)
    return facts


def dump_promotion(promotion: Promotion) -> str:
    """The promotion as ANNOTATION_PROMOTED holds it."""
    return json.dumps({"number": promotion.number, "at": promotion.at})


def load_promotion(annotation: str | None) -> Promotion | None:
    """The inverse of `dump_promotion`; None where there is none that can be read."""
    try:
        return known_text(Promotion, annotation or "null")
    except ValueError:
        return None


def dump_model(model: ModelFacts) -> str:
    """The model as ANNOTATION_MODEL holds it."""
    shown: dict[str, Any] = {"uri": model.uri, "format": model.format, "digest": model.digest}
    if model.version is not None:
        shown |= {"version": model.version, "lineage": dict(model.lineage)}
    return json.dumps(shown, sort_keys=True)


def load_model(annotation: str | None) -> ModelFacts | None:
    """The inverse of `dump_model`; None where there is none that can be read."""
    try:
        return known_text(ModelFacts, annotation or "null")
    except ValueError:
        return None


class UnknownRuntimeError(ValueError):
    """The installation has no preset of that name; the message names those that it has."""


@dataclass(frozen=True)
class Shape:
    """What a revision is: its model and its pods. All that it takes to make its objects again."""

    model: ModelFacts
    template: Mapping[str, Any]


def shape(owner: ModelDeployment, platform: Platform, revision: str, model: Model | None = None) -> Shape:
    """The shape of the revision that `owner.spec` asks for, or one of its variants with its `model`. Raises
    UnknownRuntimeError."""
    model, asked = model or owner.spec.model, owner.spec.template
    runtime, preset = owner.spec.runtime, None
    if runtime is not None:
        preset = foreign_pod.preset_of(runtime, platform, in_image=is_in_image(model.uri))
        if (missing := foreign_pod.unknown(runtime, platform)) is not None:
            raise UnknownRuntimeError(missing.message)
    selector = {names.LABEL_REVISION: revision}
    besides = (*cache_mounts.keeps(owner.spec, model, platform), *pod_template.sidecars(asked))
    if preset is None:
        annotations = steps.annotations(owner.spec, besides)
        spec = _pod_spec(owner, platform, model, revision)
    else:
        annotations = foreign_pod.annotations(owner, preset, besides)
        spec = foreign_pod.pod_spec(owner, platform, model, revision, preset, _pin(model, revision), _about_servers())
    template = {
        "metadata": {
            "labels": common.labels(owner, names.COMPONENT_SERVER, revision),
            "annotations": annotations,
        },
        "spec": {**spec, "topologySpreadConstraints": [common.spread(selector)]},
    }
    merged = pod_template.merged(template, asked, selector)
    return Shape(model_of(model), {**merged, "spec": claims.each_once(merged["spec"])})


def deployment(
    owner: ModelDeployment,
    platform: Platform,
    revision: str,
    replicas: int,
    model: Model | None = None,
    promotion: Promotion | None = None,
) -> dict[str, Any]:
    """The Deployment of the revision that `owner.spec` asks for, or one of its variants with its `model`."""
    return deployment_of(owner, shape(owner, platform, revision, model), revision, replicas, promotion)


def deployment_of(
    owner: ModelDeployment,
    shape: Shape,
    revision: str,
    replicas: int,
    promotion: Promotion | None = None,
    restarted: str | None = None,
) -> dict[str, Any]:
    """The Deployment that runs `shape`, whether `owner.spec` still asks for it or not. `restarted`: the value of
    ANNOTATION_RESTART that its pods were made anew for, which is no part of the shape."""
    annotations = {
        names.ANNOTATION_MODEL: dump_model(shape.model),
        names.ANNOTATION_MADE_OF: content_hash(shape.template),
    }
    if promotion is not None:
        annotations[names.ANNOTATION_PROMOTED] = dump_promotion(promotion)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": common.metadata(owner, revision, names.COMPONENT_SERVER, revision, annotations),
        "spec": {
            "replicas": replicas,
            "paused": False,  # by somebody's hand it would hold these pods, and a turn of the fleet, for ever
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": max(STARTUP_SECONDS, pod_template.startup_seconds(shape.template)),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "selector": {"matchLabels": {names.LABEL_REVISION: revision}},
            "template": shape.template if restarted is None else restart.marked(shape.template, restarted),
        },
    }


def service(owner: ModelDeployment, revision: str) -> dict[str, Any]:
    """The Service that the router reaches the revision's pods by.

    A cluster IP, not a headless Service: DNS answers may be cached for 30 s, and an address of a pod that is gone may
    belong to another model by then; kube-proxy forgets it within a second.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": common.metadata(owner, revision, names.COMPONENT_SERVER, revision),
        "spec": {
            "type": "ClusterIP",
            "selector": common.selector(owner, names.COMPONENT_SERVER, revision),
            "ports": [
                {"name": "http", "port": PORTS.http, "targetPort": "http", "protocol": "TCP"},
                {
                    "name": "grpc",
                    "port": PORTS.grpc,
                    "targetPort": "grpc",
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                },
            ],
        },
    }


def pin_name(revision: str) -> str:
    return f"{revision}-artifact"


def _pod_spec(owner: ModelDeployment, platform: Platform, model: Model, revision: str) -> dict[str, Any]:
    """Everything that shapes the pod."""
    spec = owner.spec
    container = common.container(platform.server_image, spec.resources, DEFAULT_RESOURCES)
    bundle = {"name": "bundle", "mountPath": BUNDLE_DIR}
    shared = {"MODEL_NAME": owner.name, "BUNDLE_DIR": BUNDLE_DIR}
    volumes = [
        *steps.volumes(model, platform),
        steps.folder(steps.tmp(CONTAINERS.server)["name"], steps.SCRATCH),
        *identity.volumes(owner),
        *cache_mounts.volumes(spec, model, platform),
        *features.volumes(spec.features),
    ]
    download = identity.made(steps.download(spec, model, platform, container, shared, _pin(model, revision)))
    init = [
        cache_mounts.added(download, owner, model, platform, revision),
        steps.compiling(spec, model, platform, container, shared, bundle),
    ]
    for name in cache_mounts.keeps(spec, model, platform):
        volumes.append(steps.folder(steps.tmp(name)["name"], steps.SCRATCH))
        keeping = steps.keeping(spec, model, container, shared, bundle)
        init.append(cache_mounts.added(keeping, owner, model, platform, revision))
    if spec.monitor is not None:
        volumes += monitor_container.volumes(owner)
        init.append(monitor_container.sidecar(owner, platform, revision, container, shared, bundle))
    settings = {
        **_server_settings(spec),
        **_told_to_clients(model, revision),
        **steps.formats(model, platform),
        **tracing.variables(owner, platform),
        **features.settings(spec.features, platform),
        "ARTIFACT_DIR": steps.ARTIFACT_DIR,
    }
    server = {
        **container,
        "name": CONTAINERS.server,
        "args": ["serve"],
        "env": common.environment({**shared, **settings}),
        "ports": [
            {"name": "http", "containerPort": PORTS.http, "protocol": "TCP"},
            {"name": "grpc", "containerPort": PORTS.grpc, "protocol": "TCP"},
        ],
        "volumeMounts": [
            {**bundle, "readOnly": True},
            steps.ARTIFACT,
            steps.tmp(CONTAINERS.server),
            *([monitor_container.MOUNT] if spec.monitor is not None else ()),
            *features.mounts(spec.features, platform),
        ],
        **_probes(),
    }
    built: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            **common.POD_SECURITY_CONTEXT,
            **prediction_log.security_context(owner),
            **cache_mounts.security(model, platform),
        },
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "initContainers": init,
        "containers": [identity.known(server)],
        "volumes": volumes,
    }
    if spec.service_account_name:
        built["serviceAccountName"] = spec.service_account_name
    return built


def _pin(model: Model, revision: str) -> list[dict[str, Any]]:
    """What the first pod fetched, once that is known, where the user pins nothing."""
    if model.digest:
        return []
    reference = {"name": pin_name(revision), "key": PIN_KEY, "optional": True}
    return [{"name": "MODEL_FIRST_DIGEST", "valueFrom": {"configMapKeyRef": reference}}]


def _told_to_clients(model: Model, revision: str) -> dict[str, str]:
    """In the headers of every answer."""
    version = in_header(model.version) if isinstance(model, ResolvedModel) else ""
    return {"MODEL_REVISION": revision} | ({"MODEL_REGISTRY_VERSION": version} if version else {})


def _server_settings(spec: Spec) -> dict[str, str]:
    """Only what the user set: the rest is the image's to decide."""
    server = spec.server
    wanted = {
        "CAPTURE_SOCKET": None if spec.monitor is None else monitor_container.CAPTURE_SOCKET,
        "CAPTURE_SAMPLING": None if spec.monitor is None else share(spec.monitor.sampling_fraction),
        "REQUEST_TIMEOUT_SECONDS": None if server.timeout is None else seconds(server.timeout),
        "MAX_REQUEST_BYTES": None if server.max_request_size is None else int(amount(server.max_request_size)),
        "MAX_ROWS": server.max_rows,
        "MAX_WAITING_REQUESTS": server.max_waiting,
        "MAX_BATCH_ROWS": server.batching.max_rows,
        "MAX_BATCH_DELAY_MS": None if server.batching.max_delay is None else seconds(server.batching.max_delay) * 1000,
        "ALLOW_ORIGINS": ",".join(server.allow_origins) or None,
    }
    fixed = {"PORT": PORTS.http, "GRPC_PORT": PORTS.grpc, "DRAIN_SECONDS": DRAIN_SECONDS}
    return {name: plain(value) for name, value in {**fixed, **wanted}.items() if value is not None}


def _about_servers() -> foreign_pod.AboutServers:
    """What is the same whoever answers."""
    return foreign_pod.AboutServers(DEFAULT_RESOURCES, TERMINATION_GRACE_SECONDS, DRAIN_SECONDS, _probes)


def _probes(ready: str = MODELWARD.ready, live: str = MODELWARD.live, port: str | int = "http") -> dict[str, Any]:
    """By these paths."""

    def get(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": port}}

    return {
        "startupProbe": {**get(ready), "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": STARTUP_SECONDS},
        "readinessProbe": {**get(ready), "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**get(live), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
    }
