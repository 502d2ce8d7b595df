"""Signatures of models: what `model_signing sign key` (OpenSSF model-signing 1.x) writes beside a model.

A Sigstore bundle in JSON: a DSSE envelope around an in-toto statement, which names every file with its digest.
Formats: https://github.com/sigstore/model-transparency, https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md.

Invariant: a model is taken only where the key signed exactly its bytes: the artifact itself, or all the files of the
archive that it is, none more and none less. Nothing here loads the model or asks a network; what the statement says is
read only once its signature is verified.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelward_inference.artifact import digests
from modelward_inference.errors import (
    ArtifactNotFound,
    ArtifactTooLarge,
    InvalidConfiguration,
    SignatureInvalid,
    SignatureMissing,
)
from modelward_inference.fetch.limits import Limits
from modelward_inference.fetch.run import SIGNATURE, Request, source_of
from modelward_inference.fetch.sources.addresses import shown
from modelward_inference.fetch.sources.source import Folder, download

SUFFIX = ".sig"
"""Of the signature's address, behind that of the artifact."""

MAX_BYTES = 4 << 20
"""Of a signature: 10,000 files are 2 MiB."""

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256"}

_ITSELF = "."
"""The name of a file that was signed by itself."""

_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384, "secp521r1": hashes.SHA512,
}  # fmt: skip
"""By curve, as Sigstore's formats have it."""

_SHOWN = 3
"""Names that a message lists."""


@dataclass(frozen=True)
class Key:
    """Whose signature counts. `name`: `sha256:<hex>` of the DER, which `openssl pkey -pubin -outform der` gives."""

    public: ec.EllipticCurvePublicKey
    name: str

    @classmethod
    def of(cls, pem: str) -> "Key":
        """Raises InvalidConfiguration."""
        try:
            public = serialization.load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidConfiguration(
                "spec.model.signature.publicKey is no public key in PEM; write what `openssl ec -in key.pem -pubout` "
                "prints"
            ) from None
        if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in _HASHES:
            raise InvalidConfiguration(
                "spec.model.signature.publicKey: only elliptic curve keys sign models, of the curves P-256, P-384 and "
                "P-521; make one with `openssl ecparam -name prime256v1 -genkey -noout`"
            )
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        der = public.public_bytes(serialization.Encoding.DER, form)
        return cls(public, f"sha256:{hashlib.sha256(der).hexdigest()}")

    def check_of(self, request: Request, folder: Path, limits: Limits) -> "Check":
        """Fetch the signature of what is asked for, and verify it. Raises ModelError."""
        if urlsplit(request.uri).scheme == "oci":
            raise InvalidConfiguration(
                f"{request.uri}: spec.model.signature is not read from registries of images; name the artifact by its "
                "digest (@sha256:…), or publish it in another store"
            )
        uri = address_of(request.uri)
        address, temporary = shown(uri), folder / SIGNATURE
        bounded = Limits(min(MAX_BYTES, limits.size), limits.seconds)
        try:
            source = source_of(replace(request, uri=uri))
            if isinstance(source, Folder):
                raise ArtifactNotFound(f"{address} is a folder")
            download(source, address, temporary, bounded)
        except ArtifactNotFound as error:
            raise SignatureMissing(
                f"{shown(request.uri)} has no signature, which spec.model.signature asks for: {error}. Sign the model "
                f"with `model_signing sign key`, and publish the signature as {address}"
            ) from error
        except ArtifactTooLarge as error:
            raise SignatureInvalid(f"{address} has more than {bounded.size} bytes, and no signature has") from error
        signed = verified(temporary.read_bytes(), self, address)
        temporary.unlink()
        return Check(shown(request.uri), address, signed)


class Check:
    """What was signed for one artifact, and whether what came is that. `address`: of the artifact, for messages."""

    def __init__(self, address: str, signature: str, signed: Mapping[str, str]) -> None:
        self._address, self._signature, self._signed = address, signature, signed
        self._done = False

    def artifact(self, digest: str) -> None:
        """The artifact as it came: it may be the one file that was signed. Raises SignatureInvalid where it is not, and
        no folder was signed, so that nobody need look into it."""
        self._done = list(self._signed.values()) == [digest]
        if self._signed.keys() == {_ITSELF}:
            self.finish()

    def unpacked(self, names: Sequence[str], folder: Path) -> None:
        """The files of the archive that the artifact is. Raises SignatureInvalid."""
        if self._done:
            return
        came = {name: digests.of(folder / name) for name in names}
        _compare(self._address, self._signature, self._signed, _below_one_folder(came, self._signed))
        self._done = True

    def finish(self) -> None:
        """Raises SignatureInvalid where nothing that came was found signed."""
        if not self._done:
            one = self._signed.keys() == {_ITSELF}
            what = "one file of other bytes" if one else f"a folder with {_listed(list(self._signed))}"
            raise SignatureInvalid(
                f"{self._address} is not what {self._signature} is for ({what}). Publish the artifact that was signed, "
                "or sign this one"
            )


