"""A reference from the first rows of live traffic, where the model came without one."""

from modelward_drift.building.builder import Builder
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts, missing, zero
from modelward_drift.profiles.profile import Kind
from modelward_drift.profiles.rare import share_of_bytes
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.features import Slot, texts_kind
from modelward_monitor.counting.arrivals import Table
from modelward_monitor.counting.held import Held


def learned(held: Held) -> Reference:
    """A feature that no row has is left out. Raises ProfileError where there is none at all."""
    size = share_of_bytes(sum(slot.kind in (None, "categorical") for slot in held.layout.slots))
    found = (_feature(slot, size, [each.columns[slot.name] for each in held.tables if slot.name in each.columns])
             for slot in held.layout.slots)  # fmt: skip
    return Reference(tuple(feature for feature in found if feature is not None), source="learned")


def count_table(reference: Reference, table: Table) -> tuple[Counts, ...]:
    """One a feature. What the table lacks is not counted."""
    return tuple(
        count(profile, table.columns[profile.name]) if profile.name in table.columns else zero(profile)
        for profile in reference.profiles
    )


def count_held(reference: Reference, held: Held) -> list[tuple[Counts, ...]]:
    """The held rows, against any reference: features are found by their place, whatever they are called."""
    names = {(slot.side, slot.tensor, slot.column): slot.name for slot in held.layout.slots}
    inputs = {slot.name for slot in held.layout.slots if slot.side == "input"}
    return [
        tuple(
            _count(feature, names.get((feature.side, feature.tensor, feature.column), ""), table, inputs)
            for feature in reference.features
        )
        for table in held.tables
    ]


def _count(feature: Feature, name: str, table: Table, inputs: set[str]) -> Counts:
    if name in table.columns:
        return count(feature.profile, table.columns[name])
    if feature.side == "input" and inputs & table.columns.keys():
        return missing(feature.profile, table.rows)
    return zero(feature.profile)


def _feature(slot: Slot, size: int, chunks: list[Array]) -> Feature | None:
    if not sum(map(len, chunks)):
        return None
    builder = _builder(slot.name, slot.kind or "categorical", size, chunks)
    if slot.kind is None and texts_kind(*builder.variety) == "text":
        builder = _builder(slot.name, "text", size, chunks)
    return Feature(slot.side, slot.tensor, slot.column, builder.profile())


def _builder(name: str, kind: Kind, size: int, chunks: list[Array]) -> Builder:
    builder = Builder(name, kind, rare_bytes=size)
    for chunk in chunks:
        builder.add(chunk)
    return builder
