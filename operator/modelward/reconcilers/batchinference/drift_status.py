"""What a BatchInference's status says of drift: the condition InputDrift, and numbers of one run alone. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from modelward.api.batchinference import BatchInference
from modelward.api.conditions import INPUT_DRIFT, Condition
from modelward.batches.drift import DRIFTED, NO_DRIFT, DriftEntry
from modelward.batches.run import Entry

_VERDICTS: Final = {DRIFTED: True, NO_DRIFT: False}


def last_judged(runs: Sequence[Entry]) -> tuple[Entry, DriftEntry] | None:
    """`runs`: the latest first. A run that failed says nothing of its rows, and hides nothing of those before."""
    return next(((each, each.drift) for each in runs if each.drift is not None), None)


def condition(batch: BatchInference, runs: Sequence[Entry]) -> Condition | None:
    """None where spec asks for none. What nobody could judge is Unknown, and never False."""
    if not batch.spec.drift.judges:
        return None
    found = last_judged(runs)
    if found is None:
        return Condition(INPUT_DRIFT, None, "NoRunYet", "No run that was judged has ended yet")
    entry, drift = found
    told = f"{entry.name}: {drift.message.rstrip('.')}"
    if drift.rules:
        told = f"{told}. By {drift.rules}"
    return Condition(INPUT_DRIFT, _VERDICTS.get(drift.verdict), drift.reason, told)


def shown(runs: Sequence[Entry]) -> Iterator[Entry]:
    """As status has them: the features of the last one that was judged, of the others the verdict."""
    judged = last_judged(runs)
    for each in runs:
        old = each.drift is not None and judged is not None and each is not judged[0]
        drift = msgspec.structs.replace(each.drift, features=[]) if old and each.drift is not None else each.drift
        yield msgspec.structs.replace(each, drift=drift)
