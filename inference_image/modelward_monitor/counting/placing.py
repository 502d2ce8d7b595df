"""Tensors of another shape or name than the reference's: a matrix where it has columns, columns where it has a matrix.

They are taken by the features' names, or by place where the width leaves no doubt. What can't be told is refused: it
would be counted as missing in each row, and so as drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from modelward_drift.profiles.reference import OUTPUT_PREFIX, Side
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.features import Layout, Slot
from modelward_inference.protocol.messages import RequestError
from modelward_monitor.counting.arrivals import Arrival

MOST = 300
"""Characters of names that an error lists."""


def fitted(layout: Layout, arrival: Arrival) -> Arrival:
    """`arrival` with its tensors as the features are found in them. Raises RequestError, with cause and cure.

    Outputs of a server's batch are those that were asked for, by the model's names: they stay as they are.
    """
    batch = arrival.batch
    inputs, outputs = batch.inputs, batch.outputs
    if "input" in arrival.sides:
        inputs = _fitted("input", layout, inputs, batch.rows)
    if arrival.sides == ("output",):
        outputs = _fitted("output", layout, outputs, batch.rows)
    if inputs is batch.inputs and outputs is batch.outputs:
        return arrival
    return replace(arrival, batch=replace(batch, inputs=inputs, outputs=outputs))


def check_widths(layout: Layout, arrival: Arrival) -> None:
    """Of tensors that are known by name, for those who can be told: in a server's batch, whose widths are the model's,
    what is too narrow is missing. Raises RequestError."""
    for slot in layout.slots:
        tensor = (arrival.batch.inputs if slot.side == "input" else arrival.batch.outputs).get(slot.tensor)
        if tensor is None or not tensor.ndim or not len(tensor):
            continue
        width = _width(tensor)
        if (slot.column is None and width != 1) or (slot.column is not None and slot.column >= width):
            same = (each for each in layout.slots if (each.side, each.tensor) == (slot.side, slot.tensor))
            needs = 1 + max(each.column or 0 for each in same)
            raise RequestError(
                f"the tensor {slot.tensor!r} has {width} values a row, but the reference needs {needs} of it; send "
                "what the model takes, or make the reference from data of this model (modelward reference --model)"
            )


def plain_name(slot: Slot) -> str:
    """A feature's name as clients know it."""
    return slot.name.removeprefix(OUTPUT_PREFIX) if slot.side == "output" else slot.name


def _fitted(side: Side, layout: Layout, tensors: Mapping[str, Array], rows: int) -> Mapping[str, Array]:
    slots = [slot for slot in layout.slots if slot.side == side]
    if not slots or not tensors:
        return tensors
    if tensors.keys() & {slot.tensor for slot in slots}:
        return tensors
    named = {slot: tensors[plain_name(slot)] for slot in slots if plain_name(slot) in tensors}
    if named and all(_width(each) == 1 for each in named.values()):
        return _assembled(slots, {slot: each.reshape(-1) for slot, each in named.items()}, rows)
    if len(tensors) == 1:
        (tensor,) = tensors.values()
        placed = _by_place(slots, tensor, rows)
        if placed is not None:
            return placed
    raise RequestError(_unknown(side, slots, tensors))


def _by_place(slots: Sequence[Slot], tensor: Array, rows: int) -> Mapping[str, Array] | None:
    width, names = _width(tensor), {slot.tensor for slot in slots}
    if not tensor.ndim or len(tensor) != rows:
        return None
    if len(names) == 1:  # whatever the other server calls it
        alone = slots[0].column is None
        needs = 1 + max(slot.column or 0 for slot in slots)
        return {slots[0].tensor: tensor} if (width == 1 if alone else width >= needs) else None
    if width != len(slots) or not _whole(slots):
        return None
    flat = tensor.reshape(rows, width)
    return _assembled(slots, {slot: flat[:, place] for place, slot in enumerate(slots)}, rows)


def _whole(slots: Sequence[Slot]) -> bool:
    """Whether no column of a tensor between the features was left out, so that places are what they seem."""
    columns: dict[str, list[int]] = {}
    for slot in slots:
        columns.setdefault(slot.tensor, []).append(slot.column or 0)
    return all(each == list(range(len(each))) for each in columns.values())


def _assembled(slots: Sequence[Slot], columns: Mapping[Slot, Array], rows: int) -> dict[str, Array]:
    """Tensors of columns (rows,); in a matrix null stands where a column is absent."""
    found: dict[str, Array] = {}
    for slot, column in columns.items():
        if slot.column is None:
            found[slot.tensor] = column
            continue
        if slot.tensor not in found:
            width = 1 + max(each.column or 0 for each in slots if each.tensor == slot.tensor)
            found[slot.tensor] = np.full((rows, width), None, object)
        found[slot.tensor][:, slot.column] = column
    return found


def _width(tensor: Array) -> int:
    return prod(tensor.shape[1:])


def _unknown(side: Side, slots: Sequence[Slot], tensors: Mapping[str, Array]) -> str:
    came = ", ".join(f"{name!r} ({_width(each)} a row)" for name, each in tensors.items())[:MOST]
    known = ", ".join(map(plain_name, slots))[:MOST]
    return (
        f"the reference knows none of the {side}s {came}; it has the {len(slots)} {side}s {known}. Send them by "
        f"these names, or as one tensor of {len(slots)} values a row in this order; or make the reference with what "
        "the model takes (modelward reference --model)"
    )
