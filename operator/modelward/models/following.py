"""How it stands with a reference in spec.model.uri: what a registry said last, and what is made of that. Pure.

What was resolved once stays until the registry says something newer: a registry that is down, or a reference that is
gone from it, changes nothing of what runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.modelregistry import ModelRegistry
from modelward.models.references import Package, is_followed, parse
from modelward.models.resolved import Resolution, Resolved, follow, recorded

WAITING: Final = "WaitingForRegistry"


@dataclass(frozen=True)
class NoRegistry:
    """Why there is no registry to be asked: one word, and a sentence with the cure."""

    reason: str
    message: str


@dataclass(frozen=True)
class Trouble:
    """Why the last look brought nothing. `answered`: the registry is there and said so itself."""

    reason: str
    message: str
    answered: bool = False


@dataclass(frozen=True)
class Said:
    """What a registry at `address` said last; replaced when it changes."""

    address: str
    resolved: Resolved | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Following:
    """How it stands with a reference in spec.model.uri. `trouble`: what keeps the registry from saying what it means
    now; `resolution`: what it means; None: nobody knows, so that nothing can be made of spec.model. `usable`: pods can
    be made from it (its registry is there, at the address where it was resolved). `heard`: the registry has said
    something since this operator began; what it told before it did holds until then."""

    registry: str | None
    resolution: Resolution | None = None
    trouble: Trouble | None = None
    usable: bool = True
    heard: bool = True


def following_of(
    reference: str,
    status: Mapping[str, Any],
    registry: ModelRegistry | NoRegistry,
    said: Said | None,
    now: float,
) -> Following:
    """`status`: of the ModelDeployment; `said`: None: it has not answered yet; `now`: seconds since the epoch."""
    known = recorded(status)
    if known is not None and known.reference != reference:
        known = None
    if isinstance(registry, NoRegistry):
        name = None if known is None else known.registry
        return Following(name, known, Trouble(registry.reason, registry.message), usable=False)
    # Another address may hold other models under the same names: nothing is made before it has said what it has.
    here = known if known is not None and known.address == registry.address else None
    if said is None:
        waiting = Trouble(WAITING, f"Waiting for the first answer of ModelRegistry {registry.name}")
        return Following(registry.name, here or known, None if here else waiting, usable=here is not None, heard=False)
    if said.resolved is None:
        return Following(registry.name, here or known, said.trouble, usable=here is not None)
    moved = follow(known, said.resolved, reference, registry, now)
    kept = _kept(here, moved, said.trouble)
    return Following(registry.name, moved, said.trouble) if kept is None else Following(registry.name, here, kept)


def _kept(here: Resolution | None, moved: Resolution, trouble: Trouble | None) -> Trouble | None:
    """Why what is known stays although the registry says something else now."""
    if here is None or (here.resolved.uri, here.resolved.version) == (moved.resolved.uri, moved.resolved.version):
        return None
    before, after = here.resolved, moved.resolved
    reference = here.reference
    if not is_followed(reference):
        return Trouble(
            "PinnedSourceChanged",
            f"{reference} means another artifact now ({after.uri}) than when it was resolved ({before.uri}), which "
            f"stays "
            "pinned. Follow an alias, or name another version in spec.model.uri",
            answered=True,
        )
    package = isinstance(parse(reference), Package)
    if (
        package
        and before.version.isdecimal()
        and after.version.isdecimal()
        and int(after.version) < int(before.version)
    ):
        return trouble or Trouble(
            "NoLongerApproved",
            f"Version {before.version} is not approved any more; the newest approved is {after.version}. What "
            f"serves stays: "
            f"approve a newer one, or name version {after.version} in spec.model.uri",
            answered=True,
        )
    return None
