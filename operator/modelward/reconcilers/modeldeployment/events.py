"""Kubernetes Events: one for each change that a person would want to have been told of, none for standing still."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import conditions
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import ABORTED, PAUSED, PROGRESSING, PROMOTED, ROLLED_BACK, CertificateFacts
from modelward.reconcilers.modeldeployment import platform_status
from modelward.rollouts.decision import STABLE_GONE, Decision
from modelward.rollouts.trial import COMMANDS
from modelward.values.transition import Transition

ROLES = ("stable", "candidate")

_ENDS = {
    PAUSED: "RolloutPaused", PROMOTED: "RolloutPromoted", ROLLED_BACK: "RolloutRolledBack", ABORTED: "RolloutAborted",
}  # fmt: skip


def transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """The changes between two statuses that are worth an Event."""
    before, after = _conditions(old), _conditions(new)
    since = f"{old.get('observedGeneration', 0)}>{new.get('observedGeneration', 0)}@" + ",".join(
        sorted(str(condition.get("lastTransitionTime")) for condition in before.values())
    )
    old_stable, new_stable = _revision(old, "stable"), _revision(new, "stable")
    candidate = _revision(new, "candidate")
    if new_stable and not old_stable:
        created = f"{new_stable} is the first revision: {_uri(new, 'stable')}"
        yield Transition("Normal", "RevisionCreated", created, since)
    if candidate and candidate != _revision(old, "candidate"):
        yield Transition("Normal", "RevisionCreated", f"{candidate} is being prepared: {_uri(new, 'candidate')}", since)
    if old_stable and new_stable and old_stable != new_stable:
        yield Transition("Normal", "TrafficMoved", f"The traffic goes to {new_stable} now, not to {old_stable}", since)
    yield from _versions(old.get("model") or {}, new.get("model") or {})
    yield from _rollout(old.get("rollout") or {}, new.get("rollout") or {}, since)
    yield from _fallbacks(old, new, since)
    yield from _drift(old.get("monitor") or {}, new.get("monitor") or {})
    yield from platform_status.events(before, after, since)
    yield from _condition_changes(before, after, since)
    for kind in (conditions.CACHE_USABLE, conditions.AUTOSCALED, conditions.OUTCOMES_COMPARED):
        yield from _besides(kind, before.get(kind), after.get(kind), since)


def _besides(
    kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, since: str
) -> Iterator[Transition]:
    """Something else is the matter with what stops nothing, or nothing any more."""
    if after is None or (before is not None and before["reason"] == after["reason"]):
        return
    if after["status"] == "False":
        yield Transition("Warning", after["reason"], after["message"], since)
    elif before is not None and before["status"] != after["status"] == "True":
        yield Transition("Normal", kind, after["message"], since)


def _versions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """The registry says that spec's reference is another version now."""
    before, after = old.get("reference") or {}, new.get("reference") or {}
    if not after or (before.get("uri"), before.get("version"), before.get("source")) == (
        after["uri"], after["version"], after["source"],
    ):  # fmt: skip
        return
    since = f"{after['uri']}@{after['since']}"
    if before.get("uri") == after["uri"]:
        told = f"{after['uri']} is version {after['version']} now, and was version {before['version']}"
        yield Transition("Normal", "VersionMoved", told, since)
    else:
        yield Transition("Normal", "VersionResolved", f"{after['uri']} is version {after['version']}", since)


def _rollout(old: Mapping[str, Any], new: Mapping[str, Any], since: str) -> Iterator[Transition]:
    """Each step, each pause and each end."""
    if not new:
        return
    same = (old.get("revision"), old.get("attempt")) == (new["revision"], new["attempt"])
    phase, before = new["phase"], old.get("phase") if same else None
    if phase == PROGRESSING and not (same and old.get("progress") == new["progress"]):
        yield Transition("Normal", "RolloutStep", new["message"].partition(". ")[0].partition(", ")[0], since)
    if phase == before or phase not in _ENDS:
        return
    lost = phase == PROMOTED and STABLE_GONE in new["message"]
    kind = (
        "Normal" if (phase == PROMOTED and not lost) or (phase == PAUSED and "by hand" in new["message"]) else "Warning"
    )
    yield Transition(kind, _ENDS[phase], new["message"], since, None if phase == PAUSED else phase)


