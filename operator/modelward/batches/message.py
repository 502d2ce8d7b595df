"""What a pod of a run says at its end: the last line of its termination message. Pure, and believed in nothing but
counts within bounds."""

from typing import Annotated, Final

import msgspec

from modelward.net.untrusted import quoted
from modelward.values.stored import Stored, known_text

LONGEST: Final = 400
"""Characters of a problem that are told."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Told(Stored):
    """`units`: parts of the input that were this pod's; `complete`: everything is written, the manifest too;
    `problem`: why it can't be, in a sentence; `drift`: JSON, what came of that, of the run as a whole (drift.py)."""

    rows: Count = 0
    rejected: Count = 0
    units: Count = 0
    seconds: float = 0.0
    complete: bool = False
    problem: str = ""
    drift: msgspec.Raw = msgspec.Raw(b"")


def told(message: str) -> Told | None:
    """None: it is none of ours, as of a pod that was killed."""
    lines = message.strip().splitlines()
    try:
        found = known_text(Told, lines[-1]) if lines else None
    except ValueError:
        return None
    return None if found is None else msgspec.structs.replace(found, problem=quoted(found.problem, LONGEST))
