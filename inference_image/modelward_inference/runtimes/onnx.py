"""ONNX models by onnxruntime."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from modelward_inference.artifact.arrays import Array, texts
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import ModelUnsupported
from modelward_inference.runtimes import onnxranks, unloaded

_TYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip

MISSING_TEXT = "\ue000modelward:missing\ue000"
"""What stands for a missing text in a graph that was compiled here: no string of ONNX is null."""

TAKES_MISSING_TEXTS = "modelward.missing_texts"
"""The key of ONNX's metadata by which a graph says that it was compiled here, and was compared with the original."""

LOWERED_TEXTS = "modelward.lowered_texts"
"""The key by which such a graph names, as JSON, its inputs whose texts are to come in lower case: in Python's, where a
capital sigma at the end of a word is another letter than within it, and İ is two. onnxruntime's own knows neither."""

_FATAL = 4
"""onnxruntime's level of logs that has nothing but its end."""


class OnnxModel:
    """An ONNX graph. `threads`: of one prediction."""

    warnings: Sequence[str] = ()

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # What is wrong is raised; onnxruntime's own lines would stand between the structured ones.
        options.log_severity_level = _FATAL
        # Spinning threads would burn the pod's CPU limit while nobody asks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as error:
            raise unloaded.explained(error) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        bare = any(not node.shape for node in (*inputs, *outputs))
        ranked = onnxranks.ranked(path) if bare else frozenset()
        self.signature = Signature(
            inputs=tuple(_tensor(node, "input", ranked) for node in inputs),
            outputs=tuple(_tensor(node, "output", ranked) for node in outputs),
        )
        axes = [node.shape[0] for node in self._session.get_inputs() if node.shape]
        self.first_axes = tuple(axis for axis in axes if isinstance(axis, str))
        """Names of the inputs' open first axes, where they have some: what is named differently differs in size."""
        self._axes = [(node.name, place, axis) for node in inputs for place, axis in enumerate(node.shape)
                      if isinstance(axis, str)]  # fmt: skip
        known = self._session.get_modelmeta().custom_metadata_map
        self._takes_missing = known.get(TAKES_MISSING_TEXTS) == "true"
        self._lowered = _names(known.get(LOWERED_TEXTS, "[]"))
        self._texts = [tensor.name for tensor in self.signature.inputs if tensor.datatype == "BYTES"]
        self.libraries = {"onnxruntime": ort.__version__}

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        given = dict(inputs)
        for name in self._texts:
            # onnxruntime would take the bytes of binary tensors for the text "b'…'".
            found = texts(given[name])
            if any(each is None for each in found.flat):
                if not self._takes_missing:
                    raise ValueError(f"{name}: a text is null, and an ONNX model has none that is; send an empty one")
                marked = np.empty(found.size, object)
                marked[:] = [MISSING_TEXT if each is None else each for each in found.flat]
                found = marked.reshape(found.shape)
            if name in self._lowered:
                lowered = np.empty(found.size, object)
                lowered[:] = [each.lower() for each in found.flat]
                found = lowered.reshape(found.shape)
            given[name] = found
        try:
            found = self._session.run(list(outputs), given)
        except Exception as error:
            self._explain(given, error)
            raise
        return dict(zip(outputs, found, strict=True))

    def _explain(self, given: Mapping[str, Array], error: Exception) -> None:
        """Raises ValueError where it is the client's mistake: sizes that the graph calls by one name differ. Where they
        broadcast the model answers, so they are looked at only when it has not."""
        sizes: dict[str, tuple[str, int]] = {}
        for name, place, axis in self._axes:
            size = given[name].shape[place] if place < given[name].ndim else 0
            first, known = sizes.setdefault(axis, (name, size))
            if known != size:
                raise ValueError(
                    f"{first!r} has {known} and {name!r} has {size} along the axis {axis!r}, which is one to the model"
                ) from error


def _names(text: str) -> frozenset[str]:
    """None where it is no list of names: whoever made the graph may have written anything."""
    try:
        found = json.loads(text)
    except ValueError:
        return frozenset()
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()


def _tensor(node: Any, side: str, ranked: Collection[str]) -> Tensor:
    """`ranked`: names of those whose shape is known where onnxruntime shows none."""
    if node.type not in _TYPES:
        cure = (
            "convert the model with options={'zipmap': False}"
            if node.type.startswith("seq(map(")
            else ("export the model with plain tensors")
        )
        raise ModelUnsupported(f"The model's {side} {node.name!r} is a {node.type}, which no protocol carries; {cure}")
    if not node.shape and node.name not in ranked:
        return Tensor(node.name, _TYPES[node.type], (-1,), any_rank=True)
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return Tensor(node.name, _TYPES[node.type], shape)
