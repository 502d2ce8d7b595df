"""What predictions are most likely worth whose outcomes are still to come, by those of their revision known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import ibis
import numpy as np
from ibis.expr.types import Table

from modelward_evaluate.cohorts import positive_of
from modelward_evaluate.spec import Numbers, Spec
from modelward_evaluate.sums import Columns, Group, answered, cell_of, counts, measures, moments_of, with_centres
from modelward_quality import expected_errors, unlabelled
from modelward_quality.estimate import Estimate
from modelward_quality.expected_errors import CELLS, Known
from modelward_quality.statistics import Statistics

MEASURED = ("absolute", "square")


@dataclass(frozen=True)
class ToCome:
    """`rows`: that wait; `metrics`: none where too little is known."""

    revision: str
    arm: str
    rows: int
    metrics: Mapping[str, Estimate]


def estimated(waiting: Table, rows: Table, known: Iterable[Group], spec: Spec) -> Iterator[ToCome]:
    """`waiting`: predictions that have not matured; `rows`: those that have, as `prepared` makes them, and `known`:
    their sums. Nothing for a task of which nobody knows how."""
    positive = positive_of(spec)
    if isinstance(spec.task, Numbers):
        yield from _numbers(waiting, rows)
    elif positive is not None and "score" in waiting.columns:
        yield from _scores(waiting, list(known), positive)


def _sides(waiting: Table) -> list[tuple[str, str]]:
    # Sorted here: for a distinct that is sorted Ibis 12 asks Spark for that of further columns.
    found = waiting.select("revision", "arm").distinct().to_pyarrow().to_pylist()
    return sorted((str(each["revision"]), str(each["arm"])) for each in found)


def _scores(waiting: Table, known: Sequence[Group], positive: str) -> Iterator[ToCome]:
    chosen = (waiting.foretold == positive).ifelse(waiting.weight, 0.0)
    cells = waiting.mutate(cell=cell_of(waiting.score), chosen=chosen)
    said = cells.group_by(["revision", "arm", "cell"]).agg(
        **counts(cells), low=cells.score.min(), high=cells.score.max(), chosen=cells.chosen.sum()
    )
    found = dict(answered(said.order_by("revision", "arm", "cell").to_pyarrow()))
    sides = list(zip(found.pop("revision").to_pylist(), found.pop("arm").to_pylist(), strict=True))
    for revision, arm in dict.fromkeys(sides):
        at = np.array([side == (revision, arm) for side in sides])
        column = {name: each.to_numpy()[at] for name, each in found.items()}
        base = [each.statistics for each in known if each.revision == revision and not each.segment]
        metrics = unlabelled.estimates(reduce(add, base, Statistics()), unlabelled.Waiting(**column), positive)
        yield ToCome(revision, arm, int(column["rows"].sum()), metrics)


def _numbers(waiting: Table, rows: Table) -> Iterator[ToCome]:
    sides = _sides(waiting)
    for revision in dict.fromkeys(revision for revision, _ in sides):
        known = rows.filter(rows.revision == revision)
        quantiles = known.agg(q=known.foretold.quantile([at / CELLS for at in range(1, CELLS)]))
        edges = sorted({*(quantiles.to_pyarrow().to_pylist()[0]["q"] or ())} - {None})
        base = {
            cell: Known(moments_of(of, "absolute"), moments_of(of, "square"))
            for cell, of in _by_cell(known, edges, MEASURED)
        }
        for arm in (arm for of, arm in sides if of == revision):
            own = waiting.filter((waiting.revision == revision) & (waiting.arm == arm))
            cells = {
                cell: expected_errors.Waiting(int(of["rows"][0]), float(of["weight"][0]), float(of["squares"][0]))
                for cell, of in _by_cell(own, edges, ())
            }
            metrics = expected_errors.estimates(base, cells)
            yield ToCome(revision, arm, sum(each.rows for each in cells.values()), metrics)


def _by_cell(rows: Table, edges: Sequence[float], names: Sequence[str]) -> Iterator[tuple[int, Columns]]:
    """The sums of rows by cells of what was foretold, between `edges`."""
    passed = ((rows.foretold > each).cast("int32") for each in edges)
    keyed = rows.mutate(number=reduce(add, passed, ibis.literal(0, "int32")))
    keyed = with_centres(keyed, names, ("number",))
    said = keyed.group_by("number").agg(**counts(keyed), **measures(keyed, names))
    found = {name: column.to_numpy(zero_copy_only=False) for name, column in answered(said.to_pyarrow())}
    for place, number in enumerate(found["number"].tolist()):
        yield int(number), {name: column[place : place + 1] for name, column in found.items()}
