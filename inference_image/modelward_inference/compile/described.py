"""What a description adds to a model: names of columns, the shapes that TorchScript lacks, example rows, versions.

Nothing in a description can keep a model from being served: what does not fit it is told as a warning, and left out.
"""

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact import formats, tables
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.artifact.description import Description, Field
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators.columns import INPUT

MOST_ROWS = 100
"""Of an example, as of a saved bundle's golden rows."""

_MOST_VALUES = 1 << 22


def signature_of(kind: str, described: Description | None) -> Signature | None:
    """For a format that does not tell its tensors; None where another is told, or where nobody knows."""
    if kind != formats.TORCHSCRIPT or described is None:
        return None
    inputs, outputs = _tensors(described.inputs, INPUT), _tensors(described.outputs, "output")
    return Signature(inputs, outputs) if inputs and outputs else None


def _tensors(fields: Sequence[Field], name: str) -> tuple[Tensor, ...]:
    """() where one of them is no tensor, or has no name among several."""
    if any(each.shape is None or not each.datatype for each in fields) or len({each.name for each in fields}) < len(
        fields
    ):
        return ()
    return tuple(Tensor(each.name or name, each.datatype, each.shape or (-1,)) for each in fields)


def columns_of(described: Description | None, model: Model) -> tuple[tuple[str, ...], list[str]]:
    """What the model's columns are called, by its own word or else by the description's; and what does not agree."""
    own: tuple[str, ...] = tuple(getattr(model, "columns", ()))
    told = described.columns if described is not None else ()
    if described is None or not told:
        return own, []
    width = _width(model.signature)
    if own:
        if {_plain(name) for name in own} - {_plain(name) for name in told}:
            lacking = [name for name in own if _plain(name) not in {_plain(each) for each in told}]
            return own, [
                f"{described.source} has no column {', '.join(lacking)[:300]}, which the model takes: it was logged "
                "with the signature of other data, and is asked by its own columns"
            ]
        return own, []
    if width is None:
        return own, []
    if width != len(told):
        return own, [
            f"{described.source} has {len(told)} columns, and the model takes {width}: it was logged with the "
            "signature of other data, and is asked by place"
        ]
    return told, []


def _plain(name: str) -> str:
    return name.replace(" ", "_")  # as LightGBM keeps them


def _width(signature: Signature) -> int | None:
    """Columns of a model that takes one table of numbers."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 2 or signature.inputs[0].datatype == "BYTES":
        return None
    width = signature.inputs[0].shape[1]
    return width if width > 1 else None


def example_of(
    described: Description | None, model: Model, columns: tuple[str, ...]
) -> tuple[dict[str, Array] | None, list[str]]:
    """Rows that the model takes, of the description's example, at most MOST_ROWS; or why there are none."""
    if described is None or described.example is None:
        return None, []
    try:
        found = tables.from_data(_table(described.example), model.signature, columns)
        return _bounded(found, model.signature), []
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it holds, the model is served
        return None, [f"the example rows beside the model are not used: {str(error)[:300]}"]


def _table(example: Any) -> Any:
    """As `tables` takes it: columns or tensors by name, or one array."""
    if isinstance(example, Mapping) and {"columns", "data"} <= example.keys():
        names = [str(name) for name in example["columns"]]
        rows = example["data"][:MOST_ROWS]
        if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
            raise ValueError("its rows are not as wide as it has columns")
        return {name: _array([row[place] for row in rows]) for place, name in enumerate(names)}
    if isinstance(example, Mapping):
        return {str(name): _array(value) for name, value in example.items()}
    return _array(example)


def _array(values: Any) -> Array:
    """Numbers, with NaN for what is missing; or objects, where texts are among them."""
    if not isinstance(values, list):
        values = [values]
    if any(isinstance(each, str) for each in _leaves(values)):
        return np.array(values, object)
    return np.array(values, np.float64) if any(each is None for each in _leaves(values)) else np.array(values)


def _leaves(values: Any) -> Any:
    for each in values:
        if isinstance(each, list):
            yield from _leaves(each)
        else:
            yield each


def _bounded(rows: dict[str, Array], signature: Signature) -> dict[str, Array]:
    """Raises ValueError where tensors have not the same rows, or not the shapes of the signature."""
    for tensor in signature.inputs:
        array = rows[tensor.name]
        fits = tensor.any_rank or (
            array.ndim == len(tensor.shape)
            and all(wanted in (-1, size) for wanted, size in zip(tensor.shape, array.shape, strict=True))
        )
        if not fits or not array.size:
            raise ValueError(f"{tensor.name!r} has the shape {list(array.shape)}, and takes {list(tensor.shape)}")
    counts = {len(array) for array in rows.values() if array.ndim}
    if len(counts) != 1:
        raise ValueError("its tensors have different numbers of rows")
    (count,) = counts
    if any(tensor.shape[:1] != (-1,) for tensor in signature.inputs):
        return rows  # a graph of a fixed size takes all or nothing
    values = sum(math.prod(array.shape[1:]) for array in rows.values())
    most = max(1, min(count, MOST_ROWS, _MOST_VALUES // max(values, 1)))
    return {name: array[:most] for name, array in rows.items()}


def skew(described: Description | None, model: Model, kind: str) -> list[str]:
    """Libraries that read the model in another version than it was logged with."""
    if described is None:
        return []
    here = dict(model.libraries)
    found = {
        name: (described.versions[name], here[name])
        for name in here
        if name in described.versions
        and described.versions[name] != here[name]
        # scikit-learn has told this one itself.
        and not any(f"with {name} {described.versions[name]}" in each for each in model.warnings)
    }
    if kind == formats.SKLEARN and described.python and _minor(described.python) != _minor(platform.python_version()):
        found["Python"] = (described.python, platform.python_version())
    return [
        f"logged with {name} {there}, read with {now}: predictions may differ, and no answers were logged that would "
        f"show it; train with {name} {now}, or log it with modelward.log_model"
        for name, (there, now) in found.items()
    ]


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
