"""What is said of an artifact that can't be loaded: the cause without internals, and a cure that is one."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from modelward_inference import errors
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.fetch.sources import s3

from .artifacts import estimator, pickled, rows, skops_file, xgboost_file, zipped
from .test_compile import Volume

pytestmark = pytest.mark.unit


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def refused(volume: Volume, name: str, content: bytes) -> errors.ModelError:
    with pytest.raises(errors.ModelError) as caught:
        volume.fetch(name, content)
    assert not list(volume.bundle.iterdir())
    assert "/src/" not in str(caught.value)
    assert "site-packages" not in str(caught.value)
    assert ".cc" not in str(caught.value)
    return caught.value


SCRIPT = """
import sys, joblib, numpy as np
from sklearn.base import BaseEstimator
class Clip(BaseEstimator):
    def predict(self, X): return np.zeros(len(X))
joblib.dump(Clip(), sys.argv[1])
"""


def test_a_class_of_a_notebook_is_told_with_its_name_and_where_it_belongs(volume: Volume, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "m.joblib")], check=True)
    error = refused(volume, "m.joblib", (tmp_path / "m.joblib").read_bytes())
    assert isinstance(error, errors.ModelUnsupported)
    assert "holds Clip, which was defined in a notebook or script (__main__)" in str(error)
    assert "Move it to a module of a package" in str(error)
    assert "Upload" not in str(error)


def renamed(old: bytes, new: bytes) -> bytes:
    """The model's pickle with a class or module of another name of the same length."""
    assert len(old) == len(new)
    content = pickled(estimator())
    assert old in content
    return content.replace(old, new)


NAMES: dict[str, tuple[bytes, bytes, str]] = {
    "a module": (
        b"sklearn.pipeline", b"skleirn.pipeline", "needs the Python module skleirn, which the inference image lacks",
    ),
    "a module of a package that is here": (
        b"sklearn.pipeline", b"sklearn.pipelone", "needs the module sklearn.pipelone, which scikit-learn",
    ),
    "a class of a module that is here": (b"StandardScaler", b"StandardSkaler", "needs sklearn.preprocessing._data."),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_what_is_not_in_the_image_is_named(volume: Volume, case: str) -> None:
    old, new, words = NAMES[case]
    error = refused(volume, "m.joblib", renamed(old, new))
    assert isinstance(error, errors.ModelUnsupported)
    assert words.replace("scikit-learn", "sklearn") in str(error).replace("scikit-learn", "sklearn")
    assert "Upload" not in str(error)
    assert "ONNX" in str(error)


class Odd:
    """A class whose state another version of its library does not understand."""

    def __setstate__(self, _: Any) -> None:
        raise ValueError("node array from the pickle has an incompatible dtype")


def test_another_version_of_a_library_is_no_damage(volume: Volume) -> None:
    odd = Odd()
    odd.__dict__["tree"] = 1
    error = refused(volume, "m.joblib", pickled(odd))
    assert "incompatible dtype. It was saved with other versions than those of this image" in str(error)
    assert "train with scikit-learn" in str(error)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_served(volume: Volume, protocol: int) -> None:
    _, model = volume.fetch("m.pkl", pickle.dumps(estimator(), protocol))
    assert np.array_equal(
        model.predict({"input": rows().astype(float)}, ["predict"])["predict"], estimator().predict(rows())
    )


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"model": 1}, [1, 2]])
def test_a_pickle_of_something_else_is_told(volume: Volume, protocol: int, value: Any) -> None:
    error = refused(volume, "m.pkl", pickle.dumps(value, protocol))
    assert f"holds a builtins.{type(value).__name__}, which has no predict()" in str(error)


