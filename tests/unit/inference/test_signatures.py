"""What a signature lets through, by signatures that the real model-signing wrote (signatures/make.py), and by forged
ones."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from modelward_inference import errors
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.fetch import obtain, report
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.fetch.signature import MAX_BYTES, Key, address_of

from .artifacts import tar_of, zipped

HERE = Path(__file__).parent / "signatures"
MODELS = {name: base64.b64decode(text) for name, text in json.loads((HERE / "models.json").read_text()).items()}
MODEL, OTHER = MODELS["model.onnx"], MODELS["other.onnx"]
FOLDER = {name.removeprefix("folder/"): content for name, content in MODELS.items() if name.startswith("folder/")}
SIGNED_MODEL, SIGNED_FOLDER = ((HERE / name).read_bytes() for name in ("model.p256.sig", "folder.p256.sig"))
PEM = serialization.Encoding.PEM
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


def public(name: str = "p256") -> str:
    return (HERE / f"{name}.pub").read_text()


class Volume:
    """A claim with an artifact and its signature, and the folder that is downloaded to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.folder = folder / "volume", folder / "artifact"
        self.files.mkdir()
        self.folder.mkdir()
        monkeypatch.setenv("PVC_MOUNT", str(self.files))

    def put(self, name: str, content: bytes, signature: bytes | None) -> Request:
        (self.files / name).write_bytes(content)
        if signature is not None:
            (self.files / f"{name}.sig").write_bytes(signature)
        return Request(f"pvc://claim/{name}", "auto", None, "m", self.folder, signer=public())

    def obtain(self, name: str, content: bytes, signature: bytes | None, key: str = "") -> Receipt:
        request = self.put(name, content, signature)
        asked = Request(request.uri, "auto", None, "m", self.folder, signer=key or public())
        return obtain.obtain(asked, self.folder)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


@pytest.mark.parametrize("curve", ["p256", "p384", "p521"])
def test_a_signed_model_is_taken_and_the_receipt_says_by_whom(volume: Volume, curve: str) -> None:
    signature = (HERE / f"model.{curve}.sig").read_bytes()
    receipt = volume.obtain("m.onnx", MODEL, signature, public(curve))
    assert receipt.signed_by == Key.of(public(curve)).name
    assert Receipt.read(volume.folder) == receipt
    assert json.loads(report.of_download(receipt))["signed_by"] == receipt.signed_by
    assert sorted(path.name for path in volume.folder.iterdir()) == ["download.json", "model.onnx"]


def test_a_key_is_named_as_openssl_names_it() -> None:
    der = serialization.load_pem_public_key(public().encode()).public_bytes(serialization.Encoding.DER, PUBLIC)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    assert Key.of(public()).name == f"sha256:{digest.finalize().hex()}"
    assert Key.of(public().replace("\n", "\r\n")).name == Key.of(public()).name


PACKINGS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "m.tar.gz": tar_of, "m.tar": lambda files: tar_of(files, "w"), "m.zip": zipped,
}  # fmt: skip


@pytest.mark.parametrize("name", PACKINGS)
@pytest.mark.parametrize("top", ["", "fraud/", "a folder/"])
def test_a_signed_folder_is_taken_however_it_is_packed(volume: Volume, name: str, top: str) -> None:
    content = PACKINGS[name]({top + file: content for file, content in FOLDER.items()})
    assert volume.obtain(name, content, SIGNED_FOLDER).signed_by is not None


def test_litter_of_a_packer_is_not_a_file_of_the_model(volume: Volume) -> None:
    """It is not unpacked, so that nothing of it is served."""
    content = tar_of({**FOLDER, "._model.onnx": b"x", ".DS_Store": b"x"})
    assert volume.obtain("m.tar.gz", content, SIGNED_FOLDER).signed_by is not None


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def without(bundle: bytes, **parts: Any) -> bytes:
    return json.dumps({**json.loads(bundle), **parts}).encode()


