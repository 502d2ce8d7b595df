"""ONNX graphs with scalars and with inputs of unknown rank: told as what they are, and asked so."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper

import modelward_inference
from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.protocol import codec
from modelward_inference.protocol import messages as protocol
from modelward_inference.protocol.messages import InferResponse, RequestError
from modelward_inference.runtimes import onnxranks

pytestmark = pytest.mark.unit

Shape = list[int | str | None] | None


def graph(
    nodes: list[Any], inputs: dict[str, Shape], outputs: dict[str, Shape], kind: int = TensorProto.FLOAT
) -> bytes:
    def values(side: dict[str, Shape]) -> list[Any]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, shape in side.items()]

    weights = [helper.make_tensor("unused", TensorProto.FLOAT, [1000], [0.0] * 1000)]
    made = helper.make_graph(nodes, "g", values(inputs), values(outputs), weights)
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


SCALED = graph(
    [helper.make_node("Mul", ["x", "s"], ["y"]), helper.make_node("ReduceSum", ["y"], ["t"], keepdims=0)],
    {"x": ["n", 2], "s": []}, {"y": ["n", 2], "t": []},
)  # fmt: skip
ANY = graph([helper.make_node("Add", ["x", "x"], ["y"])], {"x": None}, {"y": None})


class Served:
    """As a pod does it, asked in JSON."""

    def __init__(self, content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "m.onnx") -> None:
        (folder / "bundle").mkdir()
        (folder / name).write_bytes(content)
        monkeypatch.setenv("PVC_MOUNT", str(folder))
        fetch(Request(f"pvc://claim/{name}", "auto", None, "m", folder / "bundle"))
        self.manifest = Manifest.read(folder / "bundle")
        model = runtimes.load("onnx", folder / "bundle" / "model.onnx")
        self.plane = DataPlane(model, self.manifest, "1", workers=1, max_waiting=8)
        self.plane.warm_up()

    async def ask(self, **tensors: tuple[list[int], Any]) -> dict[str, Any]:
        raw = [
            {"name": name, "datatype": "FP32", "shape": shape, "data": data} for name, (shape, data) in tensors.items()
        ]
        request = codec.decode(orjson.dumps({"inputs": raw}), None)
        response: InferResponse = await self.plane.infer(request)
        body, _ = codec.encode(response, request)
        return {each["name"]: (each["shape"], each["data"]) for each in orjson.loads(body)["outputs"]}


def shapes(served: Served) -> dict[str, Any]:
    signature = served.manifest.signature
    return {each.name: (each.shape, each.any_rank) for each in (*signature.inputs, *signature.outputs)}


@pytest.mark.parametrize(("shape", "data"), [([], [3.0]), ([], 3.0), ([1], [3.0])])
async def test_a_scalar_is_told_and_taken_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: list[int], data: Any
) -> None:
    served = Served(SCALED, tmp_path, monkeypatch)
    assert shapes(served) == {"x": ((-1, 2), False), "s": ((), False), "y": ((-1, 2), False), "t": ((), False)}
    found = await served.ask(x=([2, 2], [1, 2, 3, 4]), s=(shape, data))
    assert found == {"y": ([2, 2], [3, 6, 9, 12]), "t": ([], [30])}


@pytest.mark.parametrize("shape", [[2], [1, 1], [0]])
async def test_what_is_no_scalar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: list[int]) -> None:
    served = Served(SCALED, tmp_path, monkeypatch)
    with pytest.raises(RequestError, match=r"inputs \(s\)\.shape is .*, but the model takes \[\]"):
        await served.ask(x=([1, 2], [1, 2]), s=(shape, [1.0] * int(np.prod(shape))))


@pytest.mark.parametrize("shape", [[], [1], [4], [2, 3], [1, 2, 3, 1], [0, 3]])
async def test_an_input_of_unknown_rank_takes_every_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: list[int]
) -> None:
    served = Served(ANY, tmp_path, monkeypatch)
    assert shapes(served) == {"x": ((-1,), True), "y": ((-1,), True)}
    assert served.manifest.joining is not None
    assert not served.manifest.joining.joins
    assert "'x' may have any number of axes" in served.manifest.joining.reason
    data = list(range(int(np.prod(shape))))
    assert await served.ask(x=(shape, data)) == {"y": (shape, [2 * each for each in data])}


async def test_texts_may_be_scalars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = graph([helper.make_node("Identity", ["x"], ["y"])], {"x": []}, {"y": []}, TensorProto.STRING)
    served = Served(content, tmp_path, monkeypatch)
    given = protocol.Input("x", "BYTES", np.array(["é"], object))
    response = await served.plane.infer(protocol.InferRequest((given,)))
    assert (response.outputs["y"].shape, response.outputs["y"].tolist()) == ((), "é")


async def test_a_bundle_is_saved_of_a_model_of_unknown_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    content = modelward_inference.save_bundle(tmp_path / "b.tar", ANY, rows).read_bytes()
    served = Served(content, tmp_path, monkeypatch, "m.tar")
    assert served.manifest.golden_rows == 4
    assert await served.ask(x=([1, 3], [1, 2, 3])) == {"y": ([1, 3], [2, 4, 6])}


async def test_outputs_alone_of_unknown_rank_leave_requests_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = graph([helper.make_node("Add", ["x", "x"], ["y"])], {"x": ["n", 2]}, {"y": None})
    served = Served(content, tmp_path, monkeypatch)
    assert served.manifest.joining is not None
    assert served.manifest.joining.joins
    assert await served.ask(x=([1, 2], [1, 2])) == {"y": ([1, 2], [2, 4])}


def test_ranks_are_read_from_the_file_alone(tmp_path: Path) -> None:
    mixed = graph([helper.make_node("Add", ["a", "b"], ["c"])], {"a": [], "b": None}, {"c": None})
    (tmp_path / "m.onnx").write_bytes(mixed)
    assert onnxranks.ranked(tmp_path / "m.onnx") == {"a"}
    for cut in range(1, len(mixed) - 1, 97):
        (tmp_path / "m.onnx").write_bytes(mixed[:cut])
        assert onnxranks.ranked(tmp_path / "m.onnx") <= {"a"}
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)
    assert onnxranks.ranked(tmp_path / "m.onnx") == frozenset()


async def test_sizes_of_one_name_that_differ_are_the_clients_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = graph([helper.make_node("Add", ["a", "b"], ["y"])], {"a": ["n", "t"], "b": ["n", "t"]}, {"y": ["n", "t"]})
    served = Served(content, tmp_path, monkeypatch)
    with pytest.raises(RequestError, match="'a' has 3 and 'b' has 2 along the axis 't', which is one to the model"):
        await served.ask(a=([1, 3], [1, 2, 3]), b=([1, 2], [1, 2]))
    assert await served.ask(a=([1, 3], [1, 2, 3]), b=([1, 1], [1])) == {"y": ([1, 3], [2, 3, 4])}
