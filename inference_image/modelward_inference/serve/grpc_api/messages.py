"""ModelInferRequest and ModelInferResponse to and from what the data plane takes and gives.

Failure: RequestError, which names the field as the protocol does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import google.protobuf.message

from modelward_inference.artifact.arrays import DTYPES, Array, datatype_of
from modelward_inference.protocol import codec, labels
from modelward_inference.protocol.messages import InferRequest, InferResponse, Input, RequestError, WantedOutput
from modelward_inference.protocol.tensors import MAX_DIMENSIONS, check_number
from modelward_inference.serve.grpc_api import contents
from modelward_inference.serve.grpc_api.open_inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse

M = TypeVar("M", bound=google.protobuf.message.Message)

MAX_SHOWN = 256
"""Characters of a client's text that an error message repeats."""

SHARED_MEMORY = "shared_memory_region"
MAX_INT64 = 2**63 - 1


def parse(kind: type[M], body: bytes) -> M:
    """A message of that kind from its wire form."""
    try:
        return kind.FromString(body)
    except google.protobuf.message.DecodeError as error:
        raise RequestError(f"the message is no {kind.DESCRIPTOR.name}: {error}") from None


def decode(message: ModelInferRequest) -> InferRequest:
    """All but the model's name and version. `binary_output`: whether the tensors came raw, and so shall go back."""
    raws = message.raw_input_contents
    if not message.inputs:
        raise RequestError("inputs is missing: send at least one tensor")
    check_number(len(message.inputs), "inputs")
    check_number(len(message.outputs), "outputs")
    if raws and len(raws) != len(message.inputs):
        raise RequestError(f"raw_input_contents has {len(raws)} tensors, but inputs has {len(message.inputs)}")
    inputs = tuple(
        _input(tensor, raws[index] if raws else None, f"inputs[{index}]") for index, tensor in enumerate(message.inputs)
    )
    _check_unique([tensor.name for tensor in inputs], "inputs")
    for index, output in enumerate(message.outputs):
        _refuse_shared_memory(output.parameters, f"outputs[{index}]")
        if output.parameters:
            labels.check(_values(output.parameters), f"outputs[{index}].parameters")
    outputs = tuple(WantedOutput(output.name) for output in message.outputs)
    _check_unique([output.name for output in outputs], "outputs")
    parameters = _values(message.parameters)
    if parameters:
        labels.check(parameters, "parameters")
    return InferRequest(inputs, outputs, message.id or None, bool(raws), parameters)


def decode_answer(message: ModelInferResponse) -> tuple[Input, ...]:
    """The tensors that a server answered with. Where it has them raw and typed, as ours has, the raw ones are read."""
    raws = message.raw_output_contents
    check_number(len(message.outputs), "outputs")
    if raws and len(raws) != len(message.outputs):
        raise RequestError(f"raw_output_contents has {len(raws)} tensors, but outputs has {len(message.outputs)}")
    if raws:
        for tensor in message.outputs:
            tensor.ClearField("contents")
    return tuple(
        _input(tensor, raws[index] if raws else None, f"outputs[{index}]")
        for index, tensor in enumerate(message.outputs)
    )


def _input(
    tensor: ModelInferRequest.InferInputTensor | ModelInferResponse.InferOutputTensor, raw: bytes | None, where: str
) -> Input:
    name, datatype = tensor.name, tensor.datatype
    if not name:
        raise RequestError(f"{where}.name must be a non-empty string")
    where = f"{where} ({name[:MAX_SHOWN]})"
    if datatype not in DTYPES:
        raise RequestError(f"{where}.datatype must be one of {', '.join(DTYPES)}, not {datatype[:MAX_SHOWN]!r}")
    shape = tuple(tensor.shape)
    if len(shape) > MAX_DIMENSIONS:
        raise RequestError(f"{where}.shape has {len(shape)} dimensions; a tensor may have {MAX_DIMENSIONS}")
    if shape and min(shape) < 0:
        raise RequestError(f"{where}.shape must be a list of whole numbers, such as [1, 30], not {list(shape)}")
    _refuse_shared_memory(tensor.parameters, where)
    if raw is None:
        array = contents.to_array(tensor.contents, datatype, shape, where)
    elif tensor.HasField("contents") and tensor.contents.ByteSize():
        raise RequestError(f"{where}.contents and raw_input_contents exclude each other")
    else:
        array = codec.from_binary(memoryview(raw), datatype, shape, where)
    if tensor.parameters:
        array = labels.read(array, _values(tensor.parameters), f"{where}.parameters")
    return Input(name, datatype, array)


def _check_unique(names: Sequence[str], field: str) -> None:
    if len(set(names)) != len(names):
        raise RequestError(f"{field}: a name occurs twice: {', '.join(names)[:MAX_SHOWN]}")


def _refuse_shared_memory(parameters: Mapping[str, InferParameter], where: str) -> None:
    if parameters and SHARED_MEMORY in parameters:
        raise RequestError(f"{where}.parameters.{SHARED_MEMORY}: there is no shared memory; send the tensor itself")


def _values(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    """Of those that have a value: the protocol does not forbid one without."""
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: getattr(parameters[name], choice) for name, choice in chosen.items() if choice is not None}


def encode(response: InferResponse, request: InferRequest) -> bytes:
    """A ModelInferResponse: raw, and where the request was typed and all outputs have a typed form, typed besides.

    The protocol's text wants one of the two. But stubs written for Triton, which always answers raw, read the raw form
    alone, and those for KServe and MLServer the typed one after typed requests; either finds its own here.
    """
    datatypes = {name: datatype_of(array) for name, array in response.outputs.items()}
    typed = not request.binary_output and contents.FIELDS.keys() >= set(datatypes.values())
    return ModelInferResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=response.id or "",
        parameters={name: _to_parameter(value) for name, value in response.parameters.items()},
        outputs=[_output(name, array, datatypes[name], typed) for name, array in response.outputs.items()],
        raw_output_contents=[codec.to_binary(array) for array in response.outputs.values()],
    ).SerializeToString()


def _output(name: str, array: Array, datatype: str, typed: bool) -> ModelInferResponse.InferOutputTensor:
    return ModelInferResponse.InferOutputTensor(
        name=name,
        datatype=datatype,
        shape=array.shape,
        contents=contents.from_array(array, datatype) if typed else None,
    )


def _to_parameter(value: Any) -> InferParameter:
    if isinstance(value, bool):
        return InferParameter(bool_param=value)
    if isinstance(value, int):
        return InferParameter(uint64_param=value) if value > MAX_INT64 else InferParameter(int64_param=value)
    if isinstance(value, float):
        return InferParameter(double_param=value)
    return InferParameter(string_param=str(value))