def envelope(bundle: bytes, **parts: Any) -> bytes:
    found = json.loads(bundle)
    return without(bundle, dsseEnvelope={**found["dsseEnvelope"], **parts})


def payload(bundle: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    return found


def encoded(statement: Any) -> str:
    return base64.b64encode(json.dumps(statement).encode()).decode()


def renamed(bundle: bytes) -> bytes:
    """The statement of another model in place of that which was signed."""
    return envelope(bundle, payload=encoded(payload((HERE / "other.p256.sig").read_bytes())))


FILES: dict[str, tuple[str, bytes, bytes, str]] = {
    "a file that changed": ("m.onnx", changed(MODEL), SIGNED_MODEL, "is not what"),
    "the signature of another model": ("m.onnx", MODEL, (HERE / "other.p256.sig").read_bytes(), "is not what"),
    "another model with this one's signature": ("m.onnx", OTHER, SIGNED_MODEL, "is not what"),
    "a folder's signature for one file of it": ("m.onnx", FOLDER["model.onnx"], SIGNED_FOLDER, "is not what"),
    "the signature of another key": ("m.onnx", MODEL, (HERE / "model.p384.sig").read_bytes(), "was not made with"),
    "an archive whose file is signed by itself": ("m.zip", zipped({"model.onnx": MODEL}), SIGNED_MODEL, "is not what"),
    "what is not unpacked for a signature of one file": (
        "m.tar", tar_of({"../out.onnx": MODEL}, "w"), SIGNED_MODEL, "one file of other bytes",
    ),
    "a weight that changed": (
        "m.tar.gz", tar_of({**FOLDER, "weights.bin": changed(FOLDER["weights.bin"])}), SIGNED_FOLDER,
        "other bytes: 'weights.bin'",
    ),
    "a file that is missing": (
        "m.zip", zipped({"model.onnx": FOLDER["model.onnx"]}), SIGNED_FOLDER, "missing: 'weights.bin'",
    ),
    "a file more": ("m.tar", tar_of({**FOLDER, "z.txt": b""}, "w"), SIGNED_FOLDER, "not signed: 'z.txt'"),
    "a model more": ("m.tar", tar_of({**FOLDER, "z.onnx": OTHER}, "w"), SIGNED_FOLDER, "not signed: 'z.onnx'"),
    "the files in two folders": (
        "m.tar", tar_of({"a/model.onnx": FOLDER["model.onnx"], "b/weights.bin": FOLDER["weights.bin"]}, "w"),
        SIGNED_FOLDER, "missing: 'model.onnx', 'weights.bin'",
    ),
    "files of other names": (
        "m.tar", tar_of({f"x{name}": content for name, content in FOLDER.items()}, "w"), SIGNED_FOLDER, "not signed",
    ),
    "an ignored file": ("m.tar", tar_of({**FOLDER, ".git/x.onnx": OTHER}, "w"), SIGNED_FOLDER, "not signed"),
    "an archive of a bundle": ("m.tar", tar_of({"model.json": b"{}"}, "w"), SIGNED_FOLDER, "is not what"),
}  # fmt: skip

GARBAGE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "can be read"),
    "no JSON": (b"\x00\xff signature", "can be read"),
    "a list": (b"[]", "a part is missing"),
    "a number without an end": (b"9" * 10_000, "can be read"),
    "too deep": (b"[" * 200_000, "can be read"),
    "no bundle": (b"{}", "no Sigstore bundle"),
    "another bundle": (without(SIGNED_MODEL, mediaType="application/json"), "no Sigstore bundle"),
    "a certificate's": (without(SIGNED_MODEL, verificationMaterial={"certificate": {}}), "not with a key"),
    "no envelope": (without(SIGNED_MODEL, dsseEnvelope=None), "a part is missing"),
    "another kind of payload": (envelope(SIGNED_MODEL, payloadType="text/plain"), "no in-toto statement"),
    "no signature": (envelope(SIGNED_MODEL, signatures=[]), "not exactly one"),
    "two signatures": (
        envelope(SIGNED_MODEL, signatures=json.loads(SIGNED_MODEL)["dsseEnvelope"]["signatures"] * 2),
        "not exactly one",
    ),
    "a signature that is a number": (envelope(SIGNED_MODEL, signatures=[{"sig": 1}]), "a part is missing"),
    "a signature of other bytes": (envelope(SIGNED_MODEL, signatures=[{"sig": "AAAA"}]), "was not made with"),
    "no base64": (envelope(SIGNED_MODEL, payload="§"), "can be read"),
    "another statement": (renamed(SIGNED_MODEL), "was not made with"),
    "another algorithm": ((HERE / "folder.blake2.sig").read_bytes(), "whole files by SHA-256"),
    "shards": ((HERE / "folder.shards.sig").read_bytes(), "whole files by SHA-256"),
}


