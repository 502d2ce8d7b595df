"""What is written into a registry of what became of its versions: the stage that one has in a ModelDeployment, why it
was rolled back, and the alias of the one that was promoted. Pure.

One key for each ModelDeployment, so that two that serve the same version do not fight over one tag. Nothing is ever
taken away but by writing something else in its place: that needs no right but to change a version's tags. Invariants:
each fact is written once, and what somebody changes in the registry afterwards stays changed; that a version gets the
stage stable is recorded before it is written, so that it loses it even if the operator crashes in between.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from modelward.api.modelregistry import WriteBack
from modelward.models.references import Alias, NoReferenceError, Package, Version, parse
from modelward.models.resolved import Resolution, Resolved
from modelward.net.untrusted import bare, quoted
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, Text, known

OWN: Final = "modelward."
"""Begins the keys."""

STAGE, REASON = f"{OWN}stage", f"{OWN}rolled_back"

STABLE, REPLACED, ROLLED_BACK = "stable", "replaced", "rolled-back"
"""Stages. A version that has none of them was never the one that a ModelDeployment serves."""

LONGEST_KEY: Final = 128
"""Characters, of CustomerMetadataProperties; MLflow takes 250."""

LONGEST_VALUE: Final = 250
"""Characters; CustomerMetadataProperties have 256."""

BEGUN: Final = 5
"""Versions that were promoted one after the other before the registry could be told of any."""

_ODD: Final = re.compile(r"[^A-Za-z0-9 _.:/=+@-]+")


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. `package`: its ARN, of SageMaker."""

    model: str
    version: str
    package: str | None = None


@dataclass(frozen=True)
class Rejected:
    """A version that was rolled back or aborted, and why."""

    of: Registered
    reason: str


@dataclass(frozen=True)
class Named:
    """The alias that a version was given when it was promoted."""

    alias: str
    of: Registered


@dataclass(frozen=True)
class Written:
    """What a registry has been told, or is to be told. None: nothing. `begun`: versions that may have been given the
    stage stable besides."""

    stable: Registered | None = None
    rejected: Rejected | None = None
    named: Named | None = None
    begun: tuple[Registered, ...] = ()


@dataclass(frozen=True)
class SetTag:
    """`optional`: where the version is gone, there is nothing to be told."""

    of: Registered
    key: str
    value: str
    optional: bool = False


@dataclass(frozen=True)
class SetAlias:
    of: Registered
    alias: str


Step = SetTag | SetAlias


def registered(resolution: Resolution) -> Registered | None:
    """The version that a reference was resolved to; None where it is no version of a registered model."""
    try:
        reference = parse(resolution.reference)
    except NoReferenceError:
        return None
    version = resolution.resolved.version
    match reference:
        case Alias() | Version():
            return Registered(reference.name, version)
        case Package():
            package = package_of(resolution.resolved) or reference.arn
            return Registered(reference.group, version, package) if package else None
    return None


def package_of(found: Resolved) -> str | None:
    """The ARN of what was resolved, where it is a package of SageMaker."""
    told = str(found.lineage.get("modelId") or "")
    return told if told.startswith("arn:") else None


def followed_alias(reference: str) -> str | None:
    """The alias that a reference names."""
    try:
        found = parse(reference)
    except NoReferenceError:
        return None
    return found.alias if isinstance(found, Alias) else None


def begin(done: Written, wanted: Written) -> Written | None:
    """What has to be recorded before anything is written; None: it is."""
    if wanted.stable is None or wanted.stable == done.stable or wanted.stable in done.begun:
        return None
    return replace(done, begun=(*done.begun, wanted.stable)[-BEGUN:])


def steps(done: Written, wanted: Written, how: WriteBack, whose: tuple[str, str]) -> tuple[Step, ...]:
    """What has to be written, in its order; the same where it is repeated. `whose`: namespace and name of the
    ModelDeployment."""
    found: list[Step] = []
    stage = tag_key(STAGE, how, whose)
    if wanted.stable is not None and (wanted.stable != done.stable or done.begun):
        found.append(SetTag(wanted.stable, stage, STABLE))
    if wanted.named is not None and wanted.named != done.named:
        found.append(SetAlias(wanted.named.of, wanted.named.alias))
    before = dict.fromkeys((*([done.stable] if done.stable else ()), *done.begun))
    found += [SetTag(each, stage, REPLACED, optional=True) for each in before if each != wanted.stable]
    if wanted.rejected is not None and wanted.rejected != done.rejected:
        found.append(SetTag(wanted.rejected.of, stage, ROLLED_BACK, optional=True))
        found.append(
            SetTag(wanted.rejected.of, tag_key(REASON, how, whose), tag_value(wanted.rejected.reason), optional=True)
        )
    return tuple(found)


def tag_key(what: str, how: WriteBack, whose: tuple[str, str]) -> str:
    """`what`/[cluster/]namespace/name: none of these parts has a slash in it."""
    parts = [*([how.cluster] if how.cluster else ()), *whose]
    key = "/".join((what, *parts))
    return key if len(key) <= LONGEST_KEY else f"{what}/{content_hash({'of': parts})}"


def tag_value(text: str) -> str:
    """A sentence of what both registries take: letters, digits, blanks and _ . : / = + - @"""
    plain = " ".join(_ODD.sub(" ", quoted(bare(text), 4 * LONGEST_VALUE)).split())
    return plain if len(plain) <= LONGEST_VALUE else plain[: LONGEST_VALUE - 3] + "..."


def show(written: Written, registry: str, address: str) -> dict[str, Any] | None:
    """As `status.writeBack` holds it; None where nothing was written. `address`: of the registry then."""
    stable, rejected, named = written.stable, written.rejected, written.named
    shown: dict[str, Any] = {
        "stable": None if stable is None else _show(stable),
        "rolledBack": None if rejected is None else {**_show(rejected.of), "reason": rejected.reason},
        "alias": None if named is None else {**_show(named.of), "name": named.alias},
        "begun": [_show(each) for each in written.begun],
    }
    told = {name: value for name, value in shown.items() if value}
    return {"registry": registry, "address": address, **told} if told else None


def registry_of(status: Mapping[str, Any]) -> str | None:
    """The registry that was written to last."""
    try:
        told = known(_Status, status).write_back
    except ValueError:
        return None
    return None if told is None else told.registry


def recorded(status: Mapping[str, Any], registry: str, address: str) -> Written:
    """The inverse of `show`; nothing of another registry, or of one that has moved."""
    try:
        told = known(_Status, status).write_back
    except ValueError:
        return Written()
    if told is None or (told.registry, told.address) != (registry, address):
        return Written()
    return Written(
        None if told.stable is None else told.stable.value(),
        None if told.rolled_back is None else Rejected(told.rolled_back.value(), told.rolled_back.reason),
        None if told.alias is None else Named(told.alias.name, told.alias.value()),
        tuple(each.value() for each in told.begun),
    )


def _show(of: Registered) -> dict[str, str]:
    return {"model": of.model, "version": of.version} | ({"package": of.package} if of.package else {})


class _Registered(Stored):
    model: Text
    version: Text
    package: str | None = None

    def value(self) -> Registered:
        return Registered(self.model, self.version, self.package)


class _Rejected(_Registered):
    reason: str = ""


class _Named(_Registered):
    name: str = ""


class _WriteBack(Stored):
    registry: str
    address: str
    stable: _Registered | None = None
    rolled_back: _Rejected | None = None
    alias: _Named | None = None
    begun: tuple[_Registered, ...] = ()


class _Status(Stored):
    write_back: _WriteBack | None = None
