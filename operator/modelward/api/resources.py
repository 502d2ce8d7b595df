"""Compute resources of one container, as a user asks for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Quantities = Mapping[str, str | int]
"""Amounts by resource name, as users write them: {"cpu": "500m", "memory": "1Gi"}."""


@dataclass(frozen=True)
class Resources:
    """Requests and limits of one container. Empty mappings: none were given."""

    requests: Quantities = field(default_factory=dict)
    limits: Quantities = field(default_factory=dict)


NONE_GIVEN: Final = Resources()


def parse_resources(raw: Mapping[str, Any] | None) -> Resources:
    """`resources`. Raises TypeError, ValueError for what the CRD would have refused."""
    raw = raw or {}
    return Resources(requests=dict(raw.get("requests") or {}), limits=dict(raw.get("limits") or {}))
