"""The generated types are what the .proto file says, and put on the wire what other clients understand."""

from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

import generate_grpc
from modelward_inference.serve.grpc_api import open_inference_pb2


@pytest.mark.parametrize("name", [generate_grpc.PYTHON, generate_grpc.TYPES])
def test_the_committed_types_are_generated_from_the_proto_file(name: str, tmp_path: Path) -> None:
    generate_grpc.generate(tmp_path)
    committed = generate_grpc.FOLDER / name
    assert (tmp_path / name).read_text() == committed.read_text(), "run `make grpc-types`"


def flat(message: object, prefix: str = "") -> dict[str, tuple[object, ...]]:
    """Each field of a message and of those within: number, type, whether repeated."""
    fields: dict[str, tuple[object, ...]] = {}
    for field in message.fields:  # type: ignore[attr-defined]
        fields[f"{prefix}{field.name}"] = (field.number, field.type, field.is_repeated)
        if field.message_type is not None:
            fields |= flat(field.message_type, f"{prefix}{field.name}.")
    return fields


OURS = open_inference_pb2.DESCRIPTOR.message_types_by_name


@pytest.mark.parametrize("name", OURS)
def test_every_field_has_the_number_and_type_that_triton_gives_it(name: str) -> None:
    messages = {**model_config_pb2.DESCRIPTOR.message_types_by_name, **service_pb2.DESCRIPTOR.message_types_by_name}
    theirs = flat(messages[name])
    ours = flat(OURS[name])
    if name == "ModelMetadataResponse":  # the protocol's own, which Triton has not
        assert ours.pop("properties")[0] == 6
        ours = {field: found for field, found in ours.items() if not field.startswith("properties.")}
    assert {field: theirs[field] for field in ours} == ours


def test_every_call_has_the_messages_that_triton_gives_it() -> None:
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for call in open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        other = theirs[call.name]
        assert (call.input_type.full_name, call.output_type.full_name) == (
            other.input_type.full_name,
            other.output_type.full_name,
        )
