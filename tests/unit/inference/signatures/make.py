"""Makes the files beside it with the real model-signing package, which the tests do not need.

python3 -m venv v && v/bin/pip install model-signing==1.1.1 pyOpenSSL onnx && v/bin/python make.py

The private keys are thrown away: each run makes new ones.
"""

import base64
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent


def key(name: str, curve: ec.EllipticCurve, kept: Path) -> Path:
    private = ec.generate_private_key(curve)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (HERE / f"{name}.pub").write_bytes(private.public_key().public_bytes(serialization.Encoding.PEM, form))
    path = kept / name
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def model(weights: np.ndarray) -> onnx.ModelProto:
    """y = x + w"""
    put = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy"]
    initial = numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", put[:1], put[1:], [initial])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name)
        (kept / "folder").mkdir()
        onnx.save(model(np.array([1, 2, 3], "f4")), kept / "model.onnx")
        onnx.save(model(np.array([3, 2, 1], "f4")), kept / "other.onnx")
        apart = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
        onnx.save(model(np.array([1, 2, 3], "f4")), kept / "folder" / "model.onnx", **apart)
        models = ("model.onnx", "other.onnx", "folder/model.onnx", "folder/weights.bin")
        texts = {each: base64.b64encode((kept / each).read_bytes()).decode() for each in models}
        (HERE / "models.json").write_text(json.dumps(texts, indent=1) + "\n")
        keys = {
            name: key(name, curve, kept)
            for name, curve in (("p256", ec.SECP256R1()), ("p384", ec.SECP384R1()), ("p521", ec.SECP521R1()))
        }

        def sign(what: str, by: str, name: str, how: hashing.Config | None = None) -> None:
            config = signing.Config().use_elliptic_key_signer(private_key=keys[by])
            (config.set_hashing_config(how) if how else config).sign(kept / what, HERE / name)

        for by in keys:
            sign("model.onnx", by, f"model.{by}.sig")
        sign("folder", "p256", "folder.p256.sig")
        sign("other.onnx", "p256", "other.p256.sig")
        blake = hashing.Config().use_file_serialization(hashing_algorithm="blake2")
        sign("folder", "p256", "folder.blake2.sig", blake)
        shards = hashing.Config().use_shard_serialization(hashing_algorithm="sha256")
        sign("folder", "p256", "folder.shards.sig", shards)


main()
