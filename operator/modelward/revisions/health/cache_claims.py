"""Whether a claim can be a cache, and what pods told of it: one cause and one cure. Pure.

A cache is never needed. A claim that would keep one pod from starting is not mounted at all, and what a pod could not
do with it is told by a condition of its own, while the model starts and serves.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import Observed, PodFacts, Unmounted
from modelward.net.untrusted import decoded, printable
from modelward.revisions.pods.cache_mounts import KEY, KEY_NAME
from modelward.runtimes.runtime import MODELWARD

SHARED: Final = "ReadWriteMany"

LEAST_KEY: Final = 32
"""Bytes of the key, as the inference image has it."""

PATIENCE: Final = 300.0
"""Seconds that a pod may wait for its volumes."""

_NOT_BEGUN: Final = frozenset({"PodInitializing", "ContainerCreating", None})

MAX_TEXT: Final = 200
"""Characters of what a pod says."""

NOT_MOUNTED: Final = "ClaimNotMounted"

_FIELD: Final = "spec.model.cache.claim"
_MEANWHILE: Final = "Until then each pod downloads and compiles its model itself"

_CURES: Final = {
    "CacheFull": "the volume of claim {claim} is full. Give it more room, or lower spec.model.cache.size",
    "CacheReadOnly": "claim {claim} can only be read. Mount its volume for writing, or name another claim",
    "CacheNotWritable": "pods may not write to claim {claim}. Let user 65532 (or group 65531) write to its folder",
    "CacheFailed": "the volume of claim {claim} fails. See its storage",
    "CacheKeyMissing": f"the key in Secret {KEY_NAME} was not there. Delete the Secret if it is somebody else's: the "
    "operator makes a new one",
}
"""By the inference image's words."""


@dataclass(frozen=True)
class Trouble:
    """One CamelCase word, and a sentence with the cause and the cure."""

    reason: str
    message: str


def claims_of(owner: ModelDeployment, observed: Observed) -> tuple[str, ...]:
    """Every claim that pods of this ModelDeployment mount, or are to."""
    models = (owner.spec.model, *(each.model for each in owner.spec.variants))
    asked = {model.cache.claim for model in models if model.cache is not None}
    for facts in observed.revisions.values():
        model = (facts.asked or {}).get("model")
        cache = model.get("cache") if isinstance(model, Mapping) else None
        if isinstance(cache, Mapping) and isinstance(cache.get("claim"), str):
            asked.add(cache["claim"])
    return tuple(sorted(asked))


def wanted_of(owner: ModelDeployment) -> tuple[str, ...]:
    """The claims that spec names, the model's first."""
    models = (owner.spec.model, *(each.model for each in owner.spec.variants))
    return tuple(dict.fromkeys(model.cache.claim for model in models if model.cache is not None))


def waits_for_volumes(pod: PodFacts, now: float) -> bool:
    """Whether nothing of the pod has begun for so long that a volume of it may not come. `now`: seconds since the
    epoch."""
    if pod.ready or pod.terminating or pod.unschedulable is not None or pod.waits_since is None:
        return False
    begun = (each.running or each.exit_code is not None or each.restarts for each in pod.containers)
    waiting = {each.waiting_reason for each in pod.containers}
    return now - pod.waits_since > PATIENCE and not any(begun) and waiting <= _NOT_BEGUN


