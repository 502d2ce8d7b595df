"""What model.json may say: it comes from whoever can write to the store, or from what was loaded.

Types are pydantic's to check, by the manifest's own annotations; here stands what they can't say.
Failure: ValueError, which names the field.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelward_inference.artifact import formats
from modelward_inference.errors import InvalidConfiguration

if TYPE_CHECKING:
    from modelward_inference.artifact.bundle import Manifest, Refusal, Signature, Tensor

DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
)  # fmt: skip
"""Of the Open Inference Protocol."""

MAX_RANK = 32
MAX_ELEMENTS = 1 << 27
"""Numbers in one row of a tensor, 1 GiB of doubles: a server makes such a row of zeros before it is ready."""

MAX_TENSORS = 10_000
MAX_NAME = 1000
MAX_GOLDEN_ROWS = 1_000_000

_GRAPHS = (formats.ONNX, formats.TORCHSCRIPT)
"""Formats whose tensors may be scalars: a graph is asked for its own inputs, everything else for rows."""

_KINDS = ("missing", "infinite", "large", "unknown")
_FORMS = ("compiled", "original")


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    from modelward_inference.artifact.bundle import Manifest

    return TypeAdapter(Manifest)


def parse(content: bytes) -> "Manifest":
    """A checked manifest of a JSON document. Raises ValueError, and InvalidConfiguration where nothing can check it."""
    try:
        from pydantic import ValidationError
    except ImportError:  # where models are trained
        raise InvalidConfiguration(
            "bundles are read with pydantic, which is not installed: pip install 'modelward[reference]'"
        ) from None
    try:
        found: Manifest = _adapter().validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(each)[:MAX_NAME] for each in first["loc"])
        raise ValueError(f"{where}: {first['msg'][:300]}") from None
    check(found)
    return found


def check(manifest: "Manifest") -> None:
    """Raises ValueError."""
    check_signature(manifest.signature, scalars=manifest.format in _GRAPHS)
    if not manifest.signature.outputs:
        raise ValueError("signature.outputs: there are none; a model has at least 1")
    if not 0 <= manifest.golden_rows <= MAX_GOLDEN_ROWS:
        raise ValueError(f"golden_rows: {manifest.golden_rows} is not between 0 and {MAX_GOLDEN_ROWS}")
    if manifest.size < 0:
        raise ValueError(f"size: {manifest.size} is negative")
    for place, label in enumerate(manifest.classes):
        _check_label(f"classes.{place}", label)
    if manifest.compilation is not None and manifest.compilation.form not in _FORMS:
        raise ValueError(f"compilation.form: {manifest.compilation.form[:100]!r} is none of {', '.join(_FORMS)}")
    inputs = {tensor.name: tensor for tensor in manifest.signature.inputs}
    for place, refusal in enumerate(manifest.refusals):
        _check_refusal(f"refusals.{place}", refusal, inputs)


def check_signature(signature: "Signature", *, scalars: bool = True) -> None:
    """Raises ValueError. Without outputs it may be what somebody wrote by hand, to profile his data.

    `scalars`: whether a tensor may have no dimensions.
    """
    for side, tensors, least in (("inputs", signature.inputs, 1), ("outputs", signature.outputs, 0)):
        where = f"signature.{side}"
        if not least <= len(tensors) <= MAX_TENSORS:
            raise ValueError(f"{where}: there are {len(tensors)} tensors; a model has {least} to {MAX_TENSORS}")
        for place, tensor in enumerate(tensors):
            _check_tensor(f"{where}.{place}", tensor, 0 if scalars else 1)
        doubled = _doubled(tensor.name for tensor in tensors)
        if doubled is not None:
            raise ValueError(f"{where}: two tensors are called {doubled[:100]!r}")


def _check_tensor(where: str, tensor: "Tensor", least: int) -> None:
    if not isinstance(tensor.name, str) or not 1 <= len(tensor.name) <= MAX_NAME:
        raise ValueError(f"{where}.name: write a text of 1 to {MAX_NAME} characters")
    if tensor.datatype not in DATATYPES:
        raise ValueError(f"{where}.datatype: {tensor.datatype!r:.100} is none of {', '.join(DATATYPES)}")
    sizes = tensor.shape
    if not least <= len(sizes) <= MAX_RANK:
        raise ValueError(f"{where}.shape: it has {len(sizes)} dimensions; write {least} to {MAX_RANK}")
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= -1 for size in sizes):
        raise ValueError(f"{where}.shape: {list(sizes)!r:.200} has to be whole numbers, -1 for any size")
    elements = math.prod(max(size, 1) for size in sizes)
    if elements > MAX_ELEMENTS:
        raise ValueError(f"{where}.shape: a row of {list(sizes)!r:.200} is {elements} numbers; at most {MAX_ELEMENTS}")


def _check_refusal(where: str, refusal: "Refusal", inputs: Mapping[str, "Tensor"]) -> None:
    tensor = inputs.get(refusal.tensor)
    if tensor is None:
        raise ValueError(f"{where}.tensor: there is no input {refusal.tensor[:100]!r}")
    if refusal.kind not in _KINDS:
        raise ValueError(f"{where}.kind: {refusal.kind[:100]!r} is none of {', '.join(_KINDS)}")
    width = math.prod(size for size in tensor.shape[1:] if size >= 0)
    if any(not 0 <= column < width for column in refusal.columns):
        raise ValueError(f"{where}.columns: a row of {refusal.tensor[:100]!r} has {width} columns, counted from 0")
    if refusal.names and len(refusal.names) != len(refusal.columns):
        raise ValueError(f"{where}.names: {len(refusal.names)} names of {len(refusal.columns)} columns")
    for place, label in enumerate(refusal.known):
        if isinstance(label, list):
            raise ValueError(f"{where}.known.{place}: write a text, a number or null")
        _check_label(f"{where}.known.{place}", label)


def _check_label(where: str, label: Any) -> None:
    """A class is a text, a number or a truth value; of a model with several targets a list of these."""
    if isinstance(label, list):
        for each in label:
            if isinstance(each, list):
                raise ValueError(f"{where}: lists of lists are no classes")
            _check_label(where, each)
    elif label is not None and not isinstance(label, str | int | float | bool):
        raise ValueError(f"{where}: a {type(label).__name__} is no class; write a text or a number")


def _doubled(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
