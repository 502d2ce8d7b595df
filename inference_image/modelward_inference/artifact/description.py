"""What whoever logged a model wrote beside it, as MLflow's `MLmodel` is: its columns, versions, and example rows.

It is the author's word: it names things and adds golden rows, and never decides which file is loaded, nor whether it
may be.
Invariant: what is read back is of the types and sizes below; anything else is BundleInvalid.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from modelward_inference.artifact import validity
from modelward_inference.errors import BundleInvalid

FILE = "description.json"

LIBRARIES = ("scikit-learn", "numpy", "xgboost", "lightgbm", "torch", "onnx")
"""Those of whose versions a model's answers depend."""

MAX_BYTES = 32 << 20

MAX_EXAMPLE = 4 << 20
"""Bytes of the example rows as they were logged: written anew, they may take six times as many."""

MAX_DEPTH = validity.MAX_RANK + 2
"""Of lists in each other: a tensor's, in a mapping."""


@dataclass(frozen=True)
class Field:
    """A column (`shape` None) or a tensor. `name`: empty where it has none; `datatype`: of the Open Inference Protocol,
    empty where that has none."""

    name: str
    datatype: str
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Description:
    """`source`: the file's name, for messages; `versions`: of libraries at training, by distribution; `python`: of
    Python; `example`: rows, as {"columns": […], "data": [[…]]}, an array [rows, …], or arrays by name."""

    source: str
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    example: Any = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model's columns are called, where they are columns with names."""
        named = tuple(each.name for each in self.inputs if each.shape is None and each.name)
        return named if len(named) == len(self.inputs) == len(set(named)) else ()

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None where nothing is described. Raises BundleInvalid."""
        path = folder / FILE
        if not path.exists():
            return None
        try:
            with path.open("rb") as handle:
                raw = json.loads(handle.read(MAX_BYTES))
            return cls(
                str(raw["source"]),
                tuple(_field(each) for each in raw["inputs"]),
                tuple(_field(each) for each in raw["outputs"]),
                {str(name): str(version) for name, version in raw["versions"].items()},
                str(raw["python"]),
                raw["example"],
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleInvalid(f"{path} can't be read ({error}); fetch the model anew") from None


def _field(raw: Any) -> Field:
    shape = raw["shape"]
    return checked(Field(str(raw["name"]), str(raw["datatype"]), None if shape is None else tuple(shape)))


def checked(found: Field) -> Field:
    """Raises ValueError for what can be no model's."""
    if len(found.name) > validity.MAX_NAME:
        raise ValueError(f"a name of {len(found.name)} characters; at most {validity.MAX_NAME} are taken")
    if found.datatype and found.datatype not in validity.DATATYPES:
        raise ValueError(f"the type {found.datatype!r}")
    if found.shape is not None:
        sizes = found.shape
        if len(sizes) > validity.MAX_RANK or not all(type(each) is int and each >= -1 for each in sizes):
            raise ValueError(f"the shape {list(sizes)!r:.200}")
        if math.prod(max(size, 1) for size in sizes) > validity.MAX_ELEMENTS:
            raise ValueError(f"the shape {list(sizes)!r:.200}, of which a row is too large")
    return found
