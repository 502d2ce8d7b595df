"""The init containers that bring a model: `download`, then `compile`, and where there is a cache, `keep-bundle`.

Invariant: the container that loads the artifact has no credentials, no settings of the store, a user of its own and
folders of its own; it can only read what the download has signed off. The others load nothing.
"""

from typing import Any
from urllib.parse import urlsplit

from modelward.api.modeldeployment import Model, Resources, Spec
from modelward.api.names import VOLUME_CREDENTIALS, VOLUME_MODEL, VOLUME_REGISTRY_CA
from modelward.kube import manifests as common
from modelward.models import consent
from modelward.models.resolved import Access, ResolvedModel
from modelward.platform import Platform
from modelward.revisions.pods import pod_template
from modelward.runtimes.runtime import MODELWARD

CONTAINERS = MODELWARD.containers

ARTIFACT_DIR = "/artifact"
PVC_MOUNT = "/mnt/pvc"
CA_DIR = "/etc/modelward/ca"
CA_KEY = "ca.crt"

METADATA, PROXY, NO_PROXY, BUNDLE = "AWS_EC2_METADATA_DISABLED", "HTTPS_PROXY", "NO_PROXY", "CA_BUNDLE"
"""Variables by which a container reaches other networks."""
CREDENTIALS_DIR = "/etc/modelward/credentials"
REGISTRY_CA_DIR = "/etc/modelward/registry-ca"

MLFLOW_KEYS = {
    "MLFLOW_TRACKING_USERNAME": "username", "MLFLOW_TRACKING_PASSWORD": "password", "MLFLOW_TRACKING_TOKEN": "token",
}  # fmt: skip
"""Variables of the download by entries of an MLflow registry's Secret."""

AWS_KEYS = {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}

COMPILE_USER = 65533
"""Another one than the image's own: it can't write what the download wrote, even where a volume were mounted for it."""

COMPILE_SECONDS = 840
"""Less than revision.STARTUP_SECONDS: the cause is told before the Deployment says that nothing goes on."""

DOWNLOAD_MEMORY, COMPILE_MEMORY = "2Gi", "8Gi"
"""Limits where spec.resources names no memory: of what looks into archives that anybody may have written, and of what
loads a model, since a small file may unpack to more than a node has."""

SCRATCH = "1Gi"
"""Limit of a container's /tmp."""

ARTIFACT: dict[str, Any] = {"name": "artifact", "mountPath": ARTIFACT_DIR, "readOnly": True}
"""The mount of everyone but the download."""


def annotations(spec: Spec, besides: tuple[str, ...] = ()) -> dict[str, str]:
    """Of the pod: only the download gets the web identity of spec.serviceAccountName, and the monitor where it brings a
    prediction log to a store that no Secret opens. `besides`: containers that not every model's pods have."""
    log = spec.prediction_log
    logs = log is not None and log.credentials_secret is None and log.uri.startswith("s3://")
    watches = spec.monitor is not None and not logs
    others = [CONTAINERS.compile, CONTAINERS.server, *([CONTAINERS.monitor] if watches else ())]
    others += besides
    return {"eks.amazonaws.com/skip-containers": ",".join(others)}


def tmp(container: str) -> dict[str, Any]:
    """The mount of a container's own /tmp; `volumes` has its volume."""
    return {"name": f"tmp-{container}", "mountPath": "/tmp"}  # noqa: S108  the path inside the container


def folder(name: str, size: str | int) -> dict[str, Any]:
    """A volume that ends with the pod. `size`: bytes, or a quantity; the kubelet ends a pod that writes more."""
    return {"name": name, "emptyDir": {"sizeLimit": str(size)}}


def formats(model: Model, platform: Platform) -> dict[str, str]:
    """The setting that names the formats that pods of `model` may load."""
    found = consent.allowed(model.uri, model.format, model.digest, platform.allowed_formats)
    return {"MODEL_ALLOWED_FORMATS": ",".join(found)}