@pytest.mark.parametrize("case", FILES)
def test_what_is_not_what_was_signed_is_refused(volume: Volume, case: str) -> None:
    name, content, signature, told = FILES[case]
    with pytest.raises(errors.SignatureInvalid) as refused:
        volume.obtain(name, content, signature)
    assert told in str(refused.value)
    assert list(volume.folder.iterdir()) == []


@pytest.mark.parametrize("case", GARBAGE)
def test_what_is_no_signature_is_refused_in_words(volume: Volume, case: str) -> None:
    signature, told = GARBAGE[case]
    with pytest.raises(errors.SignatureInvalid) as refused:
        volume.obtain("m.onnx", MODEL, signature)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 600
    assert list(volume.folder.iterdir()) == []


class Holder:
    """Somebody with the key, who may sign anything."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public = self._key.public_key().public_bytes(PEM, PUBLIC).decode()

    def sign(self, statement: Any, payload_type: str = "application/vnd.in-toto+json") -> bytes:
        raw = json.dumps(statement).encode()
        pae = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(raw), raw)
        signature = base64.b64encode(self._key.sign(pae, ec.ECDSA(hashes.SHA256()))).decode()
        return envelope(SIGNED_MODEL, payload=encoded(statement), signatures=[{"sig": signature}])


GOOD = payload(SIGNED_MODEL)
RESOURCE = GOOD["predicate"]["resources"][0]


def with_resources(*resources: Any) -> dict[str, Any]:
    return {**GOOD, "predicate": {**GOOD["predicate"], "resources": list(resources)}}


STATEMENTS: dict[str, Any] = {
    "no object": [],
    "of another type": {**GOOD, "_type": "https://in-toto.io/Statement/v0.1"},
    "of another predicate": {**GOOD, "predicateType": "https://slsa.dev/provenance/v1"},
    "without a predicate": {**GOOD, "predicate": None},
    "without files": with_resources(),
    "with files that are none": with_resources("model.onnx"),
    "with a name twice": with_resources(RESOURCE, RESOURCE),
    "with a short digest": with_resources({**RESOURCE, "digest": "00"}),
    "with a digest that is none": with_resources({**RESOURCE, "digest": "x" * 64}),
    "with a file by another algorithm": with_resources({**RESOURCE, "algorithm": "blake3"}),
    "with a name that is a number": with_resources({**RESOURCE, "name": 1}),
}


def test_who_has_the_key_is_believed(volume: Volume) -> None:
    holder = Holder()
    assert volume.obtain("m.onnx", MODEL, holder.sign(GOOD), holder.public).signed_by is not None


@pytest.mark.parametrize("case", STATEMENTS)
def test_statements_of_other_kinds_are_refused_whoever_signed_them(volume: Volume, case: str) -> None:
    holder = Holder()
    with pytest.raises(errors.SignatureInvalid, match="no signature that can be read"):
        volume.obtain("m.onnx", MODEL, holder.sign(STATEMENTS[case]), holder.public)


def test_a_signature_for_another_purpose_is_none(volume: Volume) -> None:
    """The type of what is signed is part of what is signed."""
    holder = Holder()
    with pytest.raises(errors.SignatureInvalid, match="was not made with"):
        volume.obtain("m.onnx", MODEL, holder.sign(GOOD, "text/plain"), holder.public)


def test_without_a_signature_nothing_is_taken_and_the_cure_is_told(volume: Volume) -> None:
    with pytest.raises(errors.SignatureMissing, match=r"model_signing sign key.*pvc://claim/m\.onnx\.sig"):
        volume.obtain("m.onnx", MODEL, None)
    assert list(volume.folder.iterdir()) == []


def test_a_signature_is_read_within_bounds(volume: Volume) -> None:
    with pytest.raises(errors.SignatureInvalid, match=f"more than {MAX_BYTES} bytes"):
        volume.obtain("m.onnx", MODEL, b" " * (MAX_BYTES + 1))


NOT_KEYS = {
    "no PEM": "key",
    "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "another kind": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(PEM, PUBLIC).decode(),
    "another curve": ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(PEM, PUBLIC).decode(),
}


@pytest.mark.parametrize("case", NOT_KEYS)
def test_what_is_no_key_is_told_before_anything_is_fetched(volume: Volume, case: str) -> None:
    with pytest.raises(errors.InvalidConfiguration, match=r"spec\.model\.signature\.publicKey"):
        volume.obtain("m.onnx", MODEL, SIGNED_MODEL, NOT_KEYS[case])


def test_what_came_unsigned_is_not_taken_for_signed_later(volume: Volume) -> None:
    """The same container, started once more with another spec."""
    request = volume.put("m.onnx", MODEL, changed(SIGNED_MODEL))
    unsigned = Request(request.uri, "auto", None, "m", volume.folder)
    assert obtain.obtain(unsigned, volume.folder).signed_by is None
    with pytest.raises(errors.SignatureInvalid):
        obtain.obtain(request, volume.folder)
    assert list(volume.folder.iterdir()) == []


def test_a_download_that_is_finished_is_finished_for_its_key_alone(volume: Volume) -> None:
    first = volume.obtain("m.onnx", MODEL, SIGNED_MODEL)
    (volume.files / "m.onnx").unlink()
    request = Request("pvc://claim/m.onnx", "auto", None, "m", volume.folder, signer=public())
    assert obtain.obtain(request, volume.folder) == first
    with pytest.raises(errors.ArtifactNotFound):
        obtain.obtain(Request(request.uri, "auto", None, "m", volume.folder, signer=public("p384")), volume.folder)


def test_fetch_which_does_both_asks_for_it_too(volume: Volume) -> None:
    request = volume.put("m.onnx", MODEL, SIGNED_MODEL)
    assert fetch(request).digest
    (volume.files / "m.onnx.sig").write_bytes(changed(SIGNED_MODEL))
    with pytest.raises(errors.SignatureInvalid):
        fetch(request)


@pytest.mark.parametrize(
    ("artifact", "signature"),
    [
        ("pvc://claim/m.onnx", "pvc://claim/m.onnx.sig"),
        ("https://host/m.onnx?version=3", "https://host/m.onnx.sig?version=3"),
        ("https://host/a%20b.tar.gz", "https://host/a%20b.tar.gz.sig"),
        ("s3://bucket/odd?key#1", "s3://bucket/odd?key#1.sig"),
    ],
)
def test_a_signature_lies_beside_its_artifact(artifact: str, signature: str) -> None:
    assert address_of(artifact) == signature


def test_the_key_comes_by_its_variable() -> None:
    variables = {"MODEL_URI": "pvc://claim/m.onnx", "MODEL_SIGNATURE_KEY": public()}
    assert Request.from_environment(variables).signer == public()
    assert Request.from_environment({**variables, "MODEL_SIGNATURE_KEY": ""}).signer is None