def address_of(uri: str) -> str:
    """Where the signature of an artifact lies."""
    if uri.lower().startswith("s3:"):
        from modelward_inference.fetch.sources import s3

        return s3.without_version(uri)[0].rstrip("/") + SUFFIX
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + SUFFIX))


def verified(bundle: bytes, key: Key, address: str) -> dict[str, str]:
    """What `key` signed: `sha256:<hex>` by name. Raises SignatureInvalid. `address`: of the bundle, for messages."""
    try:
        payload, signature = _envelope(_object(json.loads(bundle)))
    except (ValueError, RecursionError) as error:
        raise _unreadable(address, error) from None
    pae = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    try:
        key.public.verify(signature, pae, ec.ECDSA(_HASHES[key.public.curve.name]()))
    except InvalidSignature:
        raise SignatureInvalid(
            f"{address} was not made with the key of spec.model.signature.publicKey ({key.name}), or was changed "
            "since. Sign the model with that key, or name the key that signs it"
        ) from None
    try:
        return _digests(_object(json.loads(payload)))
    except (ValueError, RecursionError) as error:
        raise _unreadable(address, error) from None


def _unreadable(address: str, error: Exception) -> SignatureInvalid:
    why = str(error)[:200] or type(error).__name__
    return SignatureInvalid(
        f"{address} is no signature that can be read here ({why}). Write it with `model_signing sign key` of "
        "model-signing 1.x, with its own settings"
    )


def _envelope(bundle: dict[str, Any]) -> tuple[bytes, bytes]:
    """Payload and signature."""
    if not str(bundle.get("mediaType", "")).startswith("application/vnd.dev.sigstore.bundle"):
        raise ValueError("no Sigstore bundle")
    material = _object(bundle.get("verificationMaterial"))
    if "publicKey" not in material:
        raise ValueError("made with a certificate or an identity, not with a key")
    envelope = _object(bundle.get("dsseEnvelope"))
    if envelope.get("payloadType") != _PAYLOAD_TYPE:
        raise ValueError("no in-toto statement")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise ValueError("not exactly one signature")
    return _bytes(envelope.get("payload")), _bytes(_object(signatures[0]).get("sig"))


def _digests(statement: dict[str, Any]) -> dict[str, str]:
    if statement.get("_type") != _STATEMENT_TYPE or statement.get("predicateType") != _PREDICATE_TYPE:
        raise ValueError("no statement of model-signing 1.x")
    predicate = _object(statement.get("predicate"))
    how = _object(predicate.get("serialization"))
    if {name: how.get(name) for name in _SERIALIZATION} != _SERIALIZATION:
        raise ValueError("it has to name whole files by SHA-256")
    resources = predicate.get("resources")
    if not isinstance(resources, list) or not resources:
        raise ValueError("it names no file")
    found: dict[str, str] = {}
    for each in map(_object, resources):
        name, digest = each.get("name"), each.get("digest")
        if not isinstance(name, str) or not isinstance(digest, str) or len(bytes.fromhex(digest)) != 32:
            raise ValueError("a file without a name and a digest")
        if name in found or each.get("algorithm") != _SERIALIZATION["hash_type"]:
            raise ValueError("a file that is named twice, or by another digest than SHA-256")
        found[name] = f"sha256:{digest.lower()}"
    return found


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a part is missing, or of another kind")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("a part is missing, or of another kind")
    return base64.b64decode(value, validate=True)


def _below_one_folder(came: dict[str, str], signed: Mapping[str, str]) -> dict[str, str]:
    """Without the folder that was packed, where archives keep its name: what is signed is named from within."""
    tops = {name.partition("/")[0] for name in came}
    if len(tops) != 1 or signed.keys() & came.keys() or not all("/" in name for name in came):
        return came
    return {name.partition("/")[2]: digest for name, digest in came.items()}


def _compare(address: str, signature: str, signed: Mapping[str, str], came: Mapping[str, str]) -> None:
    found = {
        "other bytes": sorted(name for name in signed.keys() & came.keys() if signed[name] != came[name]),
        "missing": sorted(signed.keys() - came.keys()),
        "not signed": sorted(came.keys() - signed.keys()),
    }
    wrong = "; ".join(f"{what}: {_listed(names)}" for what, names in found.items() if names)
    if wrong:
        raise SignatureInvalid(
            f"{address} does not hold what {signature} is for ({wrong}). Pack exactly the files that were signed, or "
            "sign these"
        )


def _listed(names: Sequence[str]) -> str:
    shown_names = [repr(name[:100]) for name in names[:_SHOWN]]
    more = len(names) - len(shown_names)
    return ", ".join(shown_names) + (f" and {more} more" if more else "")
