"""Why onnxruntime does not load a model, without its source paths, and what helps."""

import re

import onnxruntime as ort

from modelward_inference.errors import ArtifactCorrupt, ModelError, ModelUnsupported

_PLACE = re.compile(r"^\S*/\S+\.(?:cc|h|cpp):\d+ (?:.*\) )?(?=\S)")
"""A file of onnxruntime's source, a line, and the C++ signature of a function."""

_IR = re.compile(r"IR version: (\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*domain (\S+) is till opset (\d+)", re.DOTALL)
_OPERATOR = re.compile(r"(?:Fatal error: (\S+?)\(-?\d+\) is not a registered|No Op registered for (\S+) with)")
_KERNEL = re.compile(r"Could not find an implementation for (\w+)")
_WEIGHTS = re.compile(r"External data path does not exist|external data|External initializer", re.IGNORECASE)


def explained(error: Exception) -> ModelError:
    """What to raise instead. Of an ArtifactCorrupt the message goes on behind the address."""
    runtime = f"onnxruntime {ort.__version__}"
    text = str(error).partition(" : ")[2].partition(" : ")[2].partition(" : ")[2] or str(error)
    text = re.sub(r"^Load model from \S+ failed:\s*", "", text.strip())
    text = _PLACE.sub("", text.strip()).splitlines()[0].strip()[:500] if text.strip() else type(error).__name__
    if found := _IR.search(str(error)):
        return ModelUnsupported(
            f"The model has ONNX's IR version {found[1]}; the newest that {runtime} knows is {found[2]}. Export it "
            f"with an older version of onnx, or set model.ir_version = {found[2]} before saving"
        )
    if found := _OPSET.search(str(error)):
        return ModelUnsupported(
            f"The model uses opset {found[1]} of {found[2]}; the newest that {runtime} knows is {found[3]}. Export it "
            f"with opset {found[3]} or lower"
        )
    if found := _OPERATOR.search(str(error)):
        return ModelUnsupported(
            f"The model uses the operator {found[1] or found[2]}, which {runtime} does not have; export it with "
            "standard operators only"
        )
    if found := _KERNEL.search(str(error)):
        return ModelUnsupported(
            f"{runtime} can't compute {found[1]} with the model's types on a CPU; export the model in FP32"
        )
    if _WEIGHTS.search(str(error)):
        return ModelUnsupported(f"The model's weights are in another file: {text}. Pack both in one .tar.gz")
    if "INVALID_PROTOBUF" in str(error):
        return ArtifactCorrupt(f"can't be loaded as ONNX: {text} Upload the artifact again")
    return ArtifactCorrupt(
        f"can't be loaded as ONNX by {runtime}: {text} Export the model again, and try it with "
        "onnx.checker.check_model and onnxruntime.InferenceSession"
    )
