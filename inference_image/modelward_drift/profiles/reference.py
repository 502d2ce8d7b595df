"""The reference of a model: one profile a feature, and where each feature is found in its tensors.

As a document (`to_dict`) it lies in the bundle as FILE, and travels between the monitor and the operator. Its digest
covers all of it; readings carry it, and readings of different digests are never pooled.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Self, get_args

from modelward_drift.errors import ProfileError
from modelward_drift.profiles.profile import Profile

SCHEMA_VERSION: Final = 1

FILE: Final = "reference.json"
"""Its name in a bundle."""

Side = Literal["input", "output"]
Source = Literal["training", "learned"]

OUTPUT_PREFIX: Final = "output:"
"""Begins the names of a model's outputs, so that none of them can be an input's."""


@dataclass(frozen=True)
class Feature:
    """`column`: its place in a row of the tensor, flattened; None where the tensor has one value a row."""

    side: Side
    tensor: str
    column: int | None
    profile: Profile

    @property
    def name(self) -> str:
        return self.profile.name


@dataclass(frozen=True)
class Reference:
    """`source`: training, or learned from the first requests. Raises ProfileError."""

    features: tuple[Feature, ...]
    source: Source = "training"

    def __post_init__(self) -> None:
        if not self.features:
            raise ProfileError("a reference without a feature says nothing; give it a column")
        names = [feature.name for feature in self.features]
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        if twice:
            raise ProfileError(f"the reference has {', '.join(sorted(twice))} twice; name each feature once")

    @property
    def rows(self) -> int:
        return max(feature.profile.rows for feature in self.features)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        return tuple(feature.profile for feature in self.features)

    @property
    def calibrated(self) -> bool:
        """Whether it was measured how far rows hang together; else verdicts take them as independent."""
        return any(feature.profile.inflation.blocks > 0 for feature in self.features)

    @cached_property
    def digest(self) -> str:
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"sha256:{hashlib.sha256(canonical.encode(errors='backslashreplace')).hexdigest()}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"digest": self.digest, **self._content()}

    def _content(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "features": [
                {"side": each.side, "tensor": each.tensor, "column": each.column, "profile": each.profile.to_dict()}
                for each in self.features
            ],
        }

    @classmethod
    def from_dict(cls, raw: Any) -> Self:
        """Raises ProfileError: for another schema version, a changed document, and what is no reference."""
        version = raw.get("schema_version") if isinstance(raw, Mapping) else None
        if version != SCHEMA_VERSION:
            raise ProfileError(
                f"the reference has schema version {version!r}, this release reads {SCHEMA_VERSION}; make it anew with "
                "`modelward reference`, or use the release that made it"
            )
        try:
            found = cls(tuple(map(_feature, raw["features"])), raw["source"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ProfileError):
                raise
            raise ProfileError(f"the reference lacks or has a field too many: {error}; make it anew") from None
        if found.source not in get_args(Source):
            raise ProfileError(f"the reference is from {found.source!r}; it may be from {', '.join(get_args(Source))}")
        if raw.get("digest") != found.digest:
            raise ProfileError("the reference was changed since it was made: its digest is another; make it anew")
        return found


def _feature(raw: Mapping[str, Any]) -> Feature:
    side, tensor, column = raw["side"], raw["tensor"], raw["column"]
    fits = column is None or (type(column) is int and column >= 0)
    if side not in get_args(Side) or not isinstance(tensor, str) or not fits:
        raise ProfileError(f"the reference has a feature in {side!r} {tensor!r} {column!r}; make it anew")
    return Feature(side, tensor, column, Profile.from_dict(raw["profile"]))
