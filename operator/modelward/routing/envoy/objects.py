"""The router's objects: the ConfigMap it follows, the Deployment of Envoy, and the Service that clients call."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, Resources
from modelward.facts import Progress, RouteTable
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.revisions import disruption
from modelward.revisions.pods import pod_template
from modelward.routing.envoy import bootstrap as envoy
from modelward.routing.envoy import certificate
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.envoy.tracing import Collector
from modelward.routing.stored import dump_routes
from modelward.values.hashing import content_hash
from modelward.values.quantities import amount

SERVICE_PORT, SERVICE_TLS_PORT = 80, 443

DRAIN_SECONDS = 10
"""How long a router pod that ends tells its clients to go elsewhere (`Connection: close`) while it serves those who do
not know. It ends when it has answered all of them, each within traffic.timeout."""

GRACE_SECONDS = 3600 + 2 * DRAIN_SECONDS
"""The longest traffic.timeout, and the drain: no number of the pod's may change with traffic."""

DEFAULT_RESOURCES = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})
DEFAULT_WORKER_THREADS = 2
"""Envoy's default is one thread a core of the node, each with its own connections and statistics."""

_ACTIVE = "downstream_rq_active"


def name_of(owner: ModelDeployment) -> str:
    return f"{owner.name}-router"


def intent_of(owner: ModelDeployment) -> str:
    """Names what the user wrote of the router's pods: the same for every operator."""
    resources, tls = owner.spec.router.resources, owner.spec.router.tls
    wrote = {
        "requests": dict(resources.requests), "limits": dict(resources.limits), "tls": tls and tls.secret_name,
        "template": dict(owner.spec.router.template),
    }  # fmt: skip
    return content_hash({name: value for name, value in wrote.items() if value})


def version_of(owner: ModelDeployment, platform: Platform, routes: RouteTable) -> str:
    """The version of the configuration that `routes` become."""
    return envoy_routes.version_of(
        routes,
        owner.spec.traffic,
        owner.namespace,
        platform.cluster_domain,
        tell_arms=owner.spec.monitor is not None,
    )


def manifests(
    owner: ModelDeployment, platform: Platform, routes: RouteTable, progress: Progress | None, *, tls: bool = False
) -> Iterator[dict[str, Any]]:
    """Everything, the configuration before the pods that mount it. `tls`: whether the Service leads to pods that speak
    TLS, which is what spec asks for as soon as there are such pods."""
    yield config_map(owner, platform, routes, progress)
    if owner.spec.router.replicas >= disruption.LEAST:
        yield disruption.of_router(owner, name_of(owner))
    yield deployment(owner, platform)
    yield service(owner, tls=tls)


def config_map(
    owner: ModelDeployment, platform: Platform, routes: RouteTable, progress: Progress | None = None
) -> dict[str, Any]:
    """The configuration that the router's pods follow; the router needs nothing else, not even the operator."""
    annotations = {names.ANNOTATION_ROUTES: dump_routes(routes, version_of(owner, platform, routes), progress)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": common.metadata(owner, name_of(owner), names.COMPONENT_ROUTER, annotations=annotations),
        "data": {
            **envoy_routes.configuration(
                routes,
                owner.spec.traffic,
                owner.namespace,
                platform.cluster_domain,
                tell_arms=owner.spec.monitor is not None,
            ),
            **(envoy.certificate() if owner.spec.router.tls else {}),
        },
    }


