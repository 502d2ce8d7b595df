"""MLflow's model folders: `MLmodel` says which file is the model, what its columns are, and how it was trained.

Of its flavours those are served whose file this server reads: scikit-learn, XGBoost, LightGBM, ONNX and TorchScript,
also where only the generic `python_function` is told of them. The others are refused with what serves them.
Invariant: nothing here is loaded or imported; the file that `MLmodel` names is one that came, and its content tells the
format.
Format: https://mlflow.org/docs/latest/ml/model/#storage-format
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import BESIDE
from modelward_inference.artifact.description import MAX_DEPTH, MAX_EXAMPLE, Description, Field, checked
from modelward_inference.errors import ArtifactCorrupt, FormatUnknown, ModelUnsupported
from modelward_inference.fetch.contents import beside

FILE = "MLmodel"

TORCH_FILE = "model.pth"
"""TorchScript, or whatever torch.save wrote: the content tells."""

_MAX = 1 << 20
"""Bytes of MLmodel and of requirements.txt."""

_MAX_FIELDS = 10_000

_KEYS = {
    "sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "onnx": "data", "pytorch": "model_data",
}  # fmt: skip
"""Flavours that are served, and where each names its file, in the order in which they are looked for."""

_VERSIONS = {
    "sklearn_version": "scikit-learn", "xgb_version": "xgboost", "lgb_version": "lightgbm", "onnx_version": "onnx",
    "pytorch_version": "torch",
}  # fmt: skip

_ELSEWHERE = {
    "tensorflow": "TensorFlow Serving or Triton; or tf2onnx makes ONNX of it",
    "keras": "TensorFlow Serving or Triton; or tf2onnx makes ONNX of it",
    "transformers": "Triton, vLLM or KServe's Hugging Face runtime; or optimum makes ONNX of it",
    "sentence_transformers": "KServe's Hugging Face runtime; or optimum makes ONNX of it",
    "catboost": "MLServer's CatBoost runtime; or model.save_model(…, format='onnx') makes ONNX of it",
    "spark": "MLflow's own server with Spark; or onnxmltools makes ONNX of it",
}
"""By flavour, what serves it."""

_ANY = "`mlflow models build-docker`, or MLServer with mlserver-mlflow, in a Deployment of your own"

_TYPES = {
    "boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64", "string": "BYTES",
}  # fmt: skip
"""MLflow's types of columns; the others (binary, datetime, object, array, map) have no word in the protocol."""

_DTYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "str": "BYTES", "object": "BYTES",
}  # fmt: skip

_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([\w.!+-]+)", re.MULTILINE)

_SAME = {"xgboost-cpu": "xgboost", "onnxruntime-gpu": "onnxruntime", "torch-cpu": "torch"}
"""Distributions of one library."""

_SHOWN = 5


@dataclass(frozen=True)
class Found:
    """`file`: the model's, by its name in the folder; `notes`: what its users should know; `beside`: what log_model
    put there, by its name in a bundle."""

    file: str
    description: Description
    notes: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)


def lies_in(names: Collection[str]) -> bool:
    return any(PurePosixPath(name).name == FILE for name in names)


def read(names: Collection[str], folder: Path, address: str) -> Found:
    """Of a folder in which an MLmodel lies, perhaps in a folder of its own.

    Raises FormatUnknown where there are several, ArtifactCorrupt (the message goes on behind the address) where it
    can't be read or its files did not come, and ModelUnsupported.
    """
    all_of = sorted(name for name in names if PurePosixPath(name).name == FILE)
    if len(all_of) > 1:
        raise FormatUnknown(
            f"{address} holds {len(all_of)} MLflow models: {', '.join(all_of[:_SHOWN])[:300]}. Name the folder of one "
            "in spec.model.uri"
        )
    (place,) = all_of
    base = "" if place == FILE else place.removesuffix(FILE)
    raw = _document(folder / place)
    flavour, said = _flavour(raw, f"{address}: {place}")
    file = _file(flavour, said, base, names, address)
    example, unused = _example(raw, base, names, folder)
    logged = {name: f"{base}{BESIDE}/{name}" for name in beside.NAMES}
    return Found(
        file,
        _description(raw, said, base, names, folder, example),
        (*_notes(said), *unused),
        {name: place for name, place in logged.items() if place in names},
    )


