"""Outcomes as records of a segment. Pure, and without Arrow: the monitor has it where it runs all the time."""

from collections.abc import Sequence
from typing import Final

import orjson

from modelward_inference.protocol.outcomes import Outcome
from modelward_monitor.predictionlog.segments import Raw

COLUMNS: Final = ("request_id", "key", "row", "value", "time", "weight")


def record(name: str, entries: Sequence[Outcome], now: float) -> Raw:
    """Of a request. `name`: its own, and the journal's epoch of a batch, so that after a lost snapshot it is still
    known; `now`: when it arrived, seconds since the epoch."""
    head = {"epoch": name, "number": 1, "rows": len(entries), "arrived": round(now * 1e6)}
    return orjson.dumps(head), orjson.dumps({each: [getattr(entry, each) for entry in entries] for each in COLUMNS})
