"""The models of a namespace, or of all, asked of the cluster."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from modelward_cli.cluster import Cluster, Json
from modelward_cli.fleet.state import DRIFTED, Drift, Model, drifts_of, models, number, own_drift, table
from modelward_cli.kubectl import (
    MODELS,
    POLICIES,
    RUNS,
    Kubectl,
    KubectlError,
    NoClusterError,
    NotAllowedError,
    NotFoundError,
)  # fmt: skip


@dataclass(frozen=True)
class Fleet:
    """`models`: the worst first; `policies`, `runs`: as the cluster has them; `notes`: what is not told, and why."""

    models: Sequence[Model]
    policies: Sequence[Json] = ()
    runs: Sequence[Json] = ()
    notes: list[str] = field(default_factory=list)


def fleet(kubectl: Cluster, *, everywhere: bool = False) -> Fleet:
    """Raises KubectlError where ModelDeployments can't be listed; without policies and runs it says less."""
    deployments = kubectl.listed(MODELS, everywhere=everywhere)
    notes: list[str] = []
    policies, runs = (
        _optional(kubectl, resource, what, notes, everywhere=everywhere)
        for resource, what in ((POLICIES, "What drift policies say"), (RUNS, "What retraining runs came to"))
    )
    return Fleet(models(deployments, policies, runs), policies, runs, notes)


def fleet_of(kubectl: Kubectl, namespaces: Sequence[str]) -> Fleet:
    """That of several namespaces; of none: of all, or of kubectl's own where not all may be listed. What may not be
    seen is noted. Raises KubectlError where nothing could be asked."""
    if not namespaces:
        try:
            return fleet(kubectl, everywhere=True)
        except NotAllowedError as error:
            found = fleet(kubectl)
            note = f"Only models of the namespace of kubectl's context are shown; name others with -n. {error}"
            return replace(found, notes=[note, *found.notes])
    seen: list[Fleet] = []
    notes: list[str] = []
    refused: NotAllowedError | None = None
    for name in namespaces:
        try:
            seen.append(fleet(replace(kubectl, namespace=name)))
        except NotAllowedError as error:
            refused = error
            notes.append(f"Models of the namespace {name} are not shown: {error}")
        else:
            notes += [note if len(namespaces) == 1 else f"{name}: {note}" for note in seen[-1].notes]
    if not seen and refused is not None:
        raise refused
    return Fleet(
        sorted((model for each in seen for model in each.models), key=lambda model: model.rank),
        [policy for each in seen for policy in each.policies],
        [run for each in seen for run in each.runs],
        notes,
    )


def fleet_with(kubectl: Cluster, name: str) -> Fleet:
    """That of the namespace, where a policy or a model has the name. Raises KubectlError where none has."""
    found = fleet(kubectl)
    policies = [str(table(each, "metadata").get("name")) for each in found.policies]
    names = [*policies, *(each.name for each in found.models)]
    if name not in names:
        raise unknown(kubectl, name, "DriftPolicy or ModelDeployment", names)
    return found


def _optional(kubectl: Cluster, resource: str, what: str, notes: list[str], *, everywhere: bool) -> list[Json]:
    try:
        return kubectl.listed(resource, everywhere=everywhere)
    except NoClusterError:
        raise
    except KubectlError as error:
        notes.append(f"{what} is not known: {error}")
        return []


def model(kubectl: Cluster, name: str) -> Model:
    """The ModelDeployment alone. Raises KubectlError; for a name that there is not, with those that there are."""
    try:
        return Model(kubectl.got(MODELS, name))
    except NotFoundError:
        raise unknown(kubectl, name, "ModelDeployment", _names(kubectl)) from None


def unknown(kubectl: Cluster, name: str, kind: str, names: Sequence[str]) -> NotFoundError:
    """The error that there is no such object."""
    where = f"the namespace {kubectl.namespace}" if kubectl.namespace else "the namespace of kubectl's context"
    near = difflib.get_close_matches(name, names, 3)
    if near:
        cure = f"did you mean {' or '.join(near)}?"
    elif names:
        shown = ", ".join(sorted(names)[:10]) + (", …" if len(names) > 10 else "")
        cure = f"there {'is' if len(names) == 1 else 'are'} {shown}"
    else:
        cure = "there is none at all; name another namespace with -n"
    return NotFoundError(f"there is no {kind} {name[:80]} in {where}; {cure}")


def drifts(found: Fleet, name: str) -> tuple[list[Drift], list[str]]:
    """What is said of the drift of a policy's models, or of a model, and notes; where both have the name, of both."""
    notes = []
    shown: dict[tuple[str, str | None], Drift] = {}
    for body in found.policies:
        about = table(body, "metadata").get("name")
        told = [drift for _, drift in drifts_of([body])]
        if about == name:
            watched = number(table(table(body, "status"), "counts"), "targets") or 0
            if watched > len(told):
                notes.append(f"{name} watches {watched} models; its status tells of the {len(told)} that matter most.")
            elif not told:
                notes.append(f"The policy {name} watches no model yet; kubectl describe driftpolicy {name} says why.")
        for drift in told:
            if name in (about, drift.model):
                shown[drift.model, drift.policy] = drift
    for each in found.models:
        if each.name == name:
            own = own_drift(each.body)
            if own is not None:
                shown[name, None] = own
            elif not any(model == name for model, _ in shown):
                notes.append(f"Nobody watches {name}: it has no monitor (spec.monitor), and no policy tells of it.")
    return sorted(shown.values(), key=lambda each: (each.verdict != DRIFTED, -each.drifted, each.model)), notes


def _names(kubectl: Cluster) -> list[str]:
    try:
        return [str(table(each, "metadata").get("name")) for each in kubectl.listed(MODELS)]
    except KubectlError:
        return []