def deployment(owner: ModelDeployment, platform: Platform, template: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Envoy. Its pods never change with the traffic: only the ConfigMap does. `template`: of its pods where they stay
    what they were, None: what they would be made of now."""
    template = template_of(owner, platform) if template is None else template
    annotations = {names.ANNOTATION_MADE_OF: content_hash(template)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": common.metadata(owner, name_of(owner), names.COMPONENT_ROUTER, annotations=annotations),
        "spec": {
            "replicas": owner.spec.router.replicas,
            "paused": False,
            "revisionHistoryLimit": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": _selector(owner)},
            "template": template,
        },
    }


def template_of(owner: ModelDeployment, platform: Platform) -> dict[str, Any]:
    """Of the pods of Envoy."""
    tls = owner.spec.router.tls
    template = {
        "metadata": {"labels": common.labels(owner, names.COMPONENT_ROUTER)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {**common.POD_SECURITY_CONTEXT, "runAsUser": common.NON_ROOT_USER},
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [_container(owner, platform)],
            "volumes": [
                {"name": "config", "configMap": {"name": name_of(owner)}},
                *([certificate.volume(tls)] if tls else ()),
            ],
            "topologySpreadConstraints": [common.spread(_selector(owner))],
        },
    }
    return pod_template.merged(template, owner.spec.router.template, _selector(owner))


def drain_command(admin_port: int = envoy.ADMIN_PORT, seconds: int = DRAIN_SECONDS) -> str:
    """What a pod runs before it ends: Envoy itself ends at once on SIGTERM, whoever still waits for an answer.

    A script of bash alone, since the image of Envoy has no curl.
    """
    admin = f"/dev/tcp/127.0.0.1/{admin_port}"
    drain = r"POST /drain_listeners?graceful&skip_exit HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n"
    count = rf"GET /stats?filter={envoy.CLIENTS}.{_ACTIVE} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
    return f"""
answering() {{
  exec 4<>{admin} && printf '{count}' >&4 || return 1
  while read -r name value; do
    [[ $name == *{_ACTIVE}: && ${{value%$'\\r'}} -gt 0 ]] && return 0
  done <&4
  return 1
}}
exec 3<>{admin}; printf '{drain}' >&3; sleep {seconds}
while answering; do sleep 0.5; done
""".strip()


def service(owner: ModelDeployment, *, tls: bool = False) -> dict[str, Any]:
    """The model's address: `http://<name>.<namespace>.svc`, and for gRPC `<name>.<namespace>.svc:9000`; with `tls`
    `https://<name>.<namespace>.svc`, and gRPC over TLS. Ports are told by name, so that no pod gets what it does not
    speak."""
    name, wanted = certificate.PORT_NAME if tls else "http", owner.spec.router.service
    further = {
        "loadBalancerClass": wanted.load_balancer_class,
        "loadBalancerSourceRanges": list(wanted.load_balancer_source_ranges),
        "externalTrafficPolicy": wanted.external_traffic_policy,
        "ipFamilyPolicy": wanted.ip_family_policy,
        "ipFamilies": list(wanted.ip_families),
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": common.metadata(
            owner, owner.name, names.COMPONENT_ROUTER, annotations=dict(wanted.annotations) or None
        ),
        "spec": {
            "type": wanted.type,
            **{field: value for field, value in further.items() if value},
            "selector": _selector(owner),
            "ports": [
                {
                    "name": name,
                    "port": SERVICE_TLS_PORT if tls else SERVICE_PORT,
                    "targetPort": name,
                    "protocol": "TCP",
                    **({"appProtocol": "https"} if tls else {}),
                },
                # The same listener speaks both; a port of its own is what gRPC clients and meshes expect.
                {
                    "name": "grpc",
                    "port": names.GRPC_PORT,
                    "targetPort": name,
                    "protocol": "TCP",
                    "appProtocol": "https" if tls else "kubernetes.io/h2c",
                },
            ],
        },
    }


def _selector(owner: ModelDeployment) -> dict[str, str]:
    return common.selector(owner, names.COMPONENT_ROUTER)


def _container(owner: ModelDeployment, platform: Platform) -> dict[str, Any]:
    resources, tls = owner.spec.router.resources, owner.spec.router.tls
    port = certificate.PORT_NAME if tls else "http"
    bootstrap = envoy.bootstrap(_memory(resources), tls=tls is not None, collector=_collector(owner, platform))
    return {
        "name": "envoy",
        "image": platform.router_image,
        "imagePullPolicy": "IfNotPresent",
        **(certificate.container(owner, tls) if tls else {"command": ["envoy"]}),
        "args": [
            "--config-yaml",
            json.dumps(bootstrap, separators=(",", ":")),
            "--concurrency",
            str(_worker_threads(resources)),
            "--drain-time-s",
            str(DRAIN_SECONDS),
            "--drain-strategy",
            "immediate",
            "--disable-hot-restart",
            "--log-level",
            "warning",
        ],
        "ports": [
            {"name": port, "containerPort": envoy.HTTP_PORT, "protocol": "TCP"},
            {"name": "internal", "containerPort": envoy.INTERNAL_PORT, "protocol": "TCP"},
            {"name": "inside", "containerPort": envoy.INSIDE_PORT, "protocol": "TCP"},
        ],
        "resources": common.resources(resources, DEFAULT_RESOURCES),
        "securityContext": common.CONTAINER_SECURITY_CONTEXT,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", drain_command()]}}},
        "readinessProbe": _probe(period=2, failures=2),
        "startupProbe": _probe(period=1, failures=60),
        "livenessProbe": _probe(period=10, failures=3),
        "volumeMounts": [
            {"name": "config", "mountPath": envoy.CONFIG_DIR, "readOnly": True},
            *([certificate.mount()] if tls else ()),
        ],
    }


def _collector(owner: ModelDeployment, platform: Platform) -> Collector | None:
    if not platform.otlp_endpoint:
        return None
    return Collector(platform.otlp_endpoint, platform.trace_share, name_of(owner), owner.namespace)


def _probe(period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/ready", "port": "internal"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _memory(resources: Resources) -> int:
    """Bytes that Envoy may use: the limit of its container."""
    limit = (resources.limits or DEFAULT_RESOURCES.limits).get("memory")
    return envoy.DEFAULT_MEMORY if limit is None else int(amount(limit))


def _worker_threads(resources: Resources) -> int:
    """As many threads as the CPU limit has whole cores, rounded up."""
    limit = resources.limits.get("cpu")
    if limit is None:
        return DEFAULT_WORKER_THREADS
    return max(1, math.ceil(amount(limit)))
