"""The operator's settings, from environment variables that manifests/base sets; docs/settings.md has them all."""

import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelward import runtime_files
from modelward import setting_values as value
from modelward.platform import TRACE_SHARE, Platform
from modelward.reconcilers.fleet_rules import AT_A_TIME
from modelward.registries.roles import NOBODY, Allowed, Identity, Lending
from modelward.setting_values import NAMESPACE, SettingsError

_ROLE = r"arn:aws[a-z-]{0,10}:iam::[0-9]{12}:role/[A-Za-z0-9_+=.@/*-]{1,512}"
"""With `*` in its name alone: a pattern never reaches into another account."""

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Settings:
    """`namespace`: where the Lease lies. `identity`: who holds it; the same for a restarted container of the pod.

    `prometheus_url`: where gates ask their PromQL queries, None: nowhere. `prometheus_namespace_label`: by which these
    are narrowed to a namespace, None: not at all. `prometheus_token_file`, `prometheus_tenant`: how the operator makes
    itself known there, None: not at all. `registry_webhook_port`: where registries may say that they have changed.
    `webhook_hosts`: names or patterns of the hosts that webhooks and pipelines of DriftPolicies may be at;
    `webhook_plain_hosts`: of those, where pipelines may be asked without TLS; `registry_hosts`: that ModelRegistries
    may name. `watch_namespaces`: that the installation is for, None: all. `updates_at_a_time`: models whose pods are
    made anew at a time when the platform has changed; 0: none. `lending`: for which roles of AWS, to which namespaces,
    the operator lends its own identity. `openlineage_url`: where lineage is sent, None: nowhere;
    `openlineage_namespace`: of its jobs; `openlineage_key_file`: a bearer token for it; `openlineage_namespaces`: of
    the cluster, names or patterns, whose lineage is sent. `unknown`: sentences about variables that are none.
    """

    platform: Platform
    namespace: str
    identity: str
    http_port: int = 8080
    registry_webhook_port: int = 8082
    log_level: str = "INFO"
    log_format: str = "text"
    resync_seconds: float = 600.0
    prometheus_url: str | None = None
    prometheus_namespace_label: str | None = None
    prometheus_token_file: Path | None = None
    prometheus_tenant: str | None = None
    webhook_hosts: tuple[str, ...] = ()
    webhook_plain_hosts: tuple[str, ...] = ()
    registry_hosts: tuple[str, ...] = ("*",)
    watch_namespaces: tuple[str, ...] | None = None
    updates_at_a_time: int = AT_A_TIME
    lending: Lending = NOBODY
    openlineage_url: str | None = None
    openlineage_namespace: str = "modelward"
    openlineage_key_file: Path | None = None
    openlineage_namespaces: tuple[str, ...] = ("*",)
    unknown: tuple[str, ...] = ()


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError."""
    environment = asked = value.Asked(environment)
    namespace = environment.get("POD_NAMESPACE") or _own_namespace()
    http_port = value.port(environment, "MODELWARD_HTTP_PORT", 8080)
    webhook_port = value.port(environment, "MODELWARD_REGISTRY_WEBHOOK_PORT", 8082)
    if http_port == webhook_port:
        raise SettingsError(
            f"MODELWARD_REGISTRY_WEBHOOK_PORT is {webhook_port}, which is MODELWARD_HTTP_PORT, too; set it to another"
        )
    found = Settings(
        platform=Platform(
            server_image=value.image(environment, "MODELWARD_SERVER_IMAGE"),
            router_image=value.image(environment, "MODELWARD_ROUTER_IMAGE"),
            evaluate_image=value.image(environment, "MODELWARD_EVALUATE_IMAGE", optional=True),
            cluster_domain=value.dns_name(environment, "MODELWARD_CLUSTER_DOMAIN", "cluster.local", "cluster.local"),
            allowed_formats=value.formats(environment, "MODELWARD_ALLOWED_FORMATS"),
            max_model_size=value.size(environment, "MODELWARD_MAX_MODEL_SIZE", "10Gi"),
            node_credentials=value.switch(environment, "MODELWARD_NODE_CREDENTIALS", "false"),
            https_proxy=value.address(environment, "MODELWARD_HTTPS_PROXY", "http://proxy.example.com:3128", login=True)
            or "",
            no_proxy=value.unproxied(environment, "MODELWARD_NO_PROXY"),
            oci_plain_http=value.plain_hosts(environment, "MODELWARD_OCI_PLAIN_HTTP"),
            ca_config_map=value.dns_name(environment, "MODELWARD_CA_CONFIGMAP", "", "company-ca"),
            otlp_endpoint=value.address(
                environment,
                "MODELWARD_OTLP_ENDPOINT",
                "http://collector.observability.svc:4318",
                schemes=("http",),
                elsewhere="; a collector of the cluster takes http, and passes spans on by https",
            )
            or "",
            trace_share=value.fraction(environment, "MODELWARD_TRACE_SHARE", TRACE_SHARE),
            runtimes=runtime_files.presets(value.path(environment, runtime_files.VARIABLE)),
            operator_namespace=namespace if value.switch(environment, "MODELWARD_NETWORK_POLICIES", "true") else None,
        ),
        namespace=namespace,
        # The pod's uid: a pod that is made anew under the same name is another candidate.
        identity=f"{environment.get('POD_NAME', socket.gethostname())}_{environment.get('POD_UID') or uuid.uuid4()}",
        http_port=http_port,
        registry_webhook_port=webhook_port,
        log_level=value.level(environment, "MODELWARD_LOG_LEVEL"),
        log_format=value.log_format(environment, "MODELWARD_LOG_FORMAT"),
        resync_seconds=value.number(environment, "MODELWARD_RESYNC_SECONDS", 600),
        prometheus_url=value.address(
            environment, "MODELWARD_PROMETHEUS_URL", "http://prometheus.monitoring.svc:9090", login=True
        ),
        prometheus_namespace_label=value.label(environment, "MODELWARD_PROMETHEUS_NAMESPACE_LABEL"),
        updates_at_a_time=value.number(environment, "MODELWARD_UPDATES_AT_A_TIME", AT_A_TIME, least=0),
        watch_namespaces=value.namespaces(environment, "MODELWARD_WATCH_NAMESPACES"),
        prometheus_token_file=value.path(environment, "MODELWARD_PROMETHEUS_TOKEN_FILE"),
        prometheus_tenant=value.tenant(environment, "MODELWARD_PROMETHEUS_TENANT"),
        webhook_hosts=value.hosts(environment, "MODELWARD_WEBHOOK_HOSTS", ""),
        webhook_plain_hosts=value.hosts(environment, "MODELWARD_WEBHOOK_PLAIN_HOSTS", ""),
        registry_hosts=value.hosts(environment, "MODELWARD_REGISTRY_HOSTS", "*"),
        lending=_lending(environment),
        openlineage_url=value.address(
            environment,
            "MODELWARD_OPENLINEAGE_URL",
            "http://marquez.lineage.svc:5000",
            path="/api/v1/lineage",
            query=True,
            elsewhere="; logins belong into the file of MODELWARD_OPENLINEAGE_API_KEY_FILE",
        ),
        openlineage_namespace=value.line(environment, "MODELWARD_OPENLINEAGE_NAMESPACE", "modelward"),
        openlineage_key_file=value.path(environment, "MODELWARD_OPENLINEAGE_API_KEY_FILE"),
        openlineage_namespaces=value.namespace_patterns(environment, "MODELWARD_OPENLINEAGE_NAMESPACES", "*"),
    )
    # A slip in a name must not pass for the default: without WATCH_NAMESPACES it is an installation for all of them.
    return replace(found, unknown=asked.unknown())


def _lending(environment: Mapping[str, str]) -> Lending:
    """MODELWARD_ROLES; and the identity by the names that AWS' webhook gives it in the operator's pod."""
    allowed = []
    for entry in value.words(environment, "MODELWARD_ROLES"):
        namespace, _, role = entry.partition("=")
        if not re.fullmatch(rf"\*|{NAMESPACE}", namespace) or not re.fullmatch(_ROLE, role):
            raise SettingsError(
                f"MODELWARD_ROLES: {entry!r} is no namespace=role; write a namespace (or * for every one) and the ARN "
                "of a role (or a pattern of its name), such as team-a=arn:aws:iam::123456789012:role/models"
            )
        allowed.append(Allowed(namespace, role))
    token = value.path(environment, "AWS_WEB_IDENTITY_TOKEN_FILE")
    identity = None if token is None else Identity(token, environment.get("AWS_ROLE_ARN", "").strip() or None)
    # https alone: the operator's token is shown there.
    sts = value.address(
        environment, "MODELWARD_STS_URL", "https://vpce-1a2b.sts.eu-west-1.vpce.amazonaws.com", schemes=("https",)
    )
    return Lending(tuple(allowed), identity, sts)


def _own_namespace() -> str:
    return NAMESPACE_FILE.read_text().strip() if NAMESPACE_FILE.exists() else "default"
