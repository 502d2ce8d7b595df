"""What a model has to get by name, and what a request brings of it: its own values, or keys of entities. Pure.

Invariant: a request that brings all that the model takes is left as it is, whatever else is in it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.settings import DEFAULT, NULL, Entity, FeatureSettings
from modelward_inference.protocol.messages import InferRequest, Input, RequestError
from modelward_inference.protocol.names import plain
from modelward_inference.protocol.tensors import shown

MAX_KEY: Final = 1024
"""Characters of a key that is a text."""

_INT64: Final = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Wanted:
    """An input of one value a row, or a column of the only input. `default`: what stands in where it is missing."""

    name: str
    datatype: str
    default: Any = None

    @property
    def nullable(self) -> bool:
        """Whether there is a value that stands for none."""
        return DTYPES[self.datatype].kind in "fO"


@dataclass(frozen=True)
class Keys:
    """Of a request: `columns`: by entity, equally long; `lacking`: what the request does not bring itself; `own`: what
    it does."""

    columns: Mapping[str, list[Any]]
    lacking: tuple[Wanted, ...]
    own: tuple[Input, ...]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))


def wanted_of(signature: Signature, columns: Sequence[str], settings: FeatureSettings) -> tuple[Wanted, ...]:
    """All that the model takes. Raises InvalidConfiguration where that has no names, and for defaults that fit
    nothing."""
    inputs = signature.inputs
    if len(inputs) == 1 and columns and inputs[0].shape == (-1, len(columns)) and inputs[0].name not in columns:
        named = [(name, inputs[0].datatype) for name in columns]
    else:
        for each in inputs:
            if each.any_rank or each.shape not in ((-1,), (-1, 1)):
                raise InvalidConfiguration(
                    f"spec.features fills inputs by name, and the model's input {each.name!r} of shape "
                    f"{list(each.shape)} has several values without names; train it on a data frame, whose columns are "
                    "called as the features are (docs/bundle.md)"
                )
        named = [(each.name, each.datatype) for each in inputs]
    unknown = sorted(set(settings.defaults) - {name for name, _ in named})
    if unknown:
        raise InvalidConfiguration(
            f"spec.features.defaults has {', '.join(unknown)[:200]}, and the model takes no such input; it takes "
            f"{', '.join(name for name, _ in named)[:500]}"
        )
    found = tuple(
        Wanted(name, datatype, _default(name, datatype, settings.defaults.get(name))) for name, datatype in named
    )
    without = [each.name for each in found if not each.nullable]
    if settings.on_missing == NULL and without:
        raise InvalidConfiguration(
            f"spec.features.onMissing is Null, and these inputs have no null: {', '.join(without)[:500]} (whole "
            "numbers and truths); write Refuse, or Default with values for them"
        )
    return found


def keys_of(request: InferRequest, entities: Sequence[Entity], wanted: Sequence[Wanted]) -> Keys | None:
    """None where the request brings no key, or all that the model takes. Raises RequestError."""
    given = {each.name: each for each in request.inputs}
    present = [each.name for each in entities if each.name in given]
    brought = given.keys() | {plain(name) for name in given}
    lacking = tuple(each for each in wanted if each.name not in brought)
    if not present or not lacking:
        return None
    absent = [each.name for each in entities if each.name not in given]
    if absent:
        raise RequestError(
            f"inputs has {shown(', '.join(present))} and lacks {shown(', '.join(absent))}: features are looked up by "
            "all of these together"
        )
    columns = {each.name: _column(given[each.name], each) for each in entities}
    sizes = sorted({len(values) for values in columns.values()})
    if len(sizes) > 1:
        raise RequestError(f"inputs differ in their number of rows: {sizes}")
    taken = {each.name for each in wanted}
    names = {each.name for each in entities}
    own = tuple(each for each in request.inputs if each.name in taken or each.name not in names)
    return Keys(columns, lacking, own)


def _column(given: Input, entity: Entity) -> list[Any]:
    where = f"inputs ({given.name})"
    array: Array = given.array
    if math.prod(array.shape[1:]) != 1:
        raise RequestError(f"{where}.shape is {list(array.shape)}; send one key a row, as [rows] or [rows, 1]")
    values: list[Any] = array.reshape(-1).tolist()
    if entity.datatype == "BYTES":
        for value in values:
            if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
                raise RequestError(f"{where}.data: a key has to be a text of 1 to {MAX_KEY} characters (BYTES)")
        return values
    if array.dtype.kind == "f":
        return _whole(array, where)
    if array.dtype.kind not in "iu" or any(not _INT64[0] <= value <= _INT64[1] for value in values):
        raise RequestError(f"{where}.data: keys have to be whole numbers of 64 bits (INT64)")
    return values


def _whole(array: Array, where: str) -> list[Any]:
    """Whole numbers that came as floats: 1.0 is 1 in JSON, and a data frame has them where another row has none. Only
    as far as the type tells one number from the next: features of a neighbour's key would be somebody else's."""
    end = float(2 ** (np.finfo(array.dtype).nmant + 1))
    flat = array.reshape(-1)
    bad = ~((flat == np.rint(flat)) & (np.abs(flat) < end))
    if bad.any():
        raise RequestError(
            f"{where}.data holds {flat[bad][0]}: keys have to be whole numbers (INT64); as floats of "
            f"{8 * array.dtype.itemsize} bits they may come below {end:.0f}, where each is told from the next"
        )
    found: list[Any] = flat.astype(np.int64).tolist()
    return found


def _default(name: str, datatype: str, text: str | None) -> Any:
    if text is None:
        return None
    kind = DTYPES[datatype].kind
    try:
        if kind == "b":
            return {"true": True, "false": False}[text]
        if kind == "O":
            return text
        if kind == "f":
            return float(text)
        DTYPES[datatype].type(int(text))
        return int(text)
    except (ValueError, KeyError, OverflowError):
        raise InvalidConfiguration(
            f"spec.features.defaults: {name} is {text[:50]!r}, and the model takes {datatype} there"
        ) from None


def has_rule(settings: FeatureSettings, wanted: Wanted) -> bool:
    """Whether a request goes on where the store has nothing for it."""
    return settings.on_missing == NULL or (settings.on_missing == DEFAULT and wanted.default is not None)
