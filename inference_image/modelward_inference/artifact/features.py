"""A model's features: what they are called, of what kind they are, and where they lie in its tensors.

The same for the reference and for what is counted against it. A tensor of one value a row is a feature with the
tensor's name; of a wider one, flattened row by row, every column is one. Outputs are named with OUTPUT_PREFIX.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from modelward_drift.profiles.profile import KINDS, Kind
from modelward_drift.profiles.reference import OUTPUT_PREFIX, Reference, Side
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import InvalidConfiguration

MAX_COLUMNS: Final = 1000
"""A wider tensor is left out: a profile of each pixel tells nothing, and costs as much as it holds."""

FEWEST_TEXTS: Final = 100
"""Texts below which they are taken for categories: two names in three rows are no free text yet."""


@dataclass(frozen=True)
class Slot:
    """A feature and its place. `column`: in a row of the tensor, flattened; None where it has one value a row.

    `kind`: None for texts, which are categorical or text, as the data show (`texts_kind`).
    """

    side: Side
    tensor: str
    column: int | None
    name: str
    kind: Kind | None


@dataclass(frozen=True)
class Layout:
    """All features, inputs first. `left_out`: what has none, each with the reason, in words."""

    slots: tuple[Slot, ...]
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of_signature(
        cls,
        signature: Signature,
        *,
        names: Sequence[str] = (),
        classes: Sequence[object] = (),
        kinds: Mapping[str, str] | None = None,
        ignore: Collection[str] = (),
        inputs: Mapping[str, Array] | None = None,
        outputs: Mapping[str, Array] | None = None,
    ) -> Self:
        """The features of a model.

        `names`: of the data's columns, for a single input tensor that is as wide; `classes`: stand for the columns of
        outputs as wide as they are many; `kinds`, `ignore`: the user's word, by feature; `inputs`, `outputs`: a batch,
        which tells the sizes that the signature leaves open. Raises InvalidConfiguration for a name that is no
        feature's or two features', and for a kind that is none.
        """
        slots: list[Slot] = []
        left_out: list[str] = []
        sides: list[tuple[Side, Sequence[Tensor], Mapping[str, Array], Sequence[object]]] = [
            ("input", signature.inputs, inputs or {}, names if len(signature.inputs) == 1 else ()),
            ("output", signature.outputs, outputs or {}, classes),
        ]
        for side, tensors, batch, labels in sides:
            for tensor in tensors:
                width = _width(tensor, batch.get(tensor.name))
                if width is None or width > MAX_COLUMNS:
                    left_out.append(_reason(side, tensor, width))
                else:
                    slots += _slots(side, tensor, width, labels)
        _check_names(slots, {*(kinds or {}), *ignore})
        chosen = (_with_kind(slot, (kinds or {}).get(slot.name)) for slot in slots if slot.name not in set(ignore))
        return cls(tuple(chosen), tuple(left_out))

    @classmethod
    def of_reference(cls, reference: Reference) -> Self:
        """The features that a reference has, in its order."""
        return cls(
            tuple(
                Slot(each.side, each.tensor, each.column, each.name, each.profile.kind) for each in reference.features
            )
        )

    def columns(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Columns (rows,) by feature, views where possible. Of a tensor that is absent or too narrow there are none."""
        sides = {"input": inputs, "output": outputs}
        flat: dict[tuple[Side, str], Array] = {}
        found: dict[str, Array] = {}
        for slot in self.slots:
            key = (slot.side, slot.tensor)
            if key not in flat:
                tensor = sides[slot.side].get(slot.tensor)
                if tensor is None or not tensor.ndim:
                    continue
                flat[key] = tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))
            rows = flat[key]
            column = slot.column or 0
            if column < rows.shape[1] and (slot.column is not None or rows.shape[1] == 1):
                found[slot.name] = rows[:, column]
        return found


def texts_kind(rows: int, distinct: int) -> Kind:
    """Of texts, from how many there are (without nulls) and how many different ones: free text hardly repeats."""
    return "text" if rows >= FEWEST_TEXTS and 2 * distinct > rows else "categorical"


def _slots(side: Side, tensor: Tensor, width: int, labels: Sequence[object]) -> Iterator[Slot]:
    prefix = OUTPUT_PREFIX if side == "output" else ""
    kind = _kind(side, tensor.datatype)
    if width == 1 and len(tensor.shape) <= 2:
        yield Slot(side, tensor.name, None, f"{prefix}{tensor.name}", kind)
        return
    words = [str(label) for label in labels]
    if side == "input":
        names = words if len(words) == width else [f"{tensor.name}[{column}]" for column in range(width)]
    else:  # labels may look alike, as 1 and "1" do; two columns of one name would be a mistake
        inner = words if len(set(words)) == len(words) == width else [str(column) for column in range(width)]
        names = [f"{prefix}{tensor.name}[{each}]" for each in inner]
    for column, name in enumerate(names):
        yield Slot(side, tensor.name, column, name, kind)


def _width(tensor: Tensor, example: Array | None) -> int | None:
    """Values a row; None where that can't be told."""
    shape = example.shape if example is not None else tensor.shape
    return None if not shape or min(shape[1:], default=0) < 0 else math.prod(shape[1:])


def _kind(side: Side, datatype: str) -> Kind | None:
    if datatype == "BYTES":
        return None
    if datatype == "BOOL":
        return "boolean"
    # Whole numbers that a model gives are labels.
    return "numeric" if side == "input" or datatype.startswith("FP") else "categorical"


def _reason(side: Side, tensor: Tensor, width: int | None) -> str:
    if width is None:
        return f"the {side} {tensor.name!r} of shape {list(tensor.shape)} has no fixed number of values a row"
    return f"the {side} {tensor.name!r} has {width} values a row; more than {MAX_COLUMNS} are not watched one by one"


def _check_names(slots: Sequence[Slot], asked: Collection[str]) -> None:
    many = Counter(slot.name for slot in slots)
    twice = [name for name, count in many.items() if count > 1]
    if twice:
        raise InvalidConfiguration(f"{', '.join(twice)[:500]}: two features have this name; give each its own")
    unknown = sorted(set(asked) - set(many))
    if unknown:
        raise InvalidConfiguration(
            f"{', '.join(unknown)[:500]}: no feature has this name; there are {', '.join(many)[:500]}"
        )


def _with_kind(slot: Slot, wanted: str | None) -> Slot:
    if wanted is None:
        return slot
    for kind in KINDS:
        if kind == wanted:
            return Slot(slot.side, slot.tensor, slot.column, slot.name, kind)  # type: ignore[arg-type] # is one of KINDS
    raise InvalidConfiguration(f"{slot.name!r} can't be of the kind {wanted!r}; it may be {', '.join(KINDS)}")
