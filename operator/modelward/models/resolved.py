"""What a registry said a reference means, and the model that pods are made from then. Pure.

Invariant: a resolution is complete and concrete (an address that a download reads, and a version that tells it apart),
or there is none. Where it came from (lineage) shapes no pod: it changes no revision's name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from modelward.api.modeldeployment import Model
from modelward.api.modelregistry import ModelRegistry
from modelward.net.untrusted import bare, printable
from modelward.values.stored import Stored, Text, known
from modelward.values.times import read_time, show_time

NAMED: Final = 20
"""Parameters and metrics that a lineage holds, each; so many data sets, too, are more than anybody reads."""

_LOGIN: Final = re.compile(r"^(https?://)[^/]*@|^(ssh://[^/:@]*):[^/]*(?=@)", re.IGNORECASE)

WORD: Final = 200
"""Characters of one value in a lineage."""

SCHEMES: Final = ("s3", "https", "mlflow-artifacts")
"""What a download reads of what registries name. Never `pvc`: the author was asked for no right to a claim."""

_AZURE: Final = (
    "Azure's blobs come by way of the tracking server: start it with --serve-artifacts (or name a path in a mounted "
    "volume, pvc://claim/path, in spec.model.uri itself)"
)
_CURES: Final = {
    "gs": "Google's buckets speak S3: register the model from s3:// with their name, and give its pods "
    "AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key (spec.model.credentialsSecret); or start the "
    "tracking server with --serve-artifacts",
    **dict.fromkeys(("abfs", "abfss", "azure", "wasb", "wasbs"), _AZURE),
}
"""Of addresses that people do have."""

Lineage = Mapping[str, Any]
"""As status holds it; see `lineage`."""


class UnusableSourceError(ValueError):
    """A registry names an address that no download reads; the message says why, and what to do."""


@dataclass(frozen=True)
class Resolved:
    """`uri`: where the artifact lies; `version`: as people name it; `alias`: by which it was found; `created`: seconds
    since the epoch; `digest`: where the registry knows one. `changed`: what else tells that it is no longer the
    same."""

    uri: str
    version: str
    alias: str | None = None
    digest: str | None = None
    created: float | None = None
    lineage: Lineage = field(default_factory=dict)
    changed: str = ""


@dataclass(frozen=True)
class Resolution:
    """What a ModelDeployment follows: `reference` as spec says it, `registry` and its `address` when it was asked;
    `since`: when this version was first seen there, seconds since the epoch."""

    reference: str
    registry: str
    address: str
    since: float
    resolved: Resolved


@dataclass(frozen=True)
class Access:
    """How pods reach the artifacts of a tracking server, or the region's store. Names of Secrets and ConfigMaps.
    `role`: that they assume with the Secret's keys, at `sts_url` (None: AWS' own)."""

    tracking_uri: str | None = None
    workspace: str | None = None
    secret: str | None = None
    ca_bundle: str | None = None
    region: str | None = None
    role: str | None = None
    sts_url: str | None = None


@dataclass(frozen=True)
class ResolvedModel(Model):
    """A Model with the address that its reference stands for. Where the registry moves to, and with which login pods
    download, shape pods, but make no other revision: they are made anew in place, as for a newer platform."""

    version: str = ""
    access: Access = field(default=Access(), metadata={"intent": False})
    lineage: Lineage = field(default_factory=dict, metadata={"intent": False})


def resolved_model(asked: Model, resolution: Resolution, registry: ModelRegistry) -> ResolvedModel:
    """What pods are made from: `asked` is spec.model, `registry` the one that said it."""
    found = resolution.resolved
    return ResolvedModel(
        uri=found.uri,
        format=asked.format,
        digest=asked.digest or found.digest,
        optimise=asked.optimise,
        credentials_secret=asked.credentials_secret,
        signature=asked.signature,
        cache=asked.cache,
        version=found.version,
        access=_access(asked, found.uri, registry),
        lineage=found.lineage,
    )


class _Access(Stored):
    tracking_uri: str | None = None
    workspace: str | None = None
    secret: str | None = None
    ca_bundle: str | None = None
    region: str | None = None
    role: str | None = None
    sts_url: str | None = None


class _Asked(Stored):
    version: str
    access: _Access = msgspec.field(default_factory=_Access)
    lineage: dict[str, Any] = msgspec.field(default_factory=dict)


def as_resolved(model: Model, asked: Mapping[str, Any]) -> Model:
    """`model` as it was resolved, where the record of what was `asked` (api/asked.py) has that."""
    if "version" not in asked:
        return model
    try:
        told = known(_Asked, asked)
    except ValueError:
        return model
    own = {each.name: getattr(model, each.name) for each in fields(Model)}
    access = Access(*(getattr(told.access, each.name) for each in fields(Access)))
    return ResolvedModel(**own, version=told.version, access=access, lineage=told.lineage)


def _access(asked: Model, uri: str, registry: ModelRegistry) -> Access:
    """Only what the download of this address needs: what else changes of a registry starts no rollout."""
    scheme, spec = urlsplit(uri).scheme, registry.spec
    secret = spec.credentials_secret.name if spec.credentials_secret else None
    if scheme == "mlflow-artifacts" and spec.mlflow is not None:
        bundle = spec.ca_bundle.name if spec.ca_bundle else None
        return Access(spec.mlflow.url, spec.mlflow.workspace, secret, bundle)
    if scheme == "s3" and spec.sage_maker is not None:
        made = spec.sage_maker
        if asked.credentials_secret or secret is None:
            return Access(region=made.region)
        return Access(secret=secret, region=made.region, role=made.role_arn, sts_url=made.sts_endpoint_url)
    return Access()


def usable(uri: str, own_host: str = "") -> str:
    """`uri` as a download reads it. `own_host`: host and port of the registry, whose artifacts may be named by it.

    Raises UnusableSourceError.
    """
    shown = printable(uri)[:WORD]
    try:
        address = urlsplit(uri)
    except ValueError:
        raise UnusableSourceError(f"{shown} is no address") from None
    if address.scheme in _CURES:
        raise UnusableSourceError(f"the artifact lies at {shown}, which no pod can read. {_CURES[address.scheme]}")
    if address.scheme not in SCHEMES:
        raise UnusableSourceError(
            f"the artifact lies at {shown}, which no pod can read: they read s3://, https://, and mlflow-artifacts:/. "
            "Start the tracking server with --serve-artifacts, or register the model from such an address"
        )
    path = address.path
    plain = uri.isascii() and uri.isprintable() and " " not in uri and len(uri) <= 1024
    if not plain or ".." in path.split("/") or "@" in address.netloc or not path.strip("/"):
        raise UnusableSourceError(
            f"the artifact lies at {shown}, which is no plain address (printable ASCII without blanks, no '..', no "
            "credentials, at most 1024 characters)"
        )
    if address.scheme == "mlflow-artifacts":
        if address.netloc not in ("", own_host):
            raise UnusableSourceError(
                f"the artifact lies at {shown}, which is another tracking server's; make a ModelRegistry for that one"
            )
        return f"mlflow-artifacts:/{path.strip('/')}"
    if not address.netloc:
        raise UnusableSourceError(f"the artifact lies at {shown}, which names no host or bucket")
    return uri.rstrip("/")


def show(resolution: Resolution) -> dict[str, Any]:
    """As `status.model.reference` holds it; the lineage is told beside it."""
    found = resolution.resolved
    shown = {
        "uri": resolution.reference,
        "registry": resolution.registry,
        "address": resolution.address,
        "source": found.uri,
        "version": found.version,
        "alias": found.alias,
        "since": show_time(resolution.since),
        "created": None if found.created is None else show_time(found.created),
        "digest": found.digest,
    }
    return {name: value for name, value in shown.items() if value is not None}


def recorded(status: Mapping[str, Any]) -> Resolution | None:
    """The inverse of `show`, from the status of a ModelDeployment; None where there is none that can be read."""
    try:
        model = known(_Status, status).model
        told = model.reference
        created = None if told.created is None else read_time(told.created)
        found = Resolved(told.source, told.version, told.alias, told.digest, created, model.lineage)
        return Resolution(told.uri, told.registry, told.address, read_time(told.since), found)
    except ValueError:
        return None


class _Reference(Stored):
    uri: Text
    registry: Text
    address: str
    source: Text
    version: str
    since: str
    alias: str | None = None
    created: str | None = None
    digest: str | None = None


class _Model(Stored):
    reference: _Reference
    lineage: dict[str, Any] = msgspec.field(default_factory=dict)


class _Status(Stored):
    model: _Model


def follow(known: Resolution | None, said: Resolved, reference: str, registry: ModelRegistry, now: float) -> Resolution:
    """The resolution after the registry `said` something. `known`: the one before; `now`: seconds since the epoch.

    The same version is the same since it was first seen, whatever was learnt of it since.
    """
    # Also where the registry has moved to another address and says the same.
    same = (
        known is not None
        and known.reference == reference
        and (known.resolved.uri, known.resolved.version) == (said.uri, said.version)
    )
    since = known.since if known is not None and same else now
    return Resolution(reference, registry.name, registry.address, since, said)


def word(value: object) -> str:
    """A foreign value for a lineage: printable, on one line, cut."""
    text = " ".join(printable(str(value)[: 8 * WORD]).split())
    return text if len(text) <= WORD else text[: WORD - 3] + "..."


def repository(value: object) -> str:
    """The address of a Git repository for a lineage, without what somebody logged in with: MLflow tells the remote as
    the checkout has it, and in CI that has a token in it. The user of `ssh://git@…` is a part of the address."""
    text = _LOGIN.sub(r"\1\2", str(value))
    return word(text if text.lower().startswith("ssh://") else bare(text))


def words(pairs: Mapping[str, object]) -> dict[str, str]:
    """At most NAMED of them, by name."""
    return {word(name)[:64]: word(pairs[name]) for name in sorted(pairs)[:NAMED]}
