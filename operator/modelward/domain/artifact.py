"""What a revision really serves, as the init container that fetched it reported in its termination message."""

import json
from dataclasses import dataclass

from modelward.domain.diagnosis import FETCH_CONTAINER, Problem
from modelward.domain.facts import PodFacts, WorkloadFacts

COMPILED, ORIGINAL = "Compiled", "Original"


@dataclass(frozen=True)
class Artifact:
    """One fetched artifact. `form`: Compiled or Original; `fallback`: why it is not compiled, where that was tried."""

    digest: str
    format: str
    form: str
    fallback: str | None = None
    warnings: tuple[str, ...] = ()


def artifacts_of(workload: WorkloadFacts) -> tuple[Artifact, ...]:
    """The different artifacts of a revision's pods, in the order of the pods' names: one, where all is well."""
    found = (_reported(pod) for pod in sorted(workload.pods, key=lambda pod: pod.name) if not pod.terminating)
    return tuple(dict.fromkeys(artifact for artifact in found if artifact is not None))


def differing(workload: WorkloadFacts) -> Problem | None:
    """The problem that pods of one revision serve different bytes: the artifact was overwritten under its address."""
    digests = sorted({artifact.digest for artifact in artifacts_of(workload)})
    if len(digests) < 2:
        return None
    return Problem(
        "ArtifactChanged",
        f"Pods of one revision serve different artifacts ({', '.join(digests)}): the artifact was overwritten. Publish "
        "each version under an address of its own, or pin the one you want with spec.model.digest",
    )


def _reported(pod: PodFacts) -> Artifact | None:
    for container in pod.containers:
        if container.name == FETCH_CONTAINER and container.exit_code == 0:
            return _parsed(container.exit_message)
    return None


def _parsed(message: str) -> Artifact | None:
    """None where the message is none of ours: an image of another version, or a message that was cut off."""
    try:
        report = json.loads(message)
        return Artifact(
            digest=str(report["digest"]),
            format=str(report["format"]),
            form=COMPILED if report["form"] == "compiled" else ORIGINAL,
            fallback=None if report.get("fallback") is None else str(report["fallback"]),
            warnings=tuple(str(warning) for warning in report.get("warnings") or ()),
        )
    except (ValueError, KeyError, TypeError):
        return None
