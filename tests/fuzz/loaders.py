"""What reads files that anybody may have written: one function for each parser, and how its files are changed.

A parser says what is wrong by a ModelError (or gives an answer); anything else is a finding. Archives are changed
inside, and packed anew: a changed byte of the packed form would end at a checksum nearly always.
"""

import base64
import copy
import functools
import io
import json
import random
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelward_inference import runtimes, save_bundle
from modelward_inference.artifact import archive, formats
from modelward_inference.artifact.bundle import MANIFEST, Manifest
from modelward_inference.artifact.description import Description
from modelward_inference.artifact.receipt import FILE as RECEIPT
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.compile import described
from modelward_inference.errors import ModelError
from modelward_inference.fetch.contents import mlmodel
from modelward_inference.fetch.signature import Key, verified
from modelward_inference.fetch.sources import oci
from modelward_inference.fetch.sources.registry import Manifest as OciManifest
from modelward_inference.parity import golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import Model
from unit.inference.artifacts import onnx, rows, skops_file

NUMBERS = (b"-1", b"0", b"1e999", b"9" * 30, b"null", b"true", b'"a"', b"[]", b"{}", b"NaN")
"""What takes the place of a number in a text."""

BYTES = (b"\0", b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80", b"\0\0\0\0\0\0\0\x80")


@dataclass(frozen=True)
class Loader:
    """`read`: parses the file `name` in a folder; `seed`: a good file; `change`: a bad one made of it."""

    name: str
    read: Callable[[Path], object]
    seed: Callable[[], bytes]
    change: Callable[[bytes, random.Random], bytes]

    def run(self, content: bytes) -> None:
        """Raises what no parser should."""
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (Path(folder) / self.name).write_bytes(content)
            try:
                self.read(Path(folder))
            except ModelError:
                return


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of the kinds that break parsers."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0:
                found[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                found[place : place + 4] = chance.choice(BYTES)
            case 2:
                del found[place : place + chance.randint(1, 64)]
            case 3:
                found[place:place] = found[place : place + chance.randint(1, 64)]
            case _:
                found[place : place + 1] = chance.choice(NUMBERS)
    return bytes(found)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """A document in which values have become others: it still is one, mostly."""
    document = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        places = _places(document)
        if not places:
            break
        holder, key = chance.choice(places)
        match chance.randrange(4):
            case 0:
                holder[key] = json.loads(chance.choice(NUMBERS[:9]))
            case 1:
                other, place = chance.choice(places)
                holder[key] = copy.deepcopy(other[place])
            case 2 if isinstance(holder, dict):
                del holder[key]
            case _:
                holder[key] = [holder[key]]
    return json.dumps(document).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every list and object in it, with each place in it."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value) if isinstance(value, list) else 0))
    )
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def changed_zip(content: bytes, chance: random.Random, *, inner: str = "") -> bytes:
    """One entry, whose name has `inner` in it, is changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    name = chance.choice([each for each in files if inner in each])
    change = changed_json if name.endswith(".json") and chance.randrange(4) else changed_bytes
    files[name] = change(files[name], chance)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as written:
        for each, inside in files.items():
            written.writestr(each, inside)
    return target.getvalue()


def changed_tar(content: bytes, chance: random.Random) -> bytes:
    """Headers are changed, with checksums that are right again."""
    found = bytearray(content)
    places = []
    place = 0
    while place + 512 <= len(found) and found[place]:
        places.append(place)
        place += 512 + -(-int(bytes(found[place + 124 : place + 135]).strip(b"\0 ") or b"0", 8) // 512) * 512
    for place in chance.sample(places, chance.randint(1, len(places))):
        head = bytearray(changed_bytes(bytes(found[place : place + 512]), chance)[:512].ljust(512, b"\0"))
        if chance.randrange(3) == 0:
            head[156:157] = chance.choice((b"1", b"2", b"5", b"S", b"x", b"g", b"L", b"K"))
        head[148:156] = b"%06o\0 " % (sum(head[:148]) + sum(head[156:]) + 8 * 32)
        found[place : place + 512] = head
    return bytes(found)


def bundle() -> bytes:
    """Of an ONNX file, so that nothing is a program."""
    with tempfile.TemporaryDirectory() as folder:
        return save_bundle(Path(folder) / "b.tar", onnx(), {"X": rows()}).read_bytes()


def _manifest() -> bytes:
    with tarfile.open(fileobj=io.BytesIO(bundle())) as opened:
        member = opened.extractfile(MANIFEST)
        assert member is not None
        return member.read()


def _golden() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        texts = np.array([["a"], [None]], object)
        answers = {"label": np.array([0, 1]), "p": np.array([[0.5, 0.5], [0.1, 0.9]])}
        GoldenRows({"x": np.ones((2, 3)), "t": texts}, answers, golden.TRAINING).write(Path(folder))
        return (Path(folder) / golden.FILE).read_bytes()


def _receipt() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Receipt("s3://b/m", "sha256:" + "0" * 64, 1, "onnx", "onnx", {"model.onnx": "sha256:" + "1" * 64}).write(
            Path(folder)
        )
        return (Path(folder) / RECEIPT).read_bytes()


def _unpack(folder: Path) -> None:
    (folder / "out").mkdir()
    archive.unpack(folder / "bundle.tar", folder / "out")
    assert {each.name for each in (folder / "out").iterdir()} <= archive.NAMES


def _predict(folder: Path) -> None:
    model = runtimes.load(formats.SKOPS, folder / "model.skops")
    try:
        model.predict({tensor.name: rows()[:2].astype(float) for tensor in model.signature.inputs}, ["predict"])
    except (MemoryError, SystemError):
        raise
    except Exception:  # noqa: BLE001  an estimator may fail as it likes, but not end the process
        return


_PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
_SIGNED = Path(__file__).parents[1] / "unit/inference/signatures/model.p256.sig"


def _key() -> Key:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return Key.of(_PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def _signed(statement: bytes) -> bytes:
    """A signature of it, whatever it is, by somebody who has the key."""
    kind = "application/vnd.in-toto+json"
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(statement), statement)
    signature = base64.b64encode(_PRIVATE.sign(pae, ec.ECDSA(hashes.SHA256()))).decode()
    envelope = {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": kind,
        "signatures": [{"sig": signature}],
    }
    return json.dumps({**json.loads(_SIGNED.read_bytes()), "dsseEnvelope": envelope}).encode()


def _statement() -> bytes:
    return base64.b64decode(json.loads(_SIGNED.read_bytes())["dsseEnvelope"]["payload"])


_MLFLOW = Path(__file__).parents[1] / "unit/inference/mlflow_models/xgboost"


def _mlmodel(folder: Path) -> None:
    for path in _MLFLOW.iterdir():
        if not (folder / path.name).exists():
            (folder / path.name).write_bytes(path.read_bytes())
    names = ["model.ubj", *(path.name for path in _MLFLOW.iterdir())]
    found = mlmodel.read(names, folder, "u")
    assert found.file in names
    found.description.write(folder)
    assert Description.read(folder) == found.description


@functools.cache
def _model() -> Model:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m").write_bytes(onnx())
        return runtimes.load(formats.ONNX, Path(folder) / "m")


def _example(folder: Path) -> None:
    """What is taken fits the model's signature."""
    _mlmodel(folder)
    described_by = Description.read(folder)
    given, _ = described.example_of(described_by, _model(), ())
    if given is not None:
        _model().predict(given, [tensor.name for tensor in _model().signature.outputs])


def _layers(folder: Path) -> None:
    """The list of an OCI artifact's layers."""
    raw = json.loads((folder / "manifest.json").read_bytes().decode(errors="replace"))
    if isinstance(raw, dict):
        oci.layers(OciManifest("", raw), "u")


def _oci() -> bytes:
    layer = {"digest": "sha256:" + "0" * 64, "size": 3, "annotations": {"org.opencontainers.image.title": "m.onnx"}}
    return json.dumps({"mediaType": "m", "config": {"mediaType": "c"}, "layers": [layer, dict(layer)]}).encode()


def _plain_json(content: bytes, chance: random.Random) -> bytes:
    return (changed_json if chance.randrange(3) else changed_bytes)(content, chance)


def _head(content: bytes, chance: random.Random) -> bytes:
    return changed_bytes(content[: chance.randint(1, 600)], chance)


LOADERS = {
    "manifest": Loader(MANIFEST, Manifest.read, _manifest, _plain_json),
    "receipt": Loader(RECEIPT, Receipt.read, _receipt, _plain_json),
    "golden": Loader(golden.FILE, GoldenRows.read, _golden, changed_zip),
    "about": Loader(golden.FILE, GoldenRows.read, _golden, partial(changed_zip, inner="about")),
    "tar": Loader("bundle.tar", _unpack, bundle, changed_tar),
    "skops": Loader("model.skops", _predict, skops_file, partial(changed_zip, inner="schema")),
    "skops-arrays": Loader("model.skops", _predict, skops_file, partial(changed_zip, inner=".npy")),
    "signature": Loader(
        "m.sig",
        lambda folder: verified((folder / "m.sig").read_bytes(), _key(), "m.sig"),
        lambda: _signed(_statement()),
        _plain_json,
    ),
    "statement": Loader(
        "statement.json",
        lambda folder: verified(_signed((folder / "statement.json").read_bytes()), _key(), "m.sig"),
        _statement,
        _plain_json,
    ),
    "mlmodel": Loader(
        mlmodel.FILE,
        _mlmodel,
        lambda: json.dumps(yaml.safe_load((_MLFLOW / "MLmodel").read_text())).encode(),
        _plain_json,
    ),
    "mlmodel-text": Loader(mlmodel.FILE, _mlmodel, (_MLFLOW / "MLmodel").read_bytes, changed_bytes),
    "example": Loader(
        "serving_input_example.json", _example, (_MLFLOW / "serving_input_example.json").read_bytes, _plain_json
    ),
    "layers": Loader("manifest.json", _layers, _oci, changed_json),
    "head": Loader("model", lambda folder: formats.looks_like(folder / "model"), skops_file, _head),
}
