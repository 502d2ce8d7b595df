"""What the monitor knows, and how it changes with what arrives: values and pure functions.

Invariant: every row that arrived is in exactly one of `intake.counted`, `intake.refused` and `held.rows`; a batch that
comes twice changes nothing. The shell (monitor.py) decides when a state goes to the disk, and shows none before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from modelward_drift.counting.counts import Counts, zero
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.arrays import tensor_of
from modelward_inference.artifact.bundle import Signature
from modelward_inference.artifact.features import Layout
from modelward_inference.capture.wire import Batch
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.messages import RequestError
from modelward_monitor.counting import learning
from modelward_monitor.counting.arrivals import SIDES, Arrival, joined, tabulate
from modelward_monitor.counting.held import FEWEST, MAX_BYTES, MOST_COLUMNS, Held
from modelward_monitor.counting.placing import fitted
from modelward_monitor.predictionlog.mark import Mark

MAX_RUNS: Final = 16
"""Runs of the server whose last number is remembered. A run that ended sends nothing again."""


@dataclass(frozen=True)
class Plan:
    """What is counted while there is no reference. `signature`: of the model, None where it is unknown; `classes`: of a
    classifier; `problem`: why nothing may be counted, and no other reference taken; `observed`: rows tell what
    its tensors are, where no signature does: most of the first ones."""

    signature: Signature | None = None
    classes: tuple[object, ...] = ()
    learn_rows: int = 5000
    problem: str | None = None
    observed: bool = False


@dataclass(frozen=True)
class Run:
    """Of the server: what the last of its batches said."""

    number: int = 0
    dropped: int = 0
    sampled_out: int = 0


@dataclass(frozen=True)
class State:
    """`counts`: in the order of the reference's features; `held`: empty once there is one; `runs`: the last one that
    sent something last; `logged`: rows of request and of response events; `log`: how far the prediction log is;
    `outcomes`: how far outcomes are, `told`: names of the last requests that told some."""

    epoch: str
    sequence: int = 0
    reference: Reference | None = None
    counts: tuple[Counts, ...] = ()
    held: Held = field(default_factory=Held)
    intake: Intake = field(default_factory=Intake)
    runs: Mapping[str, Run] = field(default_factory=dict)
    logged: tuple[int, int] = (0, 0)
    layout: Layout = field(default_factory=lambda: Layout(()))
    log: Mark = field(default_factory=Mark)
    outcomes: Mark = field(default_factory=Mark)
    told: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        return self.reference.digest if self.reference else None


def begin(epoch: str, reference: Reference | None = None, lost: int = 0) -> State:
    """Nothing counted yet. `lost`: rows of earlier epochs that are gone."""
    return with_reference(State(epoch, intake=Intake(lost=lost)), reference)


def with_reference(state: State, reference: Reference | None) -> State:
    """From now on rows are counted against `reference`; what was held is counted first."""
    if reference is None:
        return state
    counts = _sum(tuple(map(zero, reference.profiles)), learning.count_held(reference, state.held))
    return replace(
        state,
        sequence=state.sequence + 1,
        reference=reference,
        counts=counts,
        layout=Layout.of_reference(reference),
        intake=replace(state.intake, counted=state.intake.counted + state.held.rows),
        held=Held(),
    )


def switched(state: State, epoch: str, reference: Reference) -> State:
    """A reference that was learned gives way to the one that all pods of the model are given. What was counted against
    it can't be counted anew: it is lost."""
    begun = begin(epoch, reference, state.intake.lost + state.intake.counted)
    intake = replace(
        begun.intake, sampled_out=state.intake.sampled_out, dropped=state.intake.dropped, refused=state.intake.refused
    )
    return replace(
        begun, intake=intake, runs=state.runs, logged=state.logged, log=state.log, outcomes=state.outcomes,
        told=state.told,
    )  # fmt: skip


def take(state: State, arrivals: Iterable[Arrival], plan: Plan) -> State:
    """The state after more arrivals, in their order."""
    before, rows = state, []
    for arrival in arrivals:
        known = state.runs.get(arrival.batch.epoch, Run())
        if arrival.batch.number and arrival.batch.number <= known.number:
            continue
        state = _noted(state, arrival.batch, known)
        if arrival.batch.rows:  # a batch may only tell what was dropped
            rows.append(arrival)
    return replace(_counted(state, rows, plan), sequence=before.sequence + 1) if rows or state is not before else state


def reading(state: State, pod: str, *, final: bool) -> Reading:
    """What the operator is shown of a state that has a reference."""
    if state.reference is None:
        raise ValueError("there is nothing to show while there is no reference")
    return Reading(pod, state.epoch, state.sequence, state.reference.digest, state.counts, state.intake, final)


