"""A state as a file, and back.

    6 bytes   MAGIC
    32 bytes  BLAKE2b of all that follows
    frames    of capture/wire.py: the head alone, then one for each table of held rows

The reference is not in it: it does not change, and lies in the bundle or beside the snapshot.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson

from modelward_drift.counting.counts import Counts
from modelward_drift.counting.reading import Intake
from modelward_drift.errors import DriftError
from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.features import Layout, Slot
from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch, WireError
from modelward_monitor.counting.arrivals import Table
from modelward_monitor.counting.counter import Run, State
from modelward_monitor.counting.held import Held
from modelward_monitor.predictionlog.mark import Mark

VERSION: Final = 1
MAGIC: Final = b"MWMON\n"
_SUM: Final = 32
_PREFIX: Final = wire.LENGTHS.size


class SnapshotError(ValueError):
    """A snapshot that can't be used. The message says why."""


def dump(state: State) -> list[Any]:
    """Pieces for `writelines`."""
    head = {
        "version": VERSION,
        "epoch": state.epoch,
        "sequence": state.sequence,
        "digest": state.digest,
        "counts": [each.to_dict() for each in state.counts],
        "intake": asdict(state.intake),
        "runs": {epoch: asdict(run) for epoch, run in state.runs.items()},
        "logged": state.logged,
        "log": asdict(state.log),
        "outcomes": asdict(state.outcomes),
        "told": state.told,
        "held": {
            "rows": state.held.rows, "size": state.held.size, "slots": list(map(asdict, state.held.layout.slots)),
            "votes": state.held.votes, "turns": state.held.turns,
        },
    }  # fmt: skip
    pieces = wire.frame(head)
    for table in state.held.tables:
        pieces += wire.dump_batch(Batch("", 0, table.rows, table.columns, {}))
    digest = hashlib.blake2b(digest_size=_SUM)
    for piece in pieces:
        digest.update(piece)
    return [MAGIC, digest.digest(), *pieces]


def load(content: bytes, references: Mapping[str, Reference]) -> State:
    """The inverse. `references`: that there are, by digest. Raises SnapshotError."""
    begin = len(MAGIC) + _SUM
    if content[: len(MAGIC)] != MAGIC:
        raise SnapshotError("it is no snapshot")
    if hashlib.blake2b(content[begin:], digest_size=_SUM).digest() != content[len(MAGIC) : begin]:
        raise SnapshotError("it is damaged: its checksum is another")
    try:
        frames = _frames(content[begin:])
        raw = orjson.loads(next(frames)[0])
        if raw["version"] != VERSION:
            raise SnapshotError(f"it has version {raw['version']!r}, this release reads {VERSION}")
        return _state(raw, [wire.load_batch(*each) for each in frames], references)
    except (DriftError, WireError, ValueError, TypeError, LookupError, StopIteration) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"it can't be read: {error}") from error


def _state(raw: Mapping[str, Any], tables: list[Batch], references: Mapping[str, Reference]) -> State:
    digest = raw["digest"]
    if digest is not None and digest not in references:
        raise SnapshotError(f"it counts against the reference {digest}, which is not here any more")
    reference = references[digest] if digest is not None else None
    profiles = reference.profiles if reference else ()
    return State(
        epoch=raw["epoch"],
        sequence=raw["sequence"],
        reference=reference,
        counts=tuple(Counts.from_dict(each, profile) for each, profile in zip(raw["counts"], profiles, strict=True)),
        held=Held(
            Layout(tuple(Slot(**each) for each in raw["held"]["slots"])),
            tuple(Table(each.rows, each.inputs) for each in tables),
            raw["held"]["rows"],
            raw["held"]["size"],
            raw["held"].get("votes", 0),  # earlier releases had none
            raw["held"].get("turns", 0),
        ),
        intake=Intake(**raw["intake"]),
        runs={epoch: Run(**run) for epoch, run in raw["runs"].items()},
        logged=(raw["logged"][0], raw["logged"][1]),
        log=Mark.from_dict(raw["log"]) if "log" in raw else Mark(),  # earlier releases had none
        outcomes=Mark.from_dict(raw["outcomes"]) if "outcomes" in raw else Mark(),
        told=tuple(map(str, raw.get("told", ()))),
        layout=Layout.of_reference(reference) if reference else Layout(()),
    )


def _frames(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(content):
        head, body = wire.lengths(content[position : position + _PREFIX])
        position += _PREFIX
        yield content[position : position + head], content[position + head : position + head + body]
        position += head + body
