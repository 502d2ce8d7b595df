"""Which values of a segment are counted by themselves, and which segments in one pass over the rows.

Values are grouped as they are in the log, and named once they are groups: of a million rows some thousand are left.
Several segments with few values are one aggregate by all of them together, whose sums each of them adds up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import ibis
from ibis.expr.types import StringValue, Table, Value

from modelward_evaluate.cohorts import OTHERS, column_of, text_of
from modelward_evaluate.spec import Segment

MOST: Final = 2**15
"""Groups of one aggregate of several segments: with more it is slower than one of each."""


@dataclass(frozen=True)
class Part:
    """A segment of some rows. `names`: of the values that are counted by themselves, None: all; `values`: how many
    there are in the column."""

    segment: Segment
    names: tuple[str, ...] | None
    values: int

    @property
    def column(self) -> str:
        return column_of(self.segment)

    def grouped(self, rows: Table) -> Table:
        """With the column to group by: of rare values it is null, where there are too many."""
        return rows if self.names is None else rows.mutate(**{self.column: self.text(rows)})

    def named(self, value: Value) -> StringValue:
        """A value of that column."""
        return text_of(value) if self.names is None else value

    def valued(self, rows: Table) -> Table:
        """With a column `value`: what each row's is called, OTHERS for the rare ones."""
        return rows.mutate(value=self.text(rows).fill_null(OTHERS))

    def text(self, rows: Table) -> StringValue:
        """Of each row; null of rare values."""
        text = text_of(rows[self.column])
        return text if self.names is None else text.isin(self.names).ifelse(text, ibis.null("string"))


def name_of(text: str | None) -> str:
    return OTHERS if text is None else text


def split(rows: Table, segments: Iterable[Segment]) -> Iterator[Part]:
    """`rows`: of cohorts."""
    for each in segments:
        by_value = rows.group_by(value=rows[column_of(each)]).agg(n=rows.count())
        by_value = by_value.mutate(said=text_of(by_value.value))
        by_text = by_value.group_by("said").agg(n=by_value.n.sum(), values=by_value.count())
        kept = by_text.order_by(ibis.desc("n"), "said").limit(each.values + 1).to_pyarrow().to_pylist()
        if len(kept) > each.values:
            yield Part(each, tuple(one["said"] for one in kept[: each.values]), each.values + 1)
        else:
            yield Part(each, None, sum(one["values"] for one in kept))


def together(parts: Iterable[Part], cells: int) -> Iterator[list[Part]]:
    """Those that are one aggregate. `cells`: what each of its groups is divided into besides."""
    some: list[Part] = []
    groups = cells
    for each in sorted(parts, key=lambda part: part.values):
        if some and groups * each.values > MOST:
            yield some
            some, groups = [], cells
        some.append(each)
        groups *= max(each.values, 1)
    if some:
        yield some
