"""What outcomes say of a model, as the policies that measure it have it in their statuses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelward_cli.fleet.state import Json, number, table, tables, text
from modelward_cli.layout import table as laid_out
from modelward_cli.layout import wrapped


@dataclass(frozen=True)
class Metric:
    """Numbers as the operator writes them; `reference`: what a fall is measured against."""

    name: str
    value: str
    low: str
    high: str
    reference: str
    rows: str


@dataclass(frozen=True)
class Signal:
    """One rule of the policy. `kind`: quality, fairness, business, concept."""

    kind: str
    name: str
    value: str
    bound: str
    breached: bool
    since: str | None
    message: str | None


@dataclass(frozen=True)
class Quality:
    """What a policy says of a model. `problem`: why nothing is known, or nothing newer."""

    model: str
    policy: str
    revision: str | None
    begin: str | None
    end: str | None
    rows: int | None
    coverage: str | None
    problem: str | None
    metrics: tuple[Metric, ...]
    signals: tuple[Signal, ...]

    @property
    def is_worse(self) -> bool:
        """Than the policy allows."""
        return any(each.breached for each in self.signals)


def qualities(policies: Iterable[Json], name: str) -> list[Quality]:
    """Of a policy's models or of a model, what is too bad first."""
    found = [each for body in policies for each in quality_of(body) if name in (each.policy, each.model)]
    return sorted(found, key=lambda each: (not each.is_worse, each.model, each.policy))


def quality_of(policy: Json) -> list[Quality]:
    """What one policy says of each of its models; nothing where it measures none."""
    if not table(table(policy, "spec"), "quality"):
        return []
    name = str(table(policy, "metadata").get("name"))
    return [_quality(name, each) for each in tables(table(policy, "status"), "targets")]


def _quality(policy: str, target: Json) -> Quality:
    told = table(target, "quality")
    return Quality(
        model=str(target.get("name")),
        policy=policy,
        revision=text(told, "revision"),
        begin=text(told, "begin"),
        end=text(told, "end"),
        rows=number(told, "rows"),
        coverage=text(told, "coverage"),
        problem=text(told, "problem"),
        metrics=tuple(_metric(each) for each in tables(told, "metrics")),
        signals=tuple(_signal(each) for each in tables(target, "signals") if each.get("kind") != "window"),
    )


def _metric(shown: Json) -> Metric:
    rows = number(shown, "rows")
    name, value, low, high, reference = (
        text(shown, each) or "" for each in ("name", "value", "low", "high", "reference")
    )  # fmt: skip
    return Metric(name, value, low, high, reference, "" if rows is None else str(rows))


def _signal(shown: Json) -> Signal:
    kind, name, value, bound = (text(shown, each) or "" for each in ("kind", "name", "value", "bound"))
    message = text(shown, "missing") or text(shown, "message")
    return Signal(kind, name, value, bound, shown.get("breached") is True, text(shown, "since"), message)


def in_full(found: Quality) -> Iterator[str]:
    """For a terminal."""
    state = "worse than allowed" if found.is_worse else "as it should be" if found.metrics else "not known yet"
    yield from wrapped(f"{found.model}  {state}  (by the policy {found.policy})", 0)
    if found.end:
        outcomes = f", outcomes of {found.coverage} of the predictions" if found.coverage else ""
        days = f"{found.rows} rows from {found.begin} to {found.end}{outcomes}, of {found.revision}"
        yield from wrapped(days, 2)
    if found.problem:
        yield from wrapped(found.problem, 2)
    if found.metrics:
        rows = [(each.name, each.value, each.low, each.high, each.reference, each.rows) for each in found.metrics]
        for line in laid_out(("METRIC", "VALUE", "LOW", "HIGH", "BEFORE", "ROWS"), rows, (30, 10, 10, 10, 10, 10)):
            yield f"  {line}"
    for each in found.signals:
        if each.message:
            since = f"since {each.since}: " if each.breached and each.since else ""
            yield from wrapped(f"{'!' if each.breached else '-'} {each.kind} {each.name}: {since}{each.message}", 2)