def judged(claim: str, body: Mapping[str, Any] | None) -> Trouble | None:
    """Why no pod is to mount the claim. `body`: as the API server has it, None: there is none."""
    what = f"PersistentVolumeClaim {claim} ({_FIELD})"
    if body is None:
        return Trouble("ClaimMissing", f"There is no {what} in this namespace. Create it. {_MEANWHILE}")
    spec, status = body.get("spec") or {}, body.get("status") or {}
    if body["metadata"].get("deletionTimestamp"):
        return Trouble("ClaimDeleting", f"{what} is being deleted. Name another one. {_MEANWHILE}")
    if SHARED not in (status.get("accessModes") or spec.get("accessModes") or ()):
        return Trouble(
            "ClaimNotShared",
            f"{what} has not the access mode {SHARED}, so that pods on other nodes would wait for it for ever. Name "
            f"one that has. {_MEANWHILE}",
        )
    if spec.get("volumeMode") == "Block":
        return Trouble("ClaimNotShared", f"{what} is a block device, not a folder. Name another one. {_MEANWHILE}")
    if status.get("phase") != "Bound":
        return Trouble(
            "ClaimNotBound",
            f"{what} is not bound ({printable(str(status.get('phase', 'Pending')))}). See its events; where its class "
            f"waits for a first consumer, let any pod mount it once. {_MEANWHILE}",
        )
    return None


def not_mounted(claim: str, pod: str) -> Trouble:
    """Nobody says why a pod does not begin; without the claim it may."""
    return Trouble(
        NOT_MOUNTED,
        f"Pod {pod} waited {PATIENCE:.0f} s for its volumes, so PersistentVolumeClaim {claim} ({_FIELD}) is left out "
        f"for a while. See the pod's events and the volume's storage. {_MEANWHILE}",
    )


def acquitted(claim: str, unusable: Trouble | None, blamed: Unmounted | None) -> Trouble | None:
    """`unusable`, as it is told when pods that don't mount the claim wait, too. `blamed`: for what; None: none does."""
    if unusable is None or unusable.reason != NOT_MOUNTED or blamed is None:
        return unusable
    found = blamed.source
    return Trouble(
        "ClaimLeftOut",
        f"PersistentVolumeClaim {claim} ({_FIELD}) is left out for a while, since a pod waited for its volumes. Pods "
        f"without it wait, too, so see {found.kind} {found.name} ({found.field}) first. "
        f"{_MEANWHILE}",
    )


def judged_key(body: Mapping[str, Any]) -> Trouble | None:
    """Whether the Secret that is there holds a key."""
    try:
        key = base64.b64decode((body.get("data") or {})[KEY], validate=True).strip()
    except (KeyError, ValueError, TypeError):
        key = b""
    if len(key) >= LEAST_KEY:
        return None
    return Trouble(
        "CacheKeyInvalid",
        f"Secret {KEY_NAME} holds no key (an entry `{KEY}` of {LEAST_KEY} bytes or more), so that each pod compiles "
        "its model itself. Delete it, and the operator makes one",
    )


def told(claim: str, pods: Iterable[PodFacts]) -> Trouble | None:
    """What the steps of pods could not do with the claim that they had."""
    steps = MODELWARD.containers
    for pod in sorted(pods, key=lambda each: each.name):
        for container in pod.containers:
            if pod.terminating or container.name not in (steps.download, steps.keep) or container.exit_code != 0:
                continue
            found = _report(container.exit_message)
            if found is not None:
                reason, message = found
                cure = _CURES[reason].format(claim=claim)
                return Trouble(
                    reason,
                    f"Pod {pod.name} went on without the cache: {cure}. It said: {message}. Pods to come try again",
                )
    return None


def condition(claim: str | None, trouble: Trouble | None) -> Condition | None:
    """CacheUsable. `claim`: that spec.model names; None where it names none."""
    if claim is None:
        return None
    if trouble is None:
        message = f"Pods that start take from claim {claim} what others downloaded and compiled"
        return Condition(conditions.CACHE_USABLE, True, "Usable", message)
    return Condition(conditions.CACHE_USABLE, False, trouble.reason, trouble.message)


def _report(message: str) -> tuple[str, str] | None:
    try:
        cache = decoded(message)["cache"]
        reason, text = cache["reason"], printable(str(cache["message"]))
    except (ValueError, KeyError, TypeError):
        return None
    return (
        (reason, " ".join(text.split())[:MAX_TEXT].rstrip("."))
        if isinstance(reason, str) and reason in _CURES
        else None
    )
