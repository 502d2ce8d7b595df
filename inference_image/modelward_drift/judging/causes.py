"""Why a feature drifted, in words: what of its rows moved, the part that moved most first."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers
from modelward_drift.counting.counts import Counts, quality
from modelward_drift.metrics.shares import empty, smoothed
from modelward_drift.profiles.profile import SPECIAL, Profile

PART: Final = 0.1
"""Of a feature's PSI: what adds less is not named."""

BEYOND: Final = 0.01
"""The share of rows beyond the reference's range from which it is named."""

ALL_BEYOND: Final = 0.95
"""The share of numbers above the reference's largest from which a feature looks like one that grows for ever."""

FAR: Final = 0.1
"""By how many of the reference's standard deviations a quantile has to move to be named."""

_QUANTILES: Final = {"median": 0.5, "90 % quantile": 0.9, "10 % quantile": 0.1}

_OTHER, _NON_FINITE, _NULL = range(-len(SPECIAL), 0)


def causes(profile: Profile, counts: Counts) -> tuple[str, ...]:
    """`counts`: of a window, against `profile`. Empty where a side has no rows."""
    reference, current = profile.reference, counts.cells
    if empty(reference, current):
        return ()
    before, now = reference / reference.sum(), current / current.sum()
    added = _added(reference, current)
    whole = max(float(added.sum()), 1e-12)
    beyond = quality(counts).out_of_range / counts.rows
    sentences = [
        (float(added[_NULL]), f"{percent(now[_NULL])} are missing, before {percent(before[_NULL])}"),
        (float(added[_NON_FINITE]), f"{percent(now[_NON_FINITE])} are infinite, before {percent(before[_NON_FINITE])}"),
        (float(added[_OTHER]), _of_other(profile, counts, before[_OTHER], now[_OTHER])),
    ]
    bins = float(added[: profile.bins].sum())
    if profile.bins and (beyond < 0.5 or profile.grid is None):
        sentences += [(bins, each) for each in _moved(profile, current, before, now)]
    if beyond >= BEYOND and profile.grid is not None:
        low, high = f"{profile.grid.low:.6g}", f"{profile.grid.high:.6g}"
        sentences.append((bins, f"{percent(beyond)} are out of range, which was {low} to {high}"))
    told = [each for each in sentences if each[0] >= PART * whole]
    return tuple(sentence for _, sentence in sorted(told, key=lambda each: -each[0]))


def hint(profile: Profile, counts: Counts) -> str | None:
    """What a number is that has left the reference's range as a whole, and what to do; None where it has not."""
    numbers = int(counts.cells[: profile.bins].sum())
    above = int(counts.quality[1])
    if profile.kind != "numeric" or profile.grid is None or not numbers or above < ALL_BEYOND * numbers:
        return None
    return (
        f"{percent(above / numbers)} of the values of {profile.name} lie above the reference's largest, "
        f"{profile.grid.high:.6g}: if it is a running number or a time, which only grows, put it into "
        "spec.features.ignore; if it has another unit now, mend the source"
    )


def explained(sentence: str, causes: tuple[str, ...], hint: str | None = None) -> str:
    """A verdict's `sentence` with the first of its causes, and what to do."""
    said = f"{sentence}: {causes[0]}" if causes else sentence
    return f"{said}. {hint}" if hint else said


def percent(share: float) -> str:
    """As people write it: 0.12 %, 3.4 %, 29 %."""
    points = 100 * float(share)
    if 0 < points < 0.01:
        return "less than 0.01 %"
    if 99.5 <= points < 100:
        return f"{min(points, 99.99):.2f} %"
    return f"{points:.0f} %" if points >= 10 else f"{points:.2g} %"


def _added(reference: Integers, current: Integers) -> Floats:
    """What each cell adds to PSI."""
    p, q = smoothed(reference, current)
    added = np.zeros(len(reference))
    added[(reference > 0) | (current > 0)] = (q - p) * np.log(q / p)
    return added


def _of_other(profile: Profile, counts: Counts, before: float, now: float) -> str:
    seen = quality(counts)
    if not profile.levels or seen.type_errors > seen.new_categories:
        return f"{percent(now)} are of another type, before {percent(before)}"
    rare = f", before {percent(before)} were too rare to be kept" if before else ""
    return f"{percent(now)} are new categories, which the reference does not keep{rare}"


def _moved(profile: Profile, current: Integers, before: Floats, now: Floats) -> Iterator[str]:
    bins = profile.bins
    if profile.grid is not None and current[:bins].any() and profile.reference[:bins].any():
        moved = _of_quantiles(profile, current)
        if moved is not None:
            yield moved
            return
    cell = int(np.argmax(np.abs(now[:bins] - before[:bins])))
    name = profile.cell_names()[cell]
    shown = f"in the bin {name} there are" if profile.grid is not None else f"{name!r} has"
    yield f"{shown} {percent(now[cell])}, before {percent(before[cell])}"


def _of_quantiles(profile: Profile, current: Integers) -> str | None:
    """Of the quantiles that moved far enough the median, if it moved at least half as far as any, else the farthest."""
    grid, bins = profile.grid, profile.bins
    if grid is None:
        return None
    edges = np.array([min(grid.low, *grid.edges[:1]), *grid.edges, max(grid.high, *grid.edges[-1:])], np.float64)
    pairs = {
        name: (_quantile(edges, profile.reference[:bins], at), _quantile(edges, current[:bins], at))
        for name, at in _QUANTILES.items()
    }
    # Divided first: a difference of the largest floats would be infinite.
    far = {name: abs(after / grid.scale - first / grid.scale) for name, (first, after) in pairs.items()}
    most = max(far.values())
    name = next(each for each, distance in far.items() if distance >= (most / 2 if each == "median" else most))
    if far[name] < FAR:
        return None
    what = f"{name} of the lengths" if profile.kind == "text" else name
    return f"the {what} moved from about {pairs[name][0]:.3g} to {pairs[name][1]:.3g}"


def _quantile(edges: Floats, counts: Integers, at: float) -> float:
    """By linear interpolation inside the bins."""
    total = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    # Of bins without rows the interpolation needs none.
    kept = np.concatenate([[True], np.diff(total) > 0])
    first = int(np.argmax(kept[1:]))
    kept[0], kept[first] = first == 0, True
    return float(np.interp(at, total[kept], edges[kept]))
