"""From the figures of all rounds to a table, the notes below it, and one line of JSON.

Ratios are medians of the ratios within each round: both figures of a ratio were taken under the same conditions.
"""

import json
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.markdown import markdown
from benchmarks.serving.cases import BINARY, GOAL_CLIENTS, GOAL_MODEL, GRPC, JSON, MANY_ROWS, Case
from benchmarks.serving.loads import Figure
from benchmarks.serving.run import MODEL_CALL, Results
from benchmarks.serving.servers import ECHO, KSERVE, MLSERVER, MLSERVER_BATCHING, OURS

HEADER = ("server", "req/s", "spread", "p50", "p99", "memory", "ours / this")
NOTHING = "-"
MAX_NOTE = 200
"""Characters of a reason below the table."""


def ratio(ours: Sequence[Figure], theirs: Sequence[Figure], of: Callable[[Figure], float]) -> float | None:
    """The median over the rounds of ours divided by theirs; None where a figure is void or missing."""
    if not ours or len(ours) != len(theirs) or any(figure.failure for figure in (*ours, *theirs)):
        return None
    return median(of(mine) / of(other) for mine, other in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> float:
    """Half of the distance between the smallest and the largest value, as a part of the median."""
    return (max(values) - min(values)) / 2 / median(values)


def summary(results: Results) -> dict[str, float | None]:
    """The ratios that the goals are about; None where a part could not be measured."""

    def of(value: Callable[[Figure], float], transport: str, rows: int, *others: str) -> list[float | None]:
        case = Case(GOAL_MODEL, transport, rows, GOAL_CLIENTS)
        ours = results.figures.get((case, OURS), ())
        return [ratio(ours, results.figures.get((case, other), ()), value) for other in others]

    mlservers = (MLSERVER, MLSERVER_BATCHING)
    memory = [_quotient(results, OURS, other) for other in mlservers]
    return {
        "rest_1row_vs_mlserver": worst(min, of(_rate, JSON, 1, *mlservers)),
        "rest_1row_vs_kserve": worst(min, of(_rate, JSON, 1, KSERVE)),
        "rest_1row_vs_echo": worst(min, of(_rate, JSON, 1, ECHO)),
        "rest_1000row_vs_mlserver": worst(min, of(_rate, JSON, MANY_ROWS, *mlservers)),
        "rest_1000row_vs_kserve": worst(min, of(_rate, JSON, MANY_ROWS, KSERVE)),
        "binary_1000row_vs_model_call": worst(min, of(_rate, BINARY, MANY_ROWS, MODEL_CALL)),
        "grpc_1row_vs_mlserver": worst(min, of(_rate, GRPC, 1, *mlservers)),
        "p99_vs_mlserver": worst(max, of(_p99, JSON, 1, *mlservers)),
        "memory_vs_mlserver": worst(max, memory),
        "rest_1row_vs_mlserver_unbatched": worst(min, of(_rate, JSON, 1, MLSERVER)),
        "rest_1000row_vs_mlserver_unbatched": worst(min, of(_rate, JSON, MANY_ROWS, MLSERVER)),
        "grpc_1row_vs_mlserver_unbatched": worst(min, of(_rate, GRPC, 1, MLSERVER)),
        "p99_vs_mlserver_unbatched": worst(max, of(_p99, JSON, 1, MLSERVER)),
    }


def worst(of: Callable[[list[float]], float], ratios: Sequence[float | None]) -> float | None:
    """The ratio to the better of a peer's settings, rounded; None where one of them could not be measured."""
    known = [each for each in ratios if each is not None]
    return float(f"{of(known):.3g}") if known and len(known) == len(ratios) else None


def _quotient(results: Results, name: str, other: str) -> float | None:
    mine, theirs = (results.memory.get((GOAL_MODEL, each)) for each in (name, other))
    return mine / theirs if mine and theirs else None


def _rate(figure: Figure) -> float:
    return figure.rate


def _p99(figure: Figure) -> float:
    return figure.p99


def table(results: Results, cases: Sequence[Case]) -> str:
    """A Markdown table for each case, and why figures are missing."""
    parts = []
    for case in cases:
        names = [name for of, name in results.figures if of == case]
        rows = [_row(results, case, name) for name in names]
        parts.append(f"### {case.model}: {case.label}\n\n{markdown(HEADER, rows)}")
        notes = _notes(results, case)
        parts += ["\n".join(f"- {', '.join(names)}: {why}" for why, names in notes.items())] if notes else []
    return "\n\n".join(parts)


def _notes(results: Results, case: Case) -> dict[str, list[str]]:
    """Who is missing or void, by the reason."""
    notes: dict[str, list[str]] = {}
    for (of, name), why in results.absent.items():
        if of == case:
            notes.setdefault(_short(why), []).append(name)
    for (of, name), figures in results.figures.items():
        failed = [figure.failure for figure in figures if figure.failure]
        if of == case and failed:
            notes.setdefault(f"void, {_short(failed[0])}", []).append(name)
    return notes


def _row(results: Results, case: Case, name: str) -> tuple[str, ...]:
    figures = results.figures[case, name]
    memory = results.memory.get((case.model, name))
    shown = f"{memory / 2**20:.0f} MiB" if memory else NOTHING
    if any(figure.failure for figure in figures):
        return (name, "void", NOTHING, NOTHING, NOTHING, shown, NOTHING)
    rates = [figure.rate for figure in figures]
    times = ratio(results.figures.get((case, OURS), ()), figures, _rate)
    return (
        name,
        _number(median(rates)),
        f"± {100 * spread(rates):.0f} %",
        _duration(median(figure.p50 for figure in figures)),
        _duration(median(figure.p99 for figure in figures)),
        shown,
        NOTHING if times is None or name == OURS else f"{times:.2f}",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.1 else 2}f} ms"


def _short(reason: str) -> str:
    """The beginning and the end: what failed, and what the tool said last."""
    text = " ".join(reason.split())
    return text if len(text) <= MAX_NOTE else f"{text[: MAX_NOTE // 2]} … {text[-MAX_NOTE // 2 :]}"


def last_line(results: Results) -> str:
    return json.dumps(summary(results))
