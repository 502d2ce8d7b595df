"""What clients of KServe, MLServer and Triton send: names, shapes and labels are obeyed, or refused by name."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Joining, Manifest, Signature, Tensor
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol import codec
from modelward_inference.protocol.messages import RequestError
from modelward_inference.serve.grpc_api import messages
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest

pytestmark = pytest.mark.unit


class Twice:
    """Two outputs of one input."""

    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()

    def __init__(self, *shape: int) -> None:
        outputs = (Tensor("predict", "FP64", shape), Tensor("predict_proba", "FP64", shape))
        self.signature = Signature((Tensor("input", "FP64", shape),), outputs)

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        factors = {"predict": 2, "predict_proba": 3}
        return {name: inputs["input"] * factors[name] for name in outputs}


async def ask(body: Mapping[str, Any], *shape: int) -> dict[str, Any]:
    model = Twice(*(shape or (-1, 1)))
    manifest = Manifest("m", "onnx", "f", "", 1, "", "", model.signature, joining=Joining(True, "as the test says"))
    plane = DataPlane(model, manifest, "1", workers=1, max_waiting=8)
    request = codec.decode(orjson.dumps(body), None)
    raw, _ = codec.encode(await plane.infer(request), request)
    found = orjson.loads(raw)["outputs"]
    return {each["name"]: each["data"] for each in found}


def one(name: str = "input", shape: Sequence[int] = (2, 1), **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "datatype": "FP64", "data": [1, 2], **more}


@pytest.mark.parametrize("name", ["input", "input-0", "input-1", "predict", "INPUT__0", "x"])
async def test_a_single_input_has_any_name(name: str) -> None:
    assert await ask({"inputs": [one(name)]}) == {"predict": [2, 4], "predict_proba": [3, 6]}


async def test_two_inputs_have_their_own_names() -> None:
    with pytest.raises(RequestError, match="takes no 'other'"):
        await ask({"inputs": [one(), one("other")]})


@pytest.mark.parametrize("name", ["predict", "output-0"])
async def test_an_output_is_asked_for_by_place_and_answered_by_that_name(name: str) -> None:
    assert await ask({"inputs": [one()], "outputs": [{"name": name}]}) == {name: [2, 4]}


async def test_outputs_by_place_are_in_the_models_order() -> None:
    outputs = [{"name": "output-1"}, {"name": "predict"}]
    assert await ask({"inputs": [one()], "outputs": outputs}) == {"output-1": [3, 6], "predict": [2, 4]}


@pytest.mark.parametrize(
    ("names", "words"), [(["output-2"], "has no 'output-2'"), (["predict", "output-0"], "already")]
)
async def test_an_output_that_there_is_not_or_twice_is_refused(names: list[str], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        await ask({"inputs": [one()], "outputs": [{"name": name} for name in names]})


@pytest.mark.parametrize("model", [(-1, 1), (-1,)])
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
async def test_a_column_is_a_vector_or_a_table_of_one(model: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert (await ask({"inputs": [one(shape=shape)]}, *model))["predict"] == [2, 4]


@pytest.mark.parametrize("model", [(-1, 1), (-1,)])
async def test_one_value_without_a_shape_is_one_row(model: tuple[int, ...]) -> None:
    tensor = {"name": "input-0", "shape": [], "datatype": "FP64", "data": [3]}
    assert (await ask({"inputs": [tensor]}, *model))["predict"] == [6]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1, 1), ()])
async def test_what_is_no_column_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match=r"but the model takes|needs 1"):
        await ask({"inputs": [one(shape=shape)]})


async def test_a_row_is_no_column_of_a_wider_table() -> None:
    with pytest.raises(RequestError, match=r"shape is \[2\]"):
        await ask({"inputs": [one(shape=(2,))]}, -1, 2)


def texts(*values: str, **parameters: Any) -> bytes:
    tensor = {"name": "t", "shape": [len(values)], "datatype": "BYTES", "data": values, "parameters": parameters}
    return orjson.dumps({"inputs": [tensor]})


def test_base64_is_decoded() -> None:
    encoded = [base64.b64encode(each).decode() for each in ("grün".encode(), b"\xff\0")]
    assert codec.decode(texts(*encoded, content_type="base64"), None).inputs[0].array.tolist() == ["grün", b"\xff\0"]


@pytest.mark.parametrize("bad", ["not base64!", "YQ", "ä"])
def test_what_is_no_base64_is_refused(bad: str) -> None:
    with pytest.raises(RequestError, match=r"inputs\[0\] \(t\).parameters: element 1 is no base64"):
        codec.decode(texts("YQ==", bad, content_type="base64"), None)


@pytest.mark.parametrize("label", ["datetime", "hg_json", "hg_jpeg", "", 7, ["str"], {"a": 1}])
def test_a_label_that_is_not_read_is_refused_by_name(label: Any) -> None:
    with pytest.raises(RequestError, match=r"parameters.content_type is"):
        codec.decode(texts("a", content_type=label), None)
    request = orjson.loads(texts("a"))
    with pytest.raises(RequestError, match=r"^parameters.content_type is"):
        codec.decode(orjson.dumps({**request, "parameters": {"content_type": label}}), None)
    output = {"name": "y", "parameters": {"content_type": label}}
    with pytest.raises(RequestError, match=r"outputs\[0\].parameters.content_type is"):
        codec.decode(orjson.dumps({**request, "outputs": [output]}), None)


@pytest.mark.parametrize("label", ["np", "pd", "str", None])
def test_plain_labels_change_nothing(label: Any) -> None:
    assert codec.decode(texts("YQ==", content_type=label), None).inputs[0].array.tolist() == ["YQ=="]


def test_numbers_are_no_base64() -> None:
    with pytest.raises(RequestError, match="only a BYTES tensor"):
        codec.decode(orjson.dumps({"inputs": [one(parameters={"content_type": "base64"})]}), None)


def test_ranked_classes_are_refused() -> None:
    body = {"inputs": [one()], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}
    with pytest.raises(RequestError, match="class_count"):
        codec.decode(orjson.dumps(body), None)


def test_grpc_reads_the_same_labels() -> None:
    message = ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="t", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"YQ==")
    tensor.parameters["content_type"].string_param = "base64"
    assert messages.decode(message).inputs[0].array.tolist() == ["a"]
    tensor.parameters["content_type"].string_param = "datetime"
    with pytest.raises(RequestError, match="datetime"):
        messages.decode(message)
    del tensor.parameters["content_type"]
    message.outputs.add(name="y").parameters["classification"].int64_param = 2
    with pytest.raises(RequestError, match="class_count"):
        messages.decode(message)
