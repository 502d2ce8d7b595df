"""What a pipeline is told of a model's drift and quality: the documents of the command line, and one verdict."""

from dataclasses import asdict, dataclass
from typing import Any

from modelward_cli.cluster import Cluster
from modelward_cli.fleet.document import of_drift
from modelward_cli.fleet.quality import Quality, qualities
from modelward_cli.fleet.read import drifts, fleet_with
from modelward_cli.fleet.state import DRIFTED, Drift


@dataclass(frozen=True)
class Reading:
    """`found`: a document of each policy's or monitor's word (docs/cli.md); `bad`: what is drifted or too bad, in
    sentences; `known`: whether anybody says anything yet; `notes`: what could not be told."""

    found: tuple[dict[str, Any], ...]
    bad: tuple[str, ...]
    known: bool
    notes: tuple[str, ...]


def drift(cluster: Cluster, name: str) -> Reading:
    """Of a DriftPolicy's models, or of a ModelDeployment. Raises KubectlError."""
    fleet = fleet_with(cluster, name)
    shown, notes = drifts(fleet, name)
    return Reading(
        tuple(of_drift(each) for each in shown),
        tuple(_drifted(each) for each in shown if each.verdict == DRIFTED),
        any(each.end for each in shown),
        (*notes, *fleet.notes),
    )


def quality(cluster: Cluster, name: str) -> Reading:
    """The same of what outcomes say. Raises KubectlError."""
    fleet = fleet_with(cluster, name)
    shown = qualities(fleet.policies, name)
    return Reading(
        tuple(asdict(each) for each in shown),
        tuple(sentence for each in shown for sentence in _worse(each)),
        any(each.metrics or each.signals for each in shown),
        tuple(fleet.notes),
    )


def _drifted(found: Drift) -> str:
    by = f"the policy {found.policy}" if found.policy else "its monitor"
    names = ", ".join(each.name for each in found.features if each.outcome == DRIFTED)
    return f"{found.model} drifts, by {by}: {found.message or names or f'{found.drifted} features'}"


def _worse(found: Quality) -> list[str]:
    broken = [each for each in found.signals if each.breached]
    return [f"{found.model}: {each.message or f'{each.name} is {each.value}, against {each.bound}'}" for each in broken]
