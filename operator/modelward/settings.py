"""The operator's settings, from environment variables that manifests/base sets."""

import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelward.models import consent
from modelward.net.untrusted import bare
from modelward.platform import Platform
from modelward.reconcilers.fleet_rules import AT_A_TIME
from modelward.registries.roles import NOBODY, Allowed, Identity, Lending
from modelward.values.quantities import amount

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    r"(?:(?:[a-zA-Z0-9][a-zA-Z0-9.-]*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?" + rf"{_PART}(?:/{_PART})*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
"""As https://github.com/distribution/reference has it: a registry with a port, a path, a tag, a digest."""

_NAMESPACE = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_ROLE = r"arn:aws[a-z-]{0,10}:iam::[0-9]{12}:role/[A-Za-z0-9_+=.@/*-]{1,512}"
"""With `*` in its name alone: a pattern never reaches into another account."""

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable."""


@dataclass(frozen=True)
class Settings:
    """`namespace`: where the Lease lies. `identity`: who holds it; the same for a restarted container of the pod.

    `prometheus_url`: where gates ask their PromQL queries, None: nowhere. `prometheus_namespace_label`: by which these
    are narrowed to a namespace, None: not at all. `prometheus_token_file`, `prometheus_tenant`: how the operator makes
    itself known there, None: not at all. `registry_webhook_port`: where registries may say that they have changed.
    `webhook_hosts`: names or patterns of the hosts that webhooks of
    DriftPolicies may be sent to; `registry_hosts`: that ModelRegistries may name. `watch_namespaces`: that the
    installation is for, None: all. `updates_at_a_time`: models whose pods are made anew at a time when the platform has
    changed; 0: none. `lending`: for which roles of AWS, to which namespaces, the operator lends its own identity.
    `openlineage_url`: where lineage is sent, None: nowhere; `openlineage_namespace`: of its jobs;
    `openlineage_key_file`: a bearer token for it; `openlineage_namespaces`: of the cluster, names or patterns, whose
    lineage is sent.
    """

    platform: Platform
    namespace: str
    identity: str
    http_port: int = 8080
    registry_webhook_port: int = 8082
    log_level: str = "INFO"
    resync_seconds: float = 600.0
    prometheus_url: str | None = None
    prometheus_namespace_label: str | None = None
    prometheus_token_file: Path | None = None
    prometheus_tenant: str | None = None
    webhook_hosts: tuple[str, ...] = ()
    registry_hosts: tuple[str, ...] = ("*",)
    watch_namespaces: tuple[str, ...] | None = None
    updates_at_a_time: int = AT_A_TIME
    lending: Lending = NOBODY
    openlineage_url: str | None = None
    openlineage_namespace: str = "modelward"
    openlineage_key_file: Path | None = None
    openlineage_namespaces: tuple[str, ...] = ("*",)


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError."""
    namespace = environment.get("POD_NAMESPACE") or _own_namespace()
    return Settings(
        platform=Platform(
            server_image=_image(environment, "MODELWARD_SERVER_IMAGE"),
            router_image=_image(environment, "MODELWARD_ROUTER_IMAGE"),
            cluster_domain=environment.get("MODELWARD_CLUSTER_DOMAIN", "cluster.local"),
            allowed_formats=_formats(environment, "MODELWARD_ALLOWED_FORMATS"),
            max_model_size=_bytes(environment, "MODELWARD_MAX_MODEL_SIZE", "10Gi"),
            node_credentials=_switch(environment, "MODELWARD_NODE_CREDENTIALS", "false"),
            https_proxy=environment.get("MODELWARD_HTTPS_PROXY", "").strip(),
            no_proxy=environment.get("MODELWARD_NO_PROXY", "").strip(),
            oci_plain_http=environment.get("MODELWARD_OCI_PLAIN_HTTP", "").strip(),
            ca_config_map=environment.get("MODELWARD_CA_CONFIGMAP", "").strip(),
            operator_namespace=namespace if _switch(environment, "MODELWARD_NETWORK_POLICIES", "true") else None,
        ),
        namespace=namespace,
        # The pod's uid: a pod that is made anew under the same name is another candidate.
        identity=f"{environment.get('POD_NAME', socket.gethostname())}_{environment.get('POD_UID') or uuid.uuid4()}",
        http_port=_number(environment, "MODELWARD_HTTP_PORT", 8080),
        registry_webhook_port=_number(environment, "MODELWARD_REGISTRY_WEBHOOK_PORT", 8082),
        log_level=environment.get("MODELWARD_LOG_LEVEL", "INFO").upper(),
        resync_seconds=_number(environment, "MODELWARD_RESYNC_SECONDS", 600),
        prometheus_url=environment.get("MODELWARD_PROMETHEUS_URL", "").strip() or None,
        prometheus_namespace_label=_label(environment, "MODELWARD_PROMETHEUS_NAMESPACE_LABEL"),
        updates_at_a_time=_number(environment, "MODELWARD_UPDATES_AT_A_TIME", AT_A_TIME, least=0),
        watch_namespaces=_namespaces(environment, "MODELWARD_WATCH_NAMESPACES"),
        prometheus_token_file=_path(environment, "MODELWARD_PROMETHEUS_TOKEN_FILE"),
        prometheus_tenant=_tenant(environment, "MODELWARD_PROMETHEUS_TENANT"),
        webhook_hosts=_hosts(environment, "MODELWARD_WEBHOOK_HOSTS", ""),
        registry_hosts=_hosts(environment, "MODELWARD_REGISTRY_HOSTS", "*"),
        lending=_lending(environment),
        openlineage_url=_address(environment, "MODELWARD_OPENLINEAGE_URL", "/api/v1/lineage"),
        openlineage_namespace=_line(environment, "MODELWARD_OPENLINEAGE_NAMESPACE", "modelward"),
        openlineage_key_file=_path(environment, "MODELWARD_OPENLINEAGE_API_KEY_FILE"),
        openlineage_namespaces=_hosts(environment, "MODELWARD_OPENLINEAGE_NAMESPACES", "*"),
    )


