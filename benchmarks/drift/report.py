"""What was measured, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from math import isinf

from benchmarks.drift.changes import Outcome, Series
from benchmarks.drift.delays import Delays
from benchmarks.drift.false_alarms import PER_30_DAYS, Result, Setting
from benchmarks.drift.pooling import FEATURES, PODS, Pooling
from benchmarks.drift.updates import Update
from benchmarks.markdown import markdown


def tables(
    updated: Sequence[Update],
    pooled: Pooling,
    simulated: Mapping[Setting, Result],
    delayed: Sequence[Sequence[Delays]],
    equal: float,
    changed: Mapping[Series, Sequence[Outcome]],
) -> str:
    """All of them, each under its title."""
    parts = {
        "Counting a table against a reference, seconds": _updates(updated),
        f"A look at {PODS} pods with {FEATURES} features": _pooling(pooled),
        f"30 days without drift, budget {PER_30_DAYS:g} false alarms": _false_alarms(simulated),
        f"Windows until a shift is found: median (mean), share of runs; cut of equal rate {equal:.3f}": _delays(
            delayed
        ),
        "Annotated changes: false alarms in windows before, delay after": _changes(changed),
    }
    return "\n\n".join(f"#### {title}\n\n{table}" for title, table in parts.items() if table)


def _updates(updated: Iterable[Update]) -> str:
    header = ["values", "reference", "ours", "one pass", "Evidently", "NannyML", "Evidently / ours", "NannyML / ours",
              "ours / one pass"]  # fmt: skip
    rows = [
        [
            f"{each.shape.rows:,} x {each.shape.features}", f"{each.shape.reference:,}", f"{each.ours:.3f}",
            f"{each.memory_pass:.3f}", _figure(each.evidently), _figure(each.nannyml),
            _ratio(each.evidently, each.ours), _ratio(each.nannyml, each.ours), _ratio(each.ours, each.memory_pass),
        ]
        for each in updated
    ]  # fmt: skip
    return markdown(header, rows)


def _pooling(pooled: Pooling) -> str:
    header = ["JSON", "CPU a look", "of it json.loads", "look / json.loads"]
    row = [f"{pooled.size / 1e6:.1f} MB", f"{pooled.seconds:.3f} s", f"{pooled.json:.3f} s"]
    return markdown(header, [[*row, _ratio(pooled.seconds, pooled.json)]])


def _false_alarms(simulated: Mapping[Setting, Result]) -> str:
    header = [
        "rows",
        "features",
        "runs",
        "false alarms a run",
        "runs with any",
        "95 % interval",
        "checked, all the same",
    ]
    rows = []
    for setting, each in simulated.items():
        low, high = each.interval
        rows.append(
            [
                setting.name, f"{setting.features}", f"{each.runs:,}", f"{each.alarms / each.runs:.4f}",
                f"{each.rate:.4f}", f"{low:.4f} to {high:.4f}", f"{each.checked:,}",
            ]
        )  # fmt: skip
    return markdown(header, rows)


def _delays(delayed: Sequence[Sequence[Delays]]) -> str:
    header = ["shift in sigma", *(each.method for each in delayed[0])]
    return markdown(header, [[f"{row[0].shift:g}", *map(_delay, row)] for row in delayed])


def _delay(each: Delays) -> str:
    if not each.share:
        return "never"
    middle = "> 720" if isinf(each.median) else f"{each.median:g}"
    return f"{middle} ({each.mean:.1f}), {each.share:.0%}"


def _changes(changed: Mapping[Series, Sequence[Outcome]]) -> str:
    if not changed:
        return ""
    header = ["series", "reference", "window", *(each.method for each in next(iter(changed.values())))]
    rows = [
        [series.name, f"{series.reference} rows", f"{series.window} rows", *map(_outcome, outcomes)]
        for series, outcomes in changed.items()
    ]
    return markdown(header, rows)


def _outcome(each: Outcome) -> str:
    return f"{each.early} of {each.quiet}; {'never' if each.delay is None else each.delay}"


def _figure(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _ratio(this: float | None, that: float) -> str:
    return "-" if this is None else f"{this / that:.1f}"
