"""What the page shows: a model's state in one word, the cards in their order, the runs. Pure.

A card is a model with what its policies measure. The order is that of whoever is on call: what answers nobody first,
then what waits for a person, then what goes on, then what is worth less than it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from modelward_cli.fleet.document import VERSION, of_model
from modelward_cli.fleet.quality import Quality, quality_of
from modelward_cli.fleet.read import Fleet
from modelward_cli.fleet.state import DRIFTED, Json, Model, Run, run_of, table, text

STATES: Final[Mapping[str, str]] = {
    "failed": "Failed",
    "rolledback": "Rolled back",
    "aborted": "Aborted",
    "pending": "Pending",
    "paused": "Paused",
    "progressing": "Rolling out",
    "worse": "Worse by outcomes",
    "drifted": "Drifts",
    "runfailed": "Run failed",
    "retraining": "Retraining",
    "ready": "Ready",
}
"""The worst first, with their names for people."""

GOING_ON: Final = ("Starting", "Running", "RollingOut")
"""Phases of a run that has not ended."""

MOST_CARDS: Final = 200
MOST_RUNS: Final = 50
"""Of one page: a browser has to lay them out anew every few seconds."""

_BY_PHASE: Final = {"Pending": "pending", "Paused": "paused", "Progressing": "progressing", "Failed": "failed"}


@dataclass(frozen=True)
class Card:
    """`state`: one of STATES."""

    model: Model
    state: str
    qualities: tuple[Quality, ...]

    @property
    def key(self) -> str:
        return f"{self.model.namespace}/{self.model.name}"


@dataclass(frozen=True)
class PastRun:
    """A RetrainingRun and where it belongs."""

    namespace: str
    target: str
    run: Run
    finished: str | None
    holdout: str | None


@dataclass(frozen=True)
class View:
    """`cards`: those that were asked for; `counts`: of all models, by state, without those that none has; `left_out`:
    how many of the asked-for there are besides; `notes`: what is not known, and why."""

    cards: tuple[Card, ...]
    counts: Mapping[str, int]
    left_out: int
    runs: tuple[PastRun, ...]
    notes: tuple[str, ...]


def state_of(model: Model, qualities: Sequence[Quality]) -> str:
    """One of STATES."""
    if model.phase == "RolledBack":
        return "aborted" if text(model.rollout, "phase") == "Aborted" else "rolledback"
    if model.phase != "Ready":
        return _BY_PHASE.get(model.phase, "failed")
    if any(each.is_worse for each in qualities):
        return "worse"
    if any(each.verdict == DRIFTED for each in model.drifts) and not _retrains(model):
        return "drifted"
    if _retrains(model):
        return "retraining"
    if model.run is not None and model.run.phase in ("Failed", "RolledBack", "Refused"):
        return "runfailed"
    return "ready"


def _retrains(model: Model) -> bool:
    return model.run is not None and model.run.phase in GOING_ON


def view(found: Fleet, wanted: str = "", state: str = "") -> View:
    """`wanted`: a part of the names that are to be shown; `state`: one of STATES, else all."""
    measured: dict[tuple[str, str], list[Quality]] = {}
    for body in found.policies:
        for each in quality_of(body):
            if each.metrics or each.signals or each.problem:
                measured.setdefault((_namespace(body), each.model), []).append(each)
    cards = []
    for model in found.models:
        qualities = tuple(measured.get((model.namespace, model.name), ()))
        cards.append(Card(model, state_of(model, qualities), qualities))
    order = {name: place for place, name in enumerate(STATES)}
    cards.sort(key=lambda card: (order[card.state], *card.model.rank))
    shown = [each for each in cards if wanted in each.key and state in ("", each.state)]
    runs = [_past(body) for body in found.runs]
    runs = sorted((each for each in runs if wanted in f"{each.namespace}/{each.target}"), key=_began, reverse=True)
    return View(
        cards=tuple(shown[:MOST_CARDS]),
        counts={name: many for name in STATES if (many := sum(card.state == name for card in cards))},
        left_out=max(0, len(shown) - MOST_CARDS),
        runs=tuple(runs[:MOST_RUNS]),
        notes=tuple(found.notes),
    )


def _began(run: PastRun) -> str:
    return run.run.created or ""


def _past(body: Json) -> PastRun:
    status = table(body, "status")
    return PastRun(
        namespace=_namespace(body),
        target=str(table(table(body, "spec"), "target").get("name")),
        run=run_of(body),
        finished=text(status, "finishedAt"),
        holdout=text(status, "holdout"),
    )


def _namespace(body: Json) -> str:
    return str(table(body, "metadata").get("namespace", ""))


def document(shown: View, asof: str | None, problem: str | None) -> dict[str, Any]:
    """The same as JSON: models as `status -o json` has them, and their `state` and `quality`."""
    return {
        "schemaVersion": VERSION,
        "asOf": asof,
        "problem": problem,
        "counts": dict(shown.counts),
        "models": [
            {**of_model(card.model), "state": card.state, "quality": [asdict(each) for each in card.qualities]}
            for card in shown.cards
        ],
        "leftOut": shown.left_out,
        "runs": [
            {"namespace": each.namespace, "target": each.target, **asdict(each.run), "finished": each.finished,
             "holdout": each.holdout}
            for each in shown.runs
        ],
        "notes": list(shown.notes),
    }  # fmt: skip