def volumes(model: Model, platform: Platform) -> list[dict[str, Any]]:
    """Those of both steps; a saved bundle lies in `artifact` twice while it is unpacked."""
    found = [
        folder("artifact", 2 * platform.max_model_size + (64 << 20)),
        folder("bundle", platform.max_model_size + (512 << 20)),
        folder(tmp(CONTAINERS.download)["name"], SCRATCH),
        folder(tmp(CONTAINERS.compile)["name"], platform.max_model_size + (512 << 20)),
    ]
    address = urlsplit(model.uri)
    if address.scheme == "pvc":
        claim = {"claimName": address.netloc, "readOnly": True}
        found.append({"name": VOLUME_MODEL, "persistentVolumeClaim": claim})
    if secret := _mounted_secret(model):
        found.append({"name": VOLUME_CREDENTIALS, "secret": {"secretName": secret}})
    found += ca_volumes(platform)
    if bundle := _access(model).ca_bundle:
        found.append({"name": VOLUME_REGISTRY_CA, "configMap": {"name": bundle}})
    return found


def outside(platform: Platform) -> dict[str, str]:
    """Variables of whatever asks other networks: by which proxy, whom it trusts, and that the node's role belongs to
    the node's owner."""
    found = {
        # Also where it is what the image does by itself: variables of a Secret must not overrule it.
        METADATA: "false" if platform.node_credentials else "true",
        PROXY: platform.https_proxy,
        NO_PROXY: platform.no_proxy,
        BUNDLE: f"{CA_DIR}/{CA_KEY}" if platform.ca_config_map else "",
    }
    return {name: value for name, value in found.items() if value}


def ca_volumes(platform: Platform) -> list[dict[str, Any]]:
    """Of the installation's own authorities. Optional: a namespace without them has the public ones, as without the
    setting."""
    name = platform.ca_config_map
    return [{"name": "ca", "configMap": {"name": name, "optional": True}}] if name else []


def ca_mounts(platform: Platform) -> list[dict[str, Any]]:
    """Of them, in a container."""
    return [{"name": "ca", "mountPath": CA_DIR, "readOnly": True}] if platform.ca_config_map else []


def download(
    spec: Spec,
    model: Model,
    platform: Platform,
    container: dict[str, Any],
    shared: dict[str, str],
    pinned: list[dict[str, Any]],
) -> dict[str, Any]:
    """`shared`: variables that every container gets; `pinned`: the one with the digest that the first pod got."""
    network = outside(platform)
    settings = {
        "MODEL_URI": model.uri,
        "MODEL_FORMAT": model.format,
        "ARTIFACT_DIR": ARTIFACT_DIR,
        "MAX_MODEL_BYTES": str(platform.max_model_size),
        METADATA: network[METADATA],
        **formats(model, platform),
    }
    optional = {
        "MODEL_DIGEST": model.digest,
        "MODEL_SIGNATURE_KEY": model.signature.public_key if model.signature else None,
        PROXY: network.get(PROXY),
        NO_PROXY: network.get(NO_PROXY),
        "OCI_PLAIN_HTTP": platform.oci_plain_http if _is_oci(model) else None,
        "MODEL_CREDENTIALS_DIR": CREDENTIALS_DIR if _mounted_secret(model) else None,
        BUNDLE: network.get(BUNDLE),
        **_registry(model),
    }
    mounts = [{"name": "artifact", "mountPath": ARTIFACT_DIR}, tmp(CONTAINERS.download)]
    if urlsplit(model.uri).scheme == "pvc":
        mounts.append({"name": VOLUME_MODEL, "mountPath": PVC_MOUNT, "readOnly": True})
    if _mounted_secret(model):
        mounts.append({"name": VOLUME_CREDENTIALS, "mountPath": CREDENTIALS_DIR, "readOnly": True})
    mounts += ca_mounts(platform)
    if _access(model).ca_bundle:
        mounts.append({"name": VOLUME_REGISTRY_CA, "mountPath": REGISTRY_CA_DIR, "readOnly": True})
    return {
        **container,
        "name": CONTAINERS.download,
        "args": ["download"],
        "env": [
            *common.environment({**shared, **settings, **{key: value for key, value in optional.items() if value}}),
            *_secrets(model),
            *pinned,
        ],
        **_credentials(model),
        "resources": _resources(spec, container, CONTAINERS.download, DOWNLOAD_MEMORY),
        "volumeMounts": mounts,
    }