def _image(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set; set it to an image reference, as manifests/base/operator.yaml does")
    if not _IMAGE.fullmatch(value):
        # Told by us at once, and not by each pod that nobody can start.
        raise SettingsError(
            f"{name} is {value!r}, which is no image; write name:tag, name@sha256:<64 hex digits> or name:tag@sha256:…"
        )
    return value


def _number(environment: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name} is {text!r}; set it to a {'positive ' if least else ''}whole number")
    return int(text)


def _formats(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return consent.parse(environment[name]) if name in environment else consent.SAFE
    except consent.UnknownFormatError as error:
        raise SettingsError(f"{name}: {error}") from None


def _bytes(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name, default)
    try:
        found = int(amount(text))
    except (ValueError, ArithmeticError):
        found = 0
    if found <= 0:
        raise SettingsError(f"{name} is {text!r}; set it to a number of bytes, such as 10Gi")
    return found


def _label(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if text and not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", text):
        raise SettingsError(f"{name} is {text!r}; set it to the name of a label of Prometheus, such as namespace")
    return text or None


def _namespaces(environment: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    found = tuple(dict.fromkeys(text.replace(",", " ").split()))
    wrong = [each for each in found if not re.fullmatch(_NAMESPACE, each)]
    if wrong or not found:
        # A slip of the pen must not make it an installation for all namespaces.
        raise SettingsError(
            f"{name} is {text!r}: {', '.join(wrong) or 'it'} can't be a namespace's name; set it to names of "
            "namespaces with blanks between them, or leave it empty for all"
        )
    return found


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    if text and not Path(text).is_absolute():
        raise SettingsError(f"{name} is {text!r}; set it to the whole path of a file in the operator's container")
    return Path(text) if text else None


def _address(environment: Mapping[str, str], name: str, path: str) -> str | None:
    """`path`: where none is written."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        whole = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port or True) and "@" not in parts.netloc
        )
    except ValueError:
        whole = False
    if not whole or not text.isascii() or not text.isprintable() or " " in text or parts.fragment:
        raise SettingsError(
            f"{name} is {bare(text)!r}; set it to an address such as http://marquez.lineage.svc:5000; logins belong "
            "into the file of MODELWARD_OPENLINEAGE_API_KEY_FILE"
        )
    return text if parts.path.strip("/") or parts.query else f"{parts.scheme}://{parts.netloc}{path}"


def _line(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, "").strip() or default
    if not text.isprintable() or len(text) > 253:
        raise SettingsError(f"{name} is {text!r}; set it to a name of at most 253 printable characters")
    return text


def _tenant(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if text and not re.fullmatch(r"[A-Za-z0-9!._*'()|-]{1,150}", text):
        raise SettingsError(f"{name} is {text!r}; set it to the name of a tenant, or to several with | between them")
    return text or None


def _switch(environment: Mapping[str, str], name: str, default: str) -> bool:
    text = environment.get(name, "").strip().lower() or default
    if text not in ("true", "false"):
        raise SettingsError(f"{name} is {text!r}; set it to true or false")
    return text == "true"


def _hosts(environment: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    """Names or patterns, with commas or blanks between them."""
    return tuple(environment.get(name, default).replace(",", " ").split())


def _lending(environment: Mapping[str, str]) -> Lending:
    """MODELWARD_ROLES; and the identity by the names that AWS' webhook gives it in the operator's pod."""
    allowed = []
    for entry in _hosts(environment, "MODELWARD_ROLES", ""):
        namespace, _, role = entry.partition("=")
        if not re.fullmatch(rf"\*|{_NAMESPACE}", namespace) or not re.fullmatch(_ROLE, role):
            raise SettingsError(
                f"MODELWARD_ROLES: {entry!r} is no namespace=role; write a namespace (or * for every one) and the ARN "
                "of a role (or a pattern of its name), such as team-a=arn:aws:iam::123456789012:role/models"
            )
        allowed.append(Allowed(namespace, role))
    token = _path(environment, "AWS_WEB_IDENTITY_TOKEN_FILE")
    identity = None if token is None else Identity(token, environment.get("AWS_ROLE_ARN", "").strip() or None)
    return Lending(tuple(allowed), identity, environment.get("MODELWARD_STS_URL", "").strip() or None)


def _own_namespace() -> str:
    return NAMESPACE_FILE.read_text().strip() if NAMESPACE_FILE.exists() else "default"
