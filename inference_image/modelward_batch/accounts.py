"""Receipts of units, and the manifest that ends a run. Pure.

Invariant: a unit's receipt is written when all its rows are in the store, and the manifest when all receipts are there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from modelward_batch.plan import SCHEMA, Plan, Unit


@dataclass(frozen=True)
class Receipt:
    """`rows`: that were read, with those that were `rejected`; `seconds`: that it took; `plan`: its digest."""

    unit: int
    rows: int
    rejected: int
    seconds: float
    plan: str

    @property
    def content(self) -> bytes:
        return json.dumps({"schema": SCHEMA, **asdict(self)}).encode()

    @classmethod
    def parse(cls, content: bytes, plan: Plan, unit: Unit) -> Self | None:
        """None where it is no receipt of this unit of this plan: the unit is then scored again."""
        try:
            raw: dict[str, Any] = json.loads(content)
            found = cls(raw["unit"], raw["rows"], raw["rejected"], raw["seconds"], raw["plan"])
            sound = type(found.rows) is int and type(found.rejected) is int and 0 <= found.rejected <= found.rows
        except (ValueError, TypeError, KeyError):
            return None
        return found if sound and found.plan == plan.digest and found.unit == unit.number else None


@dataclass(frozen=True)
class Sums:
    """Of some units."""

    rows: int = 0
    rejected: int = 0
    units: int = 0

    @classmethod
    def of(cls, receipts: Sequence[Receipt]) -> Self:
        return cls(sum(each.rows for each in receipts), sum(each.rejected for each in receipts), len(receipts))


ROUNDING: Final = 1 + 1e-12
"""7 of 1000 rows are 0.7 %, though as floats 0.007 * 1000 is less than 7."""


def too_many(rejected: int, rows: int, share: float) -> str:
    """In words, why a run fails whose model refused so many of so many rows; empty where it may go on."""
    if not rejected or rejected <= share * rows * ROUNDING:
        return ""
    return (
        f"the model refuses {rejected} of {rows} rows ({rejected / max(rows, 1):.2%}), and maxRejectedShare allows "
        f"{share:.2%}; {REASONS} say which and why. Correct the input, or allow more"
    )


REASONS = "the files in _rejects"


def manifest(
    plan: Plan, receipts: Mapping[int, Receipt], finished: str, drift: Mapping[str, Any] | None = None
) -> bytes:
    """`receipts`: of all units, by number; `finished`: RFC 3339; `drift`: what its pods tell of it, None: it was not
    asked for."""
    sums = Sums.of(list(receipts.values()))
    document: dict[str, Any] = {
        "schema": SCHEMA, "run": plan.run, "model": asdict(plan.model), "keys": plan.keys, "plan": plan.digest,
        "rows": sums.rows, "rejected": sums.rejected, "finished_at": finished,
        "files": [
            {"name": unit.part, "rows": receipts[unit.number].rows - receipts[unit.number].rejected}
            for unit in plan.units
        ],
        "rejects": [
            {"name": unit.rejects, "rows": receipts[unit.number].rejected}
            for unit in plan.units
            if receipts[unit.number].rejected
        ],
    }  # fmt: skip
    if drift is not None:
        document["drift"] = drift
    return json.dumps(document, indent=1).encode()
