"""Whose rows they are: what a batch says of the requests behind it, in columns, since many are handled at once.

Pure. A request of many rows may be in several batches, which `firsts` tells; requests are in the order of their rows.
Of requests whose trace is kept, which are few, `traces` says where the monitor's span goes; without any, a batch says
nothing of traces. What can't be read of them is left out: no row is lost because of a trace.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from modelward_inference.protocol.origin import ARMS, DIRECT, MAX_ID, MAX_KEY, UNKNOWN, Asked, arm_of
from modelward_telemetry.context import Context, read

WEIGHT: Final = 300
"""Bytes that one request takes in memory and in a batch, about, besides its names."""

TEXTS: Final = ("ids", "keys", "arms")
COUNTS: Final = ("rows", "firsts")
SECONDS: Final = ("times", "latencies")
COLUMNS: Final = (*TEXTS, *COUNTS, *SECONDS)

TRACES: Final = "traces"


class RequestsError(ValueError):
    """What is no such table. The message says why."""


@dataclass(frozen=True)
class Requests:
    """One entry a request, in each column. `ids`; `keys`: the callers' own, or None; `arms`: see protocol/origin.py;
    `rows`: how many of the batch; `firsts`: number of the first of them in its request; `times`: when the model had
    answered, seconds since the epoch; `latencies`: seconds from when the request was read until then. `traces`: no
    column, but pairs of an entry's index, ascending, and the traceparent of the server's span."""

    ids: Sequence[str] = ()
    keys: Sequence[str | None] = ()
    arms: Sequence[str] = ()
    rows: Sequence[int] = ()
    firsts: Sequence[int] = ()
    times: Sequence[float] = ()
    latencies: Sequence[float] = ()
    traces: Sequence[tuple[int, str]] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ended: Iterable[tuple[Sequence[Asked], float, float]], revision: str, name: Callable[[], str]) -> Self:
        """Of calls of the model, each with its requests and when it ended: seconds since the epoch, and the same on the
        monotonic clock. `name`: makes an id for a request that has none."""
        found = cls([], [], [], [], [], [], [])
        traces: list[tuple[int, str]] = []
        ids, keys, arms, rows, times, latencies = (  # many at a time: no look-up is made twice
            getattr(found, each).append for each in ("ids", "keys", "arms", "rows", "times", "latencies")
        )
        for asked, time, now in ended:
            for origin, count, arrived in asked:
                request_id, key, split, trace = origin or UNKNOWN
                if trace:
                    traces.append((len(found.ids), trace))
                ids((request_id if request_id.isascii() else _clean(request_id))[:MAX_ID] or name())
                keys(key)
                arms(arm_of(split, revision))
                rows(count)
                times(time)
                latencies(now - arrived if now > arrived else 0.0)
        return replace(found, firsts=[0] * len(found.ids), traces=traces)

    def part(self, begin: int, end: int) -> "Requests":
        """Of the rows from `begin` up to `end`."""
        picked, position = [], 0
        for index, count in enumerate(self.rows):
            low, high = max(begin, position), min(end, position + count)
            if low < high:
                picked.append((index, high - low, self.firsts[index] + low - position))
            position += count
        columns = {name: [getattr(self, name)[index] for index, _, _ in picked] for name in COLUMNS}
        columns |= {"rows": [rows for _, rows, _ in picked], "firsts": [first for _, _, first in picked]}
        places = {index: place for place, (index, _, _) in enumerate(picked)} if self.traces else {}
        traces = [(places[index], trace) for index, trace in self.traces if index in places]
        return Requests(**columns, traces=traces)

    @property
    def contexts(self) -> list[tuple[int, Context]]:
        """Entries whose trace is kept, each with the span of the server."""
        found = ((index, read(trace)) for index, trace in self.traces)
        return [(index, context) for index, context in found if context is not None and context.sampled]

    def to_dict(self) -> dict[str, Any]:
        columns = {name: getattr(self, name) for name in COLUMNS}
        return {**columns, TRACES: self.traces} if self.traces else columns

    @classmethod
    def from_dict(cls, raw: Any, rows: int) -> Self:
        """The inverse. `rows`: of the batch. Raises RequestsError."""
        if not isinstance(raw, Mapping) or not all(isinstance(raw.get(name), list) for name in COLUMNS):
            raise RequestsError("its requests are no columns")
        if len({len(raw[name]) for name in COLUMNS}) > 1:
            raise RequestsError("the columns of its requests are not equally long")
        texts = _are(raw["ids"], {str}, 4 * MAX_ID) and _are(raw["keys"], {str, type(None)}, MAX_KEY)
        numbers = all(_within(raw[name], {int}, 2**31) for name in COUNTS)
        moments = all(_within(raw[name], {int, float}, 2**40) for name in SECONDS)
        if not (texts and numbers and moments) or sum(raw["rows"]) != rows:
            raise RequestsError("its requests can't be those of its rows")
        known = _are(raw["arms"], {str}, MAX_ID) and set(raw["arms"]) <= ARMS
        arms = raw["arms"] if known else [arm if type(arm) is str and arm in ARMS else DIRECT for arm in raw["arms"]]
        traces = _traces(raw.get(TRACES), len(raw["ids"]))
        return cls(**{**{name: raw[name] for name in COLUMNS}, "arms": arms}, traces=traces)


def _traces(raw: Any, count: int) -> list[tuple[int, str]]:
    """What can be read of it. `count`: of the requests."""
    found: list[tuple[int, str]] = []
    for each in raw if isinstance(raw, list) else ():
        if not isinstance(each, list) or len(each) != 2:
            continue
        index, trace = each
        later = type(index) is int and (found[-1][0] if found else -1) < index < count
        if later and isinstance(trace, str) and read(trace) is not None:
            found.append((index, trace))
    return found


def _clean(text: str) -> str:
    """Half a surrogate pair, which JSON may have, is no text."""
    return text.encode(errors="replace").decode()


def _are(values: list[Any], kinds: set[type], longest: int) -> bool:
    """Whether all are of these types, and no text is longer. Without a step of Python's for each: there are many."""
    return set(map(type, values)) <= kinds and max(map(len, filter(None, values)), default=0) <= longest


def _within(values: list[Any], kinds: set[type], end: float) -> bool:
    return set(map(type, values)) <= kinds and min(values, default=0) >= 0 and max(values, default=0) < end