def compiling(
    spec: Spec,
    model: Model,
    platform: Platform,
    container: dict[str, Any],
    shared: dict[str, str],
    bundle: dict[str, Any],
) -> dict[str, Any]:
    """`bundle`: the mount of the folder that it fills."""
    settings = {
        "MODEL_OPTIMISE": model.optimise,
        "ARTIFACT_DIR": ARTIFACT_DIR,
        "COMPILE_TIMEOUT_SECONDS": str(COMPILE_SECONDS),
        **formats(model, platform),
    }
    return {
        **container,
        # What the model needs besides, it needs here, too: both load it.
        **pod_template.own_image(spec.template),
        "name": CONTAINERS.compile,
        "args": ["compile"],
        "env": common.environment({**shared, **settings}),
        "resources": _resources(spec, container, CONTAINERS.compile, COMPILE_MEMORY),
        "securityContext": {**container["securityContext"], "runAsUser": COMPILE_USER, "runAsGroup": COMPILE_USER},
        "volumeMounts": [ARTIFACT, bundle, tmp(CONTAINERS.compile)],
    }


def keeping(
    spec: Spec, model: Model, container: dict[str, Any], shared: dict[str, str], bundle: dict[str, Any]
) -> dict[str, Any]:
    """The step that puts what was compiled into the cache, before that is added. `bundle`: the mount of the folder."""
    settings = {"MODEL_OPTIMISE": model.optimise, "ARTIFACT_DIR": ARTIFACT_DIR}
    return {
        **container,
        "name": CONTAINERS.keep,
        "args": ["keep-bundle"],
        "env": common.environment({**shared, **settings}),
        "resources": _resources(spec, container, CONTAINERS.keep, DOWNLOAD_MEMORY),
        "volumeMounts": [ARTIFACT, {**bundle, "readOnly": True}, tmp(CONTAINERS.keep)],
    }


def _resources(spec: Spec, container: dict[str, Any], name: str, memory: str) -> dict[str, Any]:
    """Those of spec.resources without devices, which only the server has a use for, or what spec.template says of this
    container."""
    given = pod_template.resources_of(spec.template, name)
    if given is not None:
        wanted = Resources(requests=given.get("requests") or {}, limits=given.get("limits") or {})
        return _bounded(wanted, common.resources(wanted, Resources()), memory)
    built = {
        kind: {resource: amount for resource, amount in amounts.items() if "/" not in resource}
        for kind, amounts in container["resources"].items()
    }
    return _bounded(spec.resources, {kind: amounts for kind, amounts in built.items() if amounts}, memory)


def _bounded(wanted: Resources, built: dict[str, Any], memory: str) -> dict[str, Any]:
    if "memory" in wanted.limits or "memory" in wanted.requests:
        return built
    return {**built, "limits": {**built.get("limits", {}), "memory": memory}}


def _access(model: Model) -> Access:
    return model.access if isinstance(model, ResolvedModel) else Access()


def _registry(model: Model) -> dict[str, str | None]:
    """What the download of a resolved model is told. The version is there for the revision's name: two versions may
    have one address."""
    if not isinstance(model, ResolvedModel):
        return {}
    access = model.access
    return {
        "MODEL_REGISTRY_VERSION": model.version,
        "MLFLOW_TRACKING_URI": access.tracking_uri,
        "MLFLOW_WORKSPACE": access.workspace,
        "MODEL_CA_FILE": f"{REGISTRY_CA_DIR}/{CA_KEY}" if access.ca_bundle else None,
        "AWS_REGION": access.region,
        "AWS_ASSUME_ROLE_ARN": access.role,
        "AWS_ENDPOINT_URL_STS": access.sts_url,
    }


def _secrets(model: Model) -> list[dict[str, Any]]:
    """Variables from the registry's Secret; what it does not have is not set."""
    access = _access(model)
    if access.secret is None:
        return []
    names = AWS_KEYS if access.region else MLFLOW_KEYS
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": access.secret, "key": key, "optional": True}}}
        for name, key in names.items()
    ]


def _is_oci(model: Model) -> bool:
    return urlsplit(model.uri).scheme == "oci"


def _mounted_secret(model: Model) -> str | None:
    """The Secret whose keys are no names of variables: `.dockerconfigjson`, as `kubectl create secret` makes it."""
    return model.credentials_secret.name if model.credentials_secret and _is_oci(model) else None


def _credentials(model: Model) -> dict[str, Any]:
    secret = model.credentials_secret
    return {"envFrom": [{"secretRef": {"name": secret.name}}]} if secret and not _is_oci(model) else {}
