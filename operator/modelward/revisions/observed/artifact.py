"""What a revision really serves, as its init containers reported in their termination messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from modelward.facts import ContainerFacts, PodFacts, WorkloadFacts
from modelward.models.consent import FILES
from modelward.net.untrusted import decoded, printable
from modelward.revisions.health.diagnosis import Problem
from modelward.runtimes.runtime import MODELWARD

COMPILED, ORIGINAL = "Compiled", "Original"

MAX_TEXT = 400
"""Characters of a reason or a warning that status shows."""

MAX_WARNINGS = 32

REMEMBERED: Final = 2048
"""Pods whose reports are read once: each reconcile asks for them several times. A report has 4 KiB at most."""

_STEPS = MODELWARD.containers


@dataclass(frozen=True)
class Artifact:
    """One fetched artifact. `form`: Compiled or Original; `fallback`: why it is not compiled, where that was tried;
    `signed_by`: the key by which the download verified its signature, where it did."""

    digest: str
    format: str
    form: str
    fallback: str | None = None
    warnings: tuple[str, ...] = ()
    signed_by: str | None = None


def announced_key(pod: PodFacts) -> str:
    """The pod's public key, by the word of its download; empty where there is none yet."""
    key = (_report(pod.containers, _STEPS.download) or {}).get("key")
    return key if isinstance(key, str) else ""


def artifacts_of(workload: WorkloadFacts) -> tuple[Artifact, ...]:
    """The different artifacts of a revision's pods, in the order of the pods' names: one, where all is well."""
    found = (
        _reported(pod.containers) for pod in sorted(workload.pods, key=lambda pod: pod.name) if not pod.terminating
    )
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


@lru_cache(REMEMBERED)
def _reported(containers: tuple[ContainerFacts, ...]) -> Artifact | None:
    """Bytes and format by the word of the download alone: what loads the model may be made to say anything."""
    download, compile_ = (_report(containers, name) for name in (_STEPS.download, _STEPS.compile))
    if (
        download is not None
        and download.get("format") == FILES
        and all(each.name != _STEPS.compile for each in containers)
    ):
        compile_ = {}  # of another server than ours, which takes the files as they are
    if download is None or compile_ is None:
        return None
    try:
        digest, kind = str(download["digest"]), str(download["format"])
    except KeyError:
        return None
    signed_by = download.get("signed_by")
    fallback, warnings = compile_.get("fallback"), compile_.get("warnings")
    return Artifact(
        digest=digest,
        format=kind,
        form=COMPILED if compile_.get("form") == "compiled" else ORIGINAL,
        fallback=None if fallback is None else _plain(str(fallback)),
        warnings=tuple(_plain(str(each)) for each in warnings[:MAX_WARNINGS]) if isinstance(warnings, list) else (),
        signed_by=None if signed_by is None else _plain(str(signed_by)),
    )


def _report(containers: tuple[ContainerFacts, ...], name: str) -> Mapping[str, Any] | None:
    """The report of a container that has ended well.

    None where it has not; empty where the message is none of ours: an image of another version, or one cut off.
    """
    container = next((each for each in containers if each.name == name), None)
    if container is None or container.exit_code != 0:
        return None
    try:
        found = decoded(container.exit_message)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plain(text: str) -> str:
    return printable(text)[:MAX_TEXT]
