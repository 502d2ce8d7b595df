"""Which volume keeps a pod from starting: one cause and one cure. Pure.

The kubelet starts nothing of a pod before every volume of it is there, and tells nobody but its events. So what a pod
can't be without (a claim, a Secret, a ConfigMap) is held against what the API server has of it, and the one that is
wrong is named. A cache's claim is never among them: pods do without it (cache_claims.py).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from modelward.api import names
from modelward.facts import Observed, PodFacts, Source, Unmounted
from modelward.net.untrusted import printable
from modelward.revisions.health.cache_claims import PATIENCE, waits_for_volumes

CLAIM, SECRET, CONFIG_MAP = "PersistentVolumeClaim", "Secret", "ConfigMap"

LOG_FIELD: Final = "spec.predictionLog.uri"

FIELDS: Final[Mapping[str, str]] = {
    names.VOLUME_MODEL: "spec.model.uri",
    names.VOLUME_LOG: LOG_FIELD,
    names.VOLUME_CREDENTIALS: "spec.model.credentialsSecret",
    names.VOLUME_REGISTRY_CA: "spec.caBundle of its ModelRegistry",
    names.VOLUME_FEATURES_TOKEN: "spec.features.tokenSecret",
}
"""What the user changes, by the name of the volume."""

REASONS: Final = (
    "ClaimMissing", "ClaimDeleting", "ClaimNotBound", "ClaimNotShared", "ClaimNotMounted", "SecretMissing",
    "ConfigMapMissing",
)  # fmt: skip
"""Words of Unmounted."""

_MANY: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})

NOBODY_KNOWS: Final = 3600.0
"""Seconds that a pod may wait whose volumes look as they should: it may be the pull of a large image, too."""


@dataclass(frozen=True)
class State:
    """What the API server has of a source. `readable`: False: the operator may not look."""

    found: bool = True
    readable: bool = True
    deleting: bool = False
    phase: str = ""
    shared: bool = True
    block: bool = False


def needs(body: Mapping[str, Any]) -> tuple[Source, ...]:
    """The sources of a pod's volumes without which the kubelet starts nothing of it, by the pod's own spec."""
    found = []
    for volume in (body.get("spec") or {}).get("volumes") or ():
        field = FIELDS.get(volume["name"])
        if field is None:
            continue
        claim, secret, text = (volume.get(each) or {} for each in ("persistentVolumeClaim", "secret", "configMap"))
        if "claimName" in claim:
            found.append(Source(CLAIM, str(claim["claimName"]), field))
        elif "secretName" in secret and not secret.get("optional"):
            found.append(Source(SECRET, str(secret["secretName"]), field))
        elif "name" in text and not text.get("optional"):
            found.append(Source(CONFIG_MAP, str(text["name"]), field))
    return tuple(found)


def state_of(source: Source, body: Mapping[str, Any] | None) -> State:
    """`body`: as the API server has it, None: there is none."""
    if body is None:
        return State(found=False)
    spec, status = body.get("spec") or {}, body.get("status") or {}
    deleting = bool(body["metadata"].get("deletionTimestamp"))
    if source.kind != CLAIM:
        return State()  # also while it is deleted: it is mounted until it is gone
    modes = status.get("accessModes") or spec.get("accessModes") or ()
    return State(
        deleting=deleting,
        phase=str(status.get("phase", "Pending")),
        shared=bool(_MANY & set(modes)),
        block=spec.get("volumeMode") == "Block",
    )


def pods_of(observed: Observed) -> tuple[PodFacts, ...]:
    """All of the model's servers."""
    return tuple(pod for facts in observed.revisions.values() for pod in facts.workload.pods)


