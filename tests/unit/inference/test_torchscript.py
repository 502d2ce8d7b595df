"""TorchScript behind a stand-in for torch, which is an extra of the image: what the runtime asks of it, its errors."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelward_inference import errors, runtimes
from modelward_inference.artifact.bundle import Signature, Tensor

SIGNATURE = Signature(
    (Tensor("a", "FP32", (-1, 2)), Tensor("b", "FP32", (-1, 2))),
    (Tensor("sum", "FP32", (-1, 2)), Tensor("product", "FP32", (-1, 2))),
)


class Value(SimpleNamespace):
    def numpy(self) -> Any:
        return self.array


class Module:
    def eval(self) -> "Module":
        return self

    def __call__(self, a: Value, b: Value) -> tuple[Value, Value]:
        return Value(array=a.array + b.array), Value(array=a.array * b.array)


class Nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _load(path: str, map_location: str) -> Module:
    if not Path(path).read_bytes():
        raise RuntimeError("no constants.pkl\nC++ trace")
    return Module()


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake = SimpleNamespace(
        __version__="2", set_num_threads=lambda _: None, jit=SimpleNamespace(load=_load), inference_mode=Nothing,
        from_numpy=lambda array: Value(array=array),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


def test_inputs_go_in_by_position_and_outputs_come_out_by_name(torch: Any, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"module")
    model = runtimes.load("torchscript", tmp_path / "m.pt", 1, SIGNATURE)
    two, three = np.full((1, 2), 2, np.float32), np.full((1, 2), 3, np.float32)
    answers = model.predict({"b": three, "a": two}, ["product", "sum"])
    assert {name: array.tolist() for name, array in answers.items()} == {"product": [[6, 6]], "sum": [[5, 5]]}
    assert model.libraries == {"torch": "2"}


def test_without_a_signature_it_is_not_served(torch: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported, match="does not tell the shapes"):
        runtimes.load("torchscript", tmp_path / "m.pt")


def test_a_damaged_file(torch: Any, tmp_path: Path) -> None:
    (tmp_path / "m.pt").touch()
    with pytest.raises(errors.ArtifactCorrupt, match=r"as TorchScript: no constants\.pkl\. Save it with torch 2"):
        runtimes.load("torchscript", tmp_path / "m.pt", 1, SIGNATURE)


def test_without_torch_the_cure_is_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(errors.ModelUnsupported, match="the extra `torch`"):
        runtimes.load("torchscript", tmp_path / "m.pt", 1, SIGNATURE)
