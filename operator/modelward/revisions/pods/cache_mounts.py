"""What a shared claim adds to a model's pods: `download` takes from it, and `keep-bundle` puts in what was compiled.

Invariant: what loads the artifact has neither the claim nor the key, and pods of a model without a usable claim are
what they are without this file, to the byte. The key's volume is optional: without it only artifacts are kept. So it
is where the user's own image compiles the model: what that makes of an artifact is no other model's to take.
"""

from typing import Any, Final

from modelward.api import names
from modelward.api.modeldeployment import Model, ModelDeployment, Spec
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.revisions.pods import pod_template
from modelward.runtimes.runtime import MODELWARD
from modelward.values.quantities import amount

KEY_NAME: Final = "modelward-cache-key"
"""Of each namespace whose models have a cache; in manifests/base/admission.yaml, too."""

KEY: Final = "key"
"""Its entry."""

VOLUME: Final = names.VOLUME_CACHE
_KEY_VOLUME: Final = "cache-key"
_MOUNT: Final = "/cache"
_KEY_MOUNT: Final = "/etc/modelward/cache"

_FOLDER: Final = f"{_MOUNT}/modelward"
"""Never the claim itself: whatever else lies there is nobody's to throw away."""

GROUP: Final = 65531
"""Of claims that pods write to, where their driver can give them one; no other container's files are of it."""

WRITERS: Final = {"fsGroup": GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
"""In the security context of pods that write to a claim, of whichever kind: of two groups each would have the kubelet
give every file to its own."""


def claim_of(model: Model, platform: Platform) -> str | None:
    """The claim that pods of `model` mount now."""
    return model.cache.claim if model.cache is not None and model.cache.claim in platform.caches else None


def claim_in(template: Any) -> str | None:
    """The claim that pods of a template mount."""
    volumes = ((template or {}).get("spec") or {}).get("volumes") or ()
    named = (each.get("persistentVolumeClaim") or {} for each in volumes if each.get("name") == VOLUME)
    return next((str(each["claimName"]) for each in named if "claimName" in each), None)


def _shares_bundles(spec: Spec) -> bool:
    """Whether what is compiled may be kept for others, and taken from them."""
    return spec.runtime is None and "image" not in pod_template.own_image(spec.template)


def volumes(spec: Spec, model: Model, platform: Platform) -> list[dict[str, Any]]:
    claim = claim_of(model, platform)
    if claim is None:
        return []
    found: list[dict[str, Any]] = [{"name": VOLUME, "persistentVolumeClaim": {"claimName": claim}}]
    if not _shares_bundles(spec):
        return found
    items = [{"key": KEY, "path": KEY}]
    return [
        *found,
        {"name": _KEY_VOLUME, "secret": {"secretName": KEY_NAME, "items": items, "optional": True}},
    ]


def security(model: Model, platform: Platform) -> dict[str, Any]:
    """What is added to the pod's: a fresh volume of many drivers is root's alone."""
    if claim_of(model, platform) is None:
        return {}
    return dict(WRITERS)


def added(
    container: dict[str, Any], owner: ModelDeployment, model: Model, platform: Platform, revision: str
) -> dict[str, Any]:
    """The container with the claim, where there is one."""
    if claim_of(model, platform) is None or model.cache is None:
        return container
    shares = _shares_bundles(owner.spec)
    settings = {
        "MODELWARD_CACHE_DIR": _FOLDER,
        **({"MODELWARD_CACHE_KEY": f"{_KEY_MOUNT}/{KEY}"} if shares else {}),
        # The uid: a model that is made anew under its name is told nothing of what the one before got.
        "MODELWARD_CACHE_SCOPE": f"{owner.uid}/{revision}",
    }
    mounts: list[dict[str, Any]] = [{"name": VOLUME, "mountPath": _MOUNT}]
    if shares:
        mounts.append({"name": _KEY_VOLUME, "mountPath": _KEY_MOUNT, "readOnly": True})
    if model.cache.size is not None:
        settings["MODELWARD_CACHE_BYTES"] = str(int(amount(model.cache.size)))
    known = {each["name"] for each in container["env"]}
    if "MODEL_OPTIMISE" not in known:
        settings["MODEL_OPTIMISE"] = model.optimise
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}
    return {
        **container,
        "env": [*container["env"], *common.environment(settings), uid],
        "volumeMounts": [*container["volumeMounts"], *mounts],
    }


def keeps(spec: Spec, model: Model, platform: Platform) -> tuple[str, ...]:
    """Names of the containers that are there for the claim alone."""
    return (MODELWARD.containers.keep,) if claim_of(model, platform) is not None and _shares_bundles(spec) else ()
