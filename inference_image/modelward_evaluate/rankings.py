"""The sums of rankings. NDCG and MRR are made of all rows of one ranking, in order: what an engine collects is summed
here, some thousand rankings at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import ibis
from ibis.expr.types import Table, Value

from modelward_evaluate.spec import Ranking
from modelward_quality.moments import Moments, moments
from modelward_quality.ranking import ndcg, reciprocal_rank
from modelward_quality.statistics import Statistics

Record = dict[str, Any]


def summed(rows: Table, task: Ranking, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], Statistics]]:
    """By the keys and what they are. `rows`: of `sums.prepared`, with `value` where that is a key. A ranking as a whole
    is of the day and the value of its first row."""
    place = ibis.struct({"time": rows.time, "row": rows.row, "id": rows.id})
    of_first: dict[str, Value] = {"day": rows.day.min()} if "day" in keys else {}
    if "value" in keys:
        of_first["value"] = rows.value.argmin(place)
    whole = rows.group_by(["side", "group"]).agg(
        **of_first,
        weight=rows.weight.mean(),
        gain=rows.outcome.collect(),
        score=rows.foretold.collect(),
        **({"worth": rows.worth.sum()} if "worth" in rows.columns else {}),
    )
    found: dict[tuple[Any, ...], list[Record]] = {}
    for batch in whole.to_pyarrow_batches(chunk_size=10_000):
        for each in batch.to_pylist():
            made = {
                "weight": each["weight"],
                "ndcg": ndcg(each["gain"], each["score"], task.k),
                "mrr": reciprocal_rank(each["gain"], each["score"]),
                "worth": each.get("worth"),
            }
            found.setdefault(tuple(each[key] for key in keys), []).append(made)
    for key in sorted(found):
        sides = {name: _mean_of(found[key], name) for name in ("ndcg", "mrr", "worth")}
        yield (
            dict(zip(keys, key, strict=True)),
            Statistics(ndcg=sides["ndcg"], mrr=sides["mrr"], worth=sides["worth"] if "worth" in rows.columns else None),
        )


def _mean_of(found: list[Record], name: str) -> Moments:
    known = [each for each in found if each[name] is not None]
    return moments([each[name] for each in known], [each["weight"] for each in known])
