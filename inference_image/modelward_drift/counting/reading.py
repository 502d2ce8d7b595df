"""What one pod has counted so far: the monitor writes it, the operator pools it.

Counts only grow within an epoch. A monitor never shows what it could still forget: what is in a reading is on its disk,
so that a later reading of the same epoch is never behind it, whatever died in between.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from modelward_drift.counting.counts import Counts
from modelward_drift.errors import MismatchError, ProfileError
from modelward_drift.profiles.reference import Reference

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Intake:
    """Rows since the epoch began. `counted`: are in the counts; `sampled_out`: left out on purpose, at random, so that
    shares stay right; `dropped`: the server had no room for them; `refused`: could not be read; `lost`: were counted
    and are gone, with the disk or a damaged snapshot, as far as is known."""

    counted: int = 0
    sampled_out: int = 0
    dropped: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Reading:
    """`epoch`: another one where counting began anew; `sequence`: grows with the counts; `digest`: of the reference;
    `counts`: in the order of its features; `final`: nothing will come any more."""

    pod: str
    epoch: str
    sequence: int
    digest: str
    counts: tuple[Counts, ...]
    intake: Intake = field(default_factory=Intake)
    final: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "pod": self.pod,
            "epoch": self.epoch,
            "sequence": self.sequence,
            "digest": self.digest,
            "counts": [each.to_dict() for each in self.counts],
            "intake": asdict(self.intake),
            "final": self.final,
        }

    @classmethod
    def from_dict(cls, raw: Any, reference: Reference) -> Self:
        """Raises MismatchError where another reference was counted against, ProfileError for what is no reading."""
        version = raw.get("schema_version") if isinstance(raw, Mapping) else None
        if version != SCHEMA_VERSION:
            raise ProfileError(f"the reading has schema version {version!r}, this release reads {SCHEMA_VERSION}")
        if raw.get("digest") != reference.digest:
            raise MismatchError(
                f"the pod counts against the reference {raw.get('digest')}, not against {reference.digest}"
            )
        try:
            counts = tuple(
                Counts.from_dict(each, profile) for each, profile in zip(raw["counts"], reference.profiles, strict=True)
            )
            intake = Intake(**raw["intake"])
            pod, epoch, sequence, final = str(raw["pod"]), str(raw["epoch"]), raw["sequence"], bool(raw["final"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ProfileError | MismatchError):
                raise
            raise ProfileError(f"the reading lacks or has a field too many: {error}") from None
        figures = (sequence, *asdict(intake).values())
        if not all(type(each) is int and 0 <= each < 2**62 for each in figures):
            raise ProfileError(f"the reading of {pod} has figures that are no whole numbers from 0")
        return cls(pod, epoch, sequence, raw["digest"], counts, intake, final)