def told(observed: Observed, states: Mapping[Source, State], cached: Collection[str]) -> Observed:
    """With what each pod waits for that waits. `states`: of what they need, as far as it is known; `cached`: uids of
    the pods that mount a cache."""
    now = observed.clock.now
    found = {
        pod.uid: blamed(pod, states, cached=pod.uid in cached) for pod in pods_of(observed) if waits(pod, now)
    }  # fmt: skip
    if not any(found.values()):
        return observed
    revisions = {
        name: replace(facts, workload=replace(
            facts.workload, pods=tuple(replace(pod, unmounted=found.get(pod.uid)) for pod in facts.workload.pods)
        ))
        for name, facts in observed.revisions.items()
    }  # fmt: skip
    return replace(observed, revisions=revisions)


def log_claim(observed: Observed) -> Unmounted | None:
    """Why a pod can't start without the claim of the prediction log."""
    found = (pod.unmounted for pod in pods_of(observed))
    return next((each for each in found if each is not None and each.source.field == LOG_FIELD), None)


def waits(pod: PodFacts, now: float) -> bool:
    """Whether a volume may be what keeps the pod from starting. `now`: seconds since the epoch."""
    if not pod.needs or pod.ready or pod.terminating:
        return False
    if pod.unschedulable is not None:
        return "persistentvolumeclaim" in pod.unschedulable.lower()
    return waits_for_volumes(pod, now)


def look_again_in(pods: Iterable[PodFacts], now: float) -> float | None:
    """Seconds until one of them has waited for too long; no event tells of that moment."""
    left = [
        pod.waits_since + PATIENCE - now
        for pod in pods
        if pod.needs and pod.unschedulable is None and pod.waits_since is not None and not pod.terminating
    ]
    return min((each for each in left if each > 0), default=None)


def blamed(pod: PodFacts, states: Mapping[Source, State], *, cached: bool) -> Unmounted | None:
    """Of a pod that `waits`. `states`: of what it needs, as far as it is known; `cached`: it mounts a cache, which is
    left out first where nothing else is wrong: pods that wait without it, too, wait for something else."""
    scheduled, known = pod.unschedulable is None, [source for source in pod.needs if source in states]
    for source in known:
        if (found := _judged(source, states[source])) is not None:
            return found
    for source in known if scheduled else ():
        # A model's claim that one node mounts serves a model on that node; a log's has to be one for many.
        if not states[source].shared and (source.field == LOG_FIELD or not cached):
            return _not_shared(source)
    if cached or not scheduled or len(known) < len(pod.needs):
        return None
    first = next((each for each in pod.needs if each.kind == CLAIM), None)
    if first is None:
        return None
    among = " and ".join(f"{each.kind} {each.name} ({each.field})" for each in pod.needs)
    return Unmounted(
        first,
        "ClaimNotMounted",
        f"Nothing of pod {pod.name} has begun for {PATIENCE:.0f} s: it waits for its volumes ({among}), which look as "
        "they should, or for its image. See the pod's events and the volume's storage",
        NOBODY_KNOWS,
    )


def _not_shared(source: Source) -> Unmounted:
    return Unmounted(
        source,
        "ClaimNotShared",
        f"{source.kind} {source.name} ({source.field}) can be mounted by one node alone, so that a pod on another "
        "waits for it for ever, as one does now. Name a claim that many may mount (ReadWriteMany)",
        NOBODY_KNOWS,
    )


def _judged(source: Source, state: State) -> Unmounted | None:
    what = f"{source.kind} {source.name} ({source.field})"
    without = "without which no pod of it starts"
    if not state.readable:
        return None
    if not state.found:
        reason = "ClaimMissing" if source.kind == CLAIM else f"{source.kind}Missing"
        return Unmounted(source, reason, f"There is no {what} in this namespace, {without}. Create it, or name another")
    if state.deleting:
        return Unmounted(source, "ClaimDeleting", f"{what}, {without}, is being deleted. Name another one")
    if state.phase not in ("", "Bound"):
        return Unmounted(
            source,
            "ClaimNotBound",
            f"{what}, {without}, is not bound ({printable(state.phase)}). See its events",
        )
    if state.block:
        return Unmounted(source, "ClaimNotShared", f"{what} is a block device, not a folder. Name another one")
    return None
