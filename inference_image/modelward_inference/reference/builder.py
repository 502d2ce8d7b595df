"""A reference from batches of tensors, in bounded memory: of training data, or of a model's first requests."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from modelward_drift.building.builder import LEVELS, Builder
from modelward_drift.profiles.bins import BINS
from modelward_drift.profiles.profile import Kind, Profile
from modelward_drift.profiles.rare import share_of_bytes
from modelward_drift.profiles.reference import Feature, Reference, Source
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.features import Layout, texts_kind

UNDECIDED: Final[tuple[Kind, ...]] = ("categorical", "text")
"""What a feature without a kind may be: both are built, and the data decide at the end. Neither can be None."""


class ReferenceBuilder:
    """`bins`: of numbers; `levels`: categories with a cell of their own. Raises ProfileError."""

    def __init__(self, layout: Layout, *, bins: int = BINS, levels: int = LEVELS) -> None:
        self._layout = layout
        kinds: list[tuple[Kind, ...]] = [(slot.kind,) if slot.kind else UNDECIDED for slot in layout.slots]
        size = share_of_bytes(sum("categorical" in each for each in kinds))
        self._builders = [
            [Builder(slot.name, kind, bins=bins, levels=levels, rare_bytes=size) for kind in possible]
            for slot, possible in zip(layout.slots, kinds, strict=True)
        ]
        self.rows = 0

    def add(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int) -> None:
        """A batch of `rows`, by tensor. A tensor that is absent is null in all of them."""
        columns = self._layout.columns(inputs, outputs)
        for slot, builders in zip(self._layout.slots, self._builders, strict=True):
            column: Any = columns.get(slot.name)
            values = np.full(rows, None) if column is None else column
            for builder in builders:
                builder.add(values)
        self.rows += rows

    def reference(self, source: Source = "training") -> Reference:
        """Of what was added so far. Raises ProfileError where that is nothing, or there is no feature."""
        return Reference(
            tuple(
                Feature(slot.side, slot.tensor, slot.column, _chosen(builders))
                for slot, builders in zip(self._layout.slots, self._builders, strict=True)
            ),
            source,
        )


def _chosen(builders: list[Builder]) -> Profile:
    if len(builders) == 1:
        return builders[0].profile()
    kind = texts_kind(*builders[0].variety)
    return next(builder for builder in builders if builder.kind == kind).profile()