def _document(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        content = handle.read(_MAX + 1)
    if len(content) > _MAX:
        raise ArtifactCorrupt(f"has an {FILE} of more than {_MAX} bytes; log the model again")
    try:
        raw = yaml.load(content, _Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # A value that its tag does not fit makes PyYAML raise what it happens to.
        raise ArtifactCorrupt(f"has an {FILE} that can't be read: {str(error)[:300]}; log the model again") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("flavors"), dict):
        raise ArtifactCorrupt(f"has an {FILE} without `flavors`; log the model again")
    return raw


class _Loader(yaml.SafeLoader):
    """With few aliases: by merges of many, few bytes become many values."""

    _left = 10

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._left -= 1
            if self._left < 0:
                raise yaml.YAMLError("it has too many aliases")
        return super().compose_node(parent, index)


def _flavour(raw: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """The one that is served, and what is said of it. Raises ModelUnsupported."""
    flavours: dict[str, Any] = raw["flavors"]
    generic = flavours.get("python_function")
    generic = generic if isinstance(generic, dict) else {}
    for name in _KEYS:
        said = flavours.get(name)
        if isinstance(said, dict):
            return name, {**generic, **said}
    loader = str(generic.get("loader_module", "")).removeprefix("mlflow.")
    if loader in _KEYS:
        return loader, {**generic, _KEYS[loader]: generic.get("model_path") or generic.get("data")}
    named = [str(name) for name in flavours if name != "python_function"] or [loader or "python_function"]
    if named == ["pyfunc.model"] or named == ["python_function"] or loader.startswith("pyfunc"):
        raise ModelUnsupported(
            f"{where} is a python_function, a Python program of its author's: this server runs models, not programs. "
            "Log the model that is inside it with its own flavour (mlflow.sklearn, mlflow.xgboost, mlflow.lightgbm, "
            f"mlflow.onnx), with steps before it in a Pipeline; or serve it with {_ANY}"
        )
    what = next((_ELSEWHERE[name] for name in named if name in _ELSEWHERE), None)
    raise ModelUnsupported(
        f"{where} has the flavour {', '.join(named[:_SHOWN])[:200]}, and this server reads {', '.join(_KEYS)}. Log it "
        f"as ONNX (mlflow.onnx.log_model); or serve it with {what or _ANY}"
    )


def _file(flavour: str, said: dict[str, Any], base: str, names: Collection[str], address: str) -> str:
    told = said.get(_KEYS[flavour])
    if not isinstance(told, str) or not told:
        raise ArtifactCorrupt(f"has an {FILE} whose flavour {flavour} names no file; log the model again")
    file = f"{base}{told}"
    if flavour == "pytorch":
        if f"{file}/model.pt2" in names:
            raise ModelUnsupported(
                f"{address} is a program of torch.export (.pt2), which this server does not read. Log ONNX "
                "(torch.onnx.export, mlflow.onnx.log_model), or TorchScript (torch.jit.script, "
                "mlflow.pytorch.log_model with serialization_format='pickle')"
            )
        file = f"{file}/{TORCH_FILE}"
    if file not in names:
        raise ArtifactCorrupt(
            f"has an {FILE} that names {told[:200]!r}, which is not there: it has not been uploaded in full, or lost a "
            "file. Log the model again, and name it once that has ended"
        )
    return file


def check_torch(kind: str | None, path: Path, address: str) -> None:
    """Raises ModelUnsupported for weights with a class of Python, or without: `torch.save` of an eager module."""
    if kind != formats.TORCHSCRIPT:
        raise ModelUnsupported(
            f"{address}: {path.name} was saved by torch.save, and its class is a Python program that this server does "
            "not have. Log TorchScript (torch.jit.script(module), mlflow.pytorch.log_model with "
            f"serialization_format='pickle'), or ONNX (torch.onnx.export, mlflow.onnx.log_model); or serve it with "
            f"{_ANY}"
        )


def _notes(said: dict[str, Any]) -> tuple[str, ...]:
    found = []
    answers = said.get("predict_fn")
    if isinstance(answers, str) and answers not in ("predict", "predict_proba", "transform"):
        found.append(f"MLflow answers with the model's {answers[:100]}(), this server with predict and predict_proba")
    code = said.get("code")
    if isinstance(code, str) and code:
        found.append(
            f"the folder {code[:100]!r}, which MLflow imports beside the model, is not: a model that needs it can't be "
            "loaded. Make a package of it, and build the inference image with it"
        )
    return tuple(found)


def _description(
    raw: dict[str, Any], said: dict[str, Any], base: str, names: Collection[str], folder: Path, example: Any
) -> Description:
    signature = raw.get("signature")
    signature = signature if isinstance(signature, dict) else {}
    versions = _requirements(folder / f"{base}requirements.txt") if f"{base}requirements.txt" in names else {}
    for key, distribution in _VERSIONS.items():
        if isinstance(said.get(key), str):
            versions[distribution] = said[key][:100]
    return Description(
        FILE,
        _fields(signature.get("inputs")),
        _fields(signature.get("outputs")),
        versions,
        str(said.get("python_version") or "")[:100],
        example,
    )


def _fields(text: Any) -> tuple[Field, ...]:
    """Of a signature's side, which is JSON in YAML; () where there is none, or none that can be read."""
    try:
        return tuple(_field(each) for each in json.loads(text or "[]")[:_MAX_FIELDS])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()


def _field(raw: dict[str, Any]) -> Field:
    name = str(raw.get("name", ""))
    if raw["type"] != "tensor":
        return checked(Field(name, _TYPES.get(str(raw["type"]), "")))
    tensor = raw["tensor-spec"]
    return checked(Field(name, _DTYPES.get(str(tensor["dtype"]), ""), tuple(tensor["shape"])))


def _requirements(path: Path) -> dict[str, str]:
    """Versions of what is pinned, by distribution, in the form of names that PEP 503 gives."""
    with path.open("rb") as handle:
        text = handle.read(_MAX).decode(errors="replace")
    found = {re.sub(r"[-_.]+", "-", name).lower(): version[:100] for name, version in _PINNED.findall(text)}
    return {_SAME.get(name, name): version for name, version in found.items()}


def _example(raw: dict[str, Any], base: str, names: Collection[str], folder: Path) -> tuple[Any, tuple[str, ...]]:
    """The rows that were logged with the model, in the form of a request where MLflow wrote it, or None; and why there
    are none where some should be."""
    info = raw.get("saved_input_example_info")
    info = info if isinstance(info, dict) else {}
    told: Sequence[Any] = (info.get("serving_input_path"), info.get("artifact_path"))
    found = next((f"{base}{name}" for name in told if isinstance(name, str) and f"{base}{name}" in names), None)
    if found is None or not found.endswith(".json"):
        return None, ()
    path = folder / found
    try:
        if path.stat().st_size > MAX_EXAMPLE:
            raise ValueError(f"it has more than {MAX_EXAMPLE} bytes")
        rows = _rows(json.loads(path.read_bytes()))
        if _deeper(rows, MAX_DEPTH):
            raise ValueError(f"its lists are more than {MAX_DEPTH} in each other")
    except (ValueError, RecursionError) as error:
        return None, (f"the example rows beside the model are not used: {str(error)[:300] or 'too deep'}",)
    return rows, ()


def _deeper(value: Any, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_deeper(each, left - 1) for each in inner)


def _rows(raw: Any) -> Any:
    """Out of a request's envelope (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally)."""
    if not isinstance(raw, dict):
        return raw
    for key in ("dataframe_split", "inputs", "instances"):
        if key in raw:
            return raw[key]
    if "dataframe_records" in raw:
        raw = raw["dataframe_records"]
        if not isinstance(raw, list) or not all(isinstance(row, dict) for row in raw):
            return raw  # told of as what doesn't fit
        names = list(raw[0]) if raw else []
        return {"columns": names, "data": [[row.get(name) for name in names] for row in raw]} if names else None
    return raw