def command_event(command: str, decision: Decision, owner: ModelDeployment) -> Transition:
    """What came of a command that somebody gave by annotation."""
    progress = decision.progress
    since = f"{command}@{owner.resource_version}"
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        return Transition("Warning", "UnknownCommand", f"The rollout can't {command!r}; write one of {known}", since)
    if progress is None or (progress.phase == PROMOTED and command != "promote"):
        return Transition("Warning", "CommandIgnored", f"{command}: there is no rollout to {command}", since)
    told = f"{command} was asked for by annotation. {progress.revision}: {progress.message}"
    return Transition("Normal", "RolloutCommand", told, since)


def _fallbacks(old: Mapping[str, Any], new: Mapping[str, Any], since: str) -> Iterator[Transition]:
    """A revision turned out to be served as it is, although compiling it was asked for."""
    told = {(old.get(role) or {}).get("revision") for role in ROLES if (old.get(role) or {}).get("fallback")}
    for role in ROLES:
        shown = new.get(role) or {}
        if shown.get("fallback") and shown["revision"] not in told:
            yield Transition("Normal", "NotCompiled", f"{shown['revision']}: {shown['fallback']}", since)


def _drift(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """Drift began, or went: not each window of a drift that lasts."""
    window = new.get("window")
    if not window:
        return
    same = old.get("revision") == new["revision"]
    before, now = (old.get("window") or {}).get("drifted", 0) if same else 0, window["drifted"]
    since = f"{new['revision']}@{window['end']}"
    if now and not before:
        worst = new["features"][0]["message"]
        what = f"{now} feature{'s' if now > 1 else ''} drifted in the window until {window['end']}. {worst}"
        yield Transition("Warning", "DriftDetected", what, since)
    elif before and not now:
        yield Transition("Normal", "DriftGone", f"No feature drifted in the window until {window['end']}", since)


def _condition_changes(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], since: str
) -> Iterator[Transition]:
    def turned(kind: str, status: str) -> bool:
        return after[kind]["status"] == status and before.get(kind, {}).get("status") != status

    if turned(conditions.READY, "True"):
        yield Transition("Normal", "Ready", after[conditions.READY]["message"], since)
    stalled = after[conditions.STALLED]
    if stalled["status"] == "True" and stalled["reason"] not in (ROLLED_BACK, ABORTED):
        previous = before.get(conditions.STALLED, {})
        if previous.get("status") != "True" or previous.get("reason") != stalled["reason"]:
            yield Transition("Warning", stalled["reason"], stalled["message"], since)
    for kind in (conditions.RESOLVED, conditions.WRITTEN_BACK):
        found = after.get(kind)
        if found is not None and found["status"] == "False" and stalled["reason"] != found["reason"]:
            previous = before.get(kind, {})
            if (previous.get("status"), previous.get("reason")) != ("False", found["reason"]):
                yield Transition("Warning", found["reason"], found["message"], since)
    if before.get(conditions.SERVABLE, {}).get("status") == "True" and turned(conditions.SERVABLE, "False"):
        yield Transition("Warning", "NotServable", after[conditions.SERVABLE]["message"], since)


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return conditions.by_type(status.get("conditions") or ())


def _revision(status: Mapping[str, Any], role: str) -> str | None:
    return (status.get(role) or {}).get("revision")


def _uri(status: Mapping[str, Any], role: str) -> str:
    return str(status[role]["uri"])


def certificate_events(deployment: ModelDeployment, certificate: CertificateFacts | None) -> list[Transition]:
    """Changes of the router's Secret that its pods could not load."""
    tls = deployment.spec.router.tls
    if certificate is None or tls is None:
        return []
    message = (
        "Router pod {} could not load what Secret {} held when it was changed, and goes on with the certificate that "
        "it had. Pods that start anew would not come up: write a certificate chain and its private key there"
    )
    return [
        Transition("Warning", "CertificateNotTakenUp", message.format(pod, tls.secret_name), f"{pod}@{count}")
        for pod, count in certificate.refused.items()
    ]