def test_a_pickle_that_is_cut_off_anywhere_is_to_be_uploaded_again(volume: Volume) -> None:
    content = pickled(estimator())
    for cut in range(20, len(content) - 1, len(content) // 40):
        error = refused(volume, "m.joblib", content[:cut])
        assert isinstance(error, errors.ArtifactCorrupt), cut
        assert "can't be loaded with joblib" in str(error)
        assert str(error).endswith("Upload the artifact again")


def graph(
    operator: str = "Identity",
    domain: str = "",
    opset: int = 17,
    ir: int = 9,
    ml: int = 0,
    kind: int = TensorProto.FLOAT,
) -> bytes:
    x, y = (helper.make_tensor_value_info(name, kind, ["n", 2]) for name in "xy")
    made = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", [x], [y])
    opsets = {"": opset, **({domain: 1} if domain else {}), **({"ai.onnx.ml": ml} if ml else {})}
    imports = [helper.make_opsetid(*each) for each in opsets.items()]
    return bytes(helper.make_model(made, opset_imports=imports, ir_version=ir).SerializeToString())


KNOWN = r"the newest that onnxruntime \S+ knows is \d+\. Export it with"
ONNX: dict[str, tuple[Callable[[], bytes], str]] = {
    "a newer file": (lambda: graph(ir=30), rf"^The model has ONNX's IR version 30; {KNOWN} an older"),
    "a newer opset": (lambda: graph(opset=50), rf"^The model uses opset 50 of ai\.onnx; {KNOWN} opset"),
    "a newer opset of trees": (lambda: graph(ml=40), rf"^The model uses opset 40 of ai\.onnx\.ml; {KNOWN} opset"),
    "an operator of one's own": (
        lambda: graph("Mine", "my.own"), r"^The model uses the operator my\.own:Mine, which onnxruntime \S+ does not",
    ),
    "an unknown operator": (lambda: graph("Foo"), r"^The model uses the operator Foo, which onnxruntime"),
    "a type without code": (
        lambda: graph("Abs", kind=TensorProto.BFLOAT16), r"can't compute Abs with the model's types on a CPU",
    ),
    "a wrong graph": (
        lambda: graph("Abs", kind=TensorProto.STRING),
        r"can't be loaded as ONNX by onnxruntime \S+: This is an invalid model.*Export the model again",
    ),
    "half a file": (
        lambda: graph()[:40], r"can't be loaded as ONNX: [Pp]rotobuf parsing failed\. Upload the artifact again$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONNX)
def test_an_onnx_model_that_cannot_be_loaded_is_told_with_the_cure(volume: Volume, case: str) -> None:
    content, words = ONNX[case]
    with pytest.raises(errors.ModelError, match=words):
        volume.fetch("m.onnx", content())
    refused(volume, "m.onnx", content())


def test_what_xgboost_does_not_know_is_no_damage(volume: Volume) -> None:
    for kind in ("json", "ubj"):
        error = refused(volume, "m.json", xgboost_file(kind).replace(b"multi:softprob", b"multi:mineprob"))
        assert "Unknown objective function: `multi:mineprob`. Save it with this version" in str(error)


@pytest.mark.parametrize("cut", [400, 1093, 2999, 3000, 3001])
def test_half_an_xgboost_file_is_to_be_uploaded_again(volume: Volume, cut: int) -> None:
    error = refused(volume, "m.ubj", xgboost_file("ubj")[:cut])
    assert isinstance(error, errors.ArtifactCorrupt)
    assert str(error).endswith("Upload the artifact again")


def test_a_damaged_skops_file_is_to_be_uploaded_again_and_another_one_saved_again(volume: Volume) -> None:
    content = bytearray(skops_file())
    content[content.index(b".npy") + 60] ^= 0xFF
    assert str(refused(volume, "m.skops", bytes(content))).endswith("Upload the artifact again")
    assert "Save it with skops" in str(refused(volume, "m.skops", zipped({"schema.json": b"{}"})))


S3: dict[str, tuple[str, str]] = {
    "s3://models": ("names a bucket and no key", "s3://models/model.joblib"),
    "s3://models/": ("names a bucket and no key", "s3://models/model.joblib"),
    "s3:///m.onnx": ("names no bucket", "s3://models/m.onnx"),
    "S3://models": ("names a bucket and no key", "s3://models/model.joblib"),
}


@pytest.mark.parametrize("uri", S3)
def test_an_address_without_a_key_is_told_before_anyone_is_asked(tmp_path: Path, uri: str) -> None:
    what, example = S3[uri]
    with pytest.raises(errors.InvalidConfiguration) as caught:
        fetch(Request(uri, "auto", None, "m", tmp_path))
    assert f"{uri} {what}; name one file or folder in spec.model.uri, for example " in str(caught.value)
    if not uri.startswith("s3:///"):
        assert str(caught.value).endswith(example)


@pytest.mark.parametrize(
    ("uri", "key"),
    [("S3://b/a/m.onnx", "a/m.onnx"), ("s3://b/m.onnx", "m.onnx"), ("s3://b/a?b#c%20d.onnx", "a?b#c%20d.onnx"),
     ("s3://b//m", "/m")],
)  # fmt: skip
def test_bucket_and_key(uri: str, key: str) -> None:
    assert s3.address_of(uri) == ("b", key)


@pytest.mark.parametrize("uri", [" s3://b/m.onnx", "s3://b/m.onnx\n", "\ts3://b/m.onnx "])
def test_blanks_around_an_address_are_no_part_of_it(uri: str) -> None:
    assert Request.from_environment({"MODEL_URI": uri}).uri == "s3://b/m.onnx"
