"""`python -m benchmarks.drift.sensitivity`: the smallest change that each metric finds in columns that lump values.

Each column has a part that changes by a factor (or a share of labels that are replaced); a method finds a change where
it alarms in 5 of 5 windows. Ours judges by the default budget (0.05 false alarms in 30 days, 20 features); Evidently's
methods by its defaults, a distance of 0.1, as `modelward_drift.evidently` computes them from the raw values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.markdown import markdown
from localcluster.progress import say
from modelward_drift import evidently
from modelward_drift.arrays import Array
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.budget import Budget
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Rule, decide
from modelward_drift.profiles.profile import Kind

REFERENCE: Final = 50_000
WINDOW: Final = 3600
WINDOWS: Final = 5
QUIET: Final = 20
"""Windows without a change."""

ALPHA: Final = Budget(0.05, 20).alpha

THRESHOLDS: Final = {"psi": 0.2, "js_distance": 0.1, "ks": 0.1, "wasserstein": 0.1}
PEER: Final = 0.1

PEERS: Final[dict[str, Callable[[Any, Any], float]]] = {
    "Evidently psi": evidently.psi,
    "Evidently js": evidently.js,
    "Evidently wasserstein": evidently.wasserstein,
}

FACTORS: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 100.0)
SHARES: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Column:
    """`draw(random, rows, change)`: values; `nothing`: the change that is none; `changes`: from small to large."""

    name: str
    kind: Kind
    draw: Callable[[np.random.Generator, int, float], Array]
    nothing: float
    changes: Sequence[float]


def zeros(share: float) -> Column:
    def draw(random: np.random.Generator, rows: int, factor: float) -> Array:
        return np.where(random.random(rows) < share, 0.0, factor * random.lognormal(5, 1, rows))

    return Column(f"{share:.0%} zeros, the rest x", "numeric", draw, 1.0, FACTORS)


def tail(name: str, draw_all: Callable[[np.random.Generator, int], Array], highest: float) -> Column:
    def draw(random: np.random.Generator, rows: int, factor: float) -> Array:
        values = draw_all(random, rows)
        return np.where(values > highest, factor * values, values)

    return Column(name, "numeric", draw, 1.0, FACTORS)


def labels(name: str, exponent: float) -> Column:
    names = np.array([f"m{number:05d}" for number in range(10_000)], object)
    shares = 1 / np.arange(1, len(names) + 1) ** exponent
    shares /= shares.sum()

    def draw(random: np.random.Generator, rows: int, replaced: float) -> Array:
        drawn = random.choice(names, rows, p=shares)
        return np.where(random.random(rows) < replaced, drawn + "x", drawn)

    return Column(name, "categorical", draw, 0.0, SHARES)


COLUMNS: Final = (
    zeros(0.8),
    zeros(0.92),
    zeros(0.99),
    tail("lognormal(2), all x", lambda random, rows: random.lognormal(0, 2, rows), 0.0),
    tail("lognormal(2), last decile x", lambda random, rows: random.lognormal(0, 2, rows), float(np.exp(2 * 1.2816))),
    tail("Pareto(1.5), last decile x", lambda random, rows: random.pareto(1.5, rows), 10 ** (1 / 1.5) - 1),
    labels("10,000 labels, even, replaced", 0.0),
    labels("10,000 labels, Zipf, replaced", 1.0),
)


def alarms(column: Column, change: float, windows: int, seed: int = 0) -> dict[str, int]:
    """Windows with an alarm, by method."""
    random = np.random.default_rng(seed)
    reference = column.draw(random, REFERENCE, column.nothing)
    profile = profile_of("column", column.kind, reference)
    names = [name for name in THRESHOLDS if profile.grid is not None or name in ("psi", "js_distance")]
    peers = {name: peer for name, peer in PEERS.items() if profile.grid is not None or "wasserstein" not in name}
    found = dict.fromkeys([*names, *peers], 0)
    for _ in range(windows):
        current = column.draw(random, WINDOW, change)
        for each in measure(profile, count(profile, current), names):
            found[each.metric] += decide(each, Rule(THRESHOLDS[each.metric], ALPHA)).drifted
        for name, peer in peers.items():
            before, after = (reference, current) if profile.grid else (reference.tolist(), current.tolist())
            found[name] += peer(before, after) >= PEER
    return found


def smallest(column: Column) -> dict[str, str]:
    """The smallest change that each method finds, `never` where it finds none; `always` where it alarms without one."""
    quiet = alarms(column, column.nothing, QUIET)
    say(f"{column.name}: without a change {quiet}")
    found = {name: "always" if alarmed > QUIET / 10 else "never" for name, alarmed in quiet.items()}
    for change in column.changes:
        if "never" not in found.values():
            break
        for name, alarmed in alarms(column, change, WINDOWS).items():
            if found[name] == "never" and alarmed == WINDOWS:
                found[name] = f"{change:g}" if column.kind == "numeric" else f"{change:.1%}"
    return found


def main() -> None:
    names = [*THRESHOLDS, *PEERS]
    rows = [
        [column.name, *(found.get(name, "") for name in names)] for column in COLUMNS for found in [smallest(column)]
    ]
    print(markdown(["column", *names], rows))


if __name__ == "__main__":
    main()