def _noted(state: State, batch: Batch, known: Run) -> State:
    if not batch.number:
        return state
    run = Run(batch.number, max(batch.dropped, known.dropped), max(batch.sampled_out, known.sampled_out))
    others = [(epoch, each) for epoch, each in state.runs.items() if epoch != batch.epoch]
    intake = replace(
        state.intake,
        dropped=state.intake.dropped + run.dropped - known.dropped,
        sampled_out=state.intake.sampled_out + run.sampled_out - known.sampled_out,
    )
    return replace(state, intake=intake, runs=dict([*others[-(MAX_RUNS - 1) :], (batch.epoch, run)]))


def _counted(state: State, arrivals: list[Arrival], plan: Plan) -> State:
    tables = []
    for arrival in arrivals:
        if state.reference is None:
            state = _learned(state, arrival, plan)
            continue
        fitting = _fitting(state.layout, arrival)
        if fitting is None:
            state = _refuse(state, arrival)
        else:
            state, rows = _longer(state, arrival)
            state = replace(state, intake=replace(state.intake, counted=state.intake.counted + rows))
            tables.append(tabulate(state.layout, fitting))
    if state.reference is None or not tables:
        return state
    counts = [learning.count_table(state.reference, each) for each in joined(tables)]
    return replace(state, counts=_sum(state.counts, counts))


def _learned(state: State, arrival: Arrival, plan: Plan) -> State:
    signature = plan.signature or (_observed(arrival) if plan.observed else None)
    if arrival.refused or plan.problem or signature is None:
        return _refuse(state, arrival)
    held = state.held
    if plan.signature is None:
        form = _layout(plan, signature, arrival)
        if not 0 < len(form.slots) <= MOST_COLUMNS:
            return _refuse(state, arrival)
        held = held.voted(form, arrival.batch.rows)
        state = _given_up(state, held)
    elif not held.layout.slots:
        held = replace(held, layout=_layout(plan, signature, arrival))
        if not held.layout.slots:
            return _refuse(state, arrival)
    fitting = _fitting(held.layout, arrival)
    if fitting is None:
        return _refuse(state, arrival)
    table = tabulate(held.layout, fitting)
    if held.size + table.size > MAX_BYTES:
        if held.rows < FEWEST:
            return _refuse(state, arrival)
        # Rows are large: the reference is made from those that there are, and counts this one.
        return _counted(with_reference(state, learning.learned(held)), [arrival], plan)
    state, rows = _longer(state, arrival)
    held = held.add(table, rows)
    state = replace(state, held=held)
    return with_reference(state, learning.learned(held)) if held.rows >= plan.learn_rows else state


def _given_up(state: State, held: Held) -> State:
    """The state with what is held now: rows that are not any more were of no form that the model has."""
    gone = state.held.rows - held.rows
    return replace(state, held=held, intake=replace(state.intake, refused=state.intake.refused + gone))


def _fitting(layout: Layout, arrival: Arrival) -> Arrival | None:
    """None: it can't be read, or it can't be told what its tensors are."""
    try:
        return None if arrival.refused else fitted(layout, arrival)
    except RequestError:
        return None


def _observed(arrival: Arrival) -> Signature | None:
    """The tensors of a batch that has both sides. None: it has not, or is of no type that is known."""
    batch = arrival.batch
    if not batch.inputs or not batch.outputs:
        return None
    try:
        inputs, outputs = (
            tuple(tensor_of(name, array) for name, array in side.items()) for side in (batch.inputs, batch.outputs)
        )
    except LookupError:
        return None
    return Signature(inputs, outputs)


def _layout(plan: Plan, signature: Signature, arrival: Arrival) -> Layout:
    """The first batch tells the sizes that the signature leaves open. Empty where there is nothing to watch."""
    batch = arrival.batch
    try:
        return Layout.of_signature(signature, classes=plan.classes, inputs=batch.inputs, outputs=batch.outputs)
    except InvalidConfiguration:  # two features of one name
        return Layout(())


def _longer(state: State, arrival: Arrival) -> tuple[State, int]:
    """The state, and rows that are new by this arrival: events speak of the same rows twice, when they are asked and
    when they are answered, and where only one of both is logged it has to do."""
    rows = arrival.batch.rows
    if arrival.sides == SIDES:
        return state, rows
    requests, responses = state.logged
    logged = (requests + rows, responses) if "input" in arrival.sides else (requests, responses + rows)
    return replace(state, logged=logged), max(logged) - max(state.logged)


def _refuse(state: State, arrival: Arrival) -> State:
    return replace(state, intake=replace(state.intake, refused=state.intake.refused + arrival.batch.rows))


def _sum(counts: tuple[Counts, ...], more: Iterable[tuple[Counts, ...]]) -> tuple[Counts, ...]:
    for each in more:
        counts = tuple(one + other for one, other in zip(counts, each, strict=True))
    return counts
