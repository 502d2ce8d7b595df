"""A model as the cluster's objects tell of it: its ModelDeployment, the policies that watch it, and its last run.

Statuses are others' to write: what has another shape than ours is left out, and never an error.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

PHASES: Final = ("Failed", "RolledBack", "Pending", "Paused", "Progressing", "Ready")
"""The worst first."""

DRIFTED, NO_DRIFT = "Drifted", "NoDrift"
COMMAND: Final = "modelward.io/rollout"
"""The annotation by which a rollout is told what to do."""

ENDED: Final = ("Promoted", "RolledBack", "Aborted")


@dataclass(frozen=True)
class Feature:
    """`value`, `cut`: as the operator writes them; `outcome`: Drifted, NotSignificant, BelowThreshold, TooFewRows."""

    name: str
    metric: str
    value: str
    cut: str
    outcome: str


@dataclass(frozen=True)
class Drift:
    """What a policy says of a model; `policy` None: what its own monitor does, without a policy.

    `since`: when the policy's condition Drifted became what it is; it speaks of all of its models, so it is None where
    there are several. `start`, `end`: of the last window; `obstacle`: why a run that is wanted does not start.
    """

    model: str
    policy: str | None
    verdict: str
    message: str | None = None
    since: str | None = None
    start: str | None = None
    end: str | None = None
    rows: int | None = None
    drifted: int = 0
    obstacle: str | None = None
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class Run:
    """A RetrainingRun. `made`: the address of its model."""

    name: str
    phase: str
    trigger: str | None
    created: str | None
    message: str | None
    made: str | None


@dataclass(frozen=True)
class Model:
    """`body`: the ModelDeployment."""

    body: Json
    drifts: tuple[Drift, ...] = ()
    run: Run | None = None

    @property
    def name(self) -> str:
        return str(table(self.body, "metadata").get("name"))

    @property
    def namespace(self) -> str:
        return str(table(self.body, "metadata").get("namespace", ""))

    @property
    def status(self) -> Json:
        return table(self.body, "status")

    @property
    def rollout(self) -> Json:
        return table(self.status, "rollout")

    @property
    def phase(self) -> str:
        """The status's word; Pending: nobody has written one yet."""
        return text(self.status, "phase") or "Pending"

    @property
    def conditions(self) -> dict[str, Json]:
        return {str(each.get("type")): each for each in tables(self.status, "conditions")}

    @property
    def is_stalled(self) -> bool:
        return self.conditions.get("Stalled", {}).get("status") == "True"

    @property
    def command(self) -> str | None:
        """What the rollout is told to do, and the operator has not taken up."""
        return text(table(table(self.body, "metadata"), "annotations"), COMMAND)

    @property
    def is_up_to_date(self) -> bool:
        """Whether the status speaks of the spec that there is now, and of every command."""
        generation = table(self.body, "metadata").get("generation")
        return self.status.get("observedGeneration") == generation and self.command is None

    @property
    def waits_for(self) -> str | None:
        """What keeps it from being as spec asks, and what may be done; None: nothing does."""
        if not self.status:
            return "The operator has written no status yet. Does it run, and is this namespace one of its own?"
        if not self.is_up_to_date:
            asked = f"`{self.command}`" if self.command else "the last change of spec"
            return f"The operator has not taken up {asked} yet"
        if self.phase in ("Paused", "Progressing") and (said := text(self.rollout, "message")):
            return said
        for kind, well in (("Stalled", "False"), ("Ready", "True"), ("Reconciling", "False")):
            condition = self.conditions.get(kind, {})
            if condition.get("status") not in (well, None):
                return text(condition, "message")
        return None

    @property
    def drift(self) -> str | None:
        """In a word or two; None: nobody watches it."""
        drifted = [each for each in self.drifts if each.verdict == DRIFTED]
        if drifted:
            return f"{DRIFTED} {max(each.drifted for each in drifted)}"
        words = [each.verdict for each in self.drifts]
        return next((word for word in words if word != NO_DRIFT), NO_DRIFT) if words else None

    @property
    def rank(self) -> tuple[int, bool, bool, str, str]:
        """The worst first, then by name."""
        place = PHASES.index(self.phase) if self.phase in PHASES else 0
        drifts = any(each.verdict == DRIFTED for each in self.drifts)
        failed = self.run is not None and self.run.phase in ("Failed", "RolledBack", "Refused")
        return place, not drifts, not failed, self.namespace, self.name

    @property
    def is_well(self) -> bool:
        """It serves what spec asks for, does not drift, and its last run did not fail."""
        return self.phase == "Ready" and self.rank[1:3] == (True, True)


def drifts_of(policies: Iterable[Json]) -> Iterator[tuple[str, Drift]]:
    """What policies say of their targets, with the namespace of each."""
    for body in policies:
        about, status = table(body, "metadata"), table(body, "status")
        conditions = {each.get("type"): each for each in tables(status, "conditions")}
        condition = conditions.get("Drifted", {})
        several = int(number(table(status, "counts"), "targets") or 0) > 1
        for target in tables(status, "targets"):
            window, features = table(target, "window"), tables(target, "features")
            drifted = target.get("drifted")
            yield (
                str(about.get("namespace", "")),
                Drift(
                    model=str(target.get("name")),
                    policy=str(about.get("name")),
                    verdict=text(target, "verdict") or "Unknown",
                    message=text(target, "message"),
                    since=None if several else text(condition, "lastTransitionTime"),
                    start=text(window, "start"),
                    end=text(window, "end"),
                    rows=number(window, "rows"),
                    drifted=len(drifted) if isinstance(drifted, list) else 0,
                    obstacle=text(target, "obstacle"),
                    features=tuple(_feature(each, "outcome") for each in features),
                ),
            )


def own_drift(body: Json) -> Drift | None:
    """What a model's monitor says by itself; None: it has none."""
    monitor = table(table(body, "status"), "monitor")
    if not monitor:
        return None
    window, condition = table(monitor, "window"), Model(body).conditions.get("Monitored", {})
    drifted = number(window, "drifted") or 0
    verdict = "Pending" if not window else DRIFTED if drifted else NO_DRIFT
    return Drift(
        model=str(table(body, "metadata").get("name")),
        policy=None,
        verdict=verdict,
        message=text(condition, "message"),
        start=text(window, "start"),
        end=text(window, "end"),
        rows=number(window, "rows"),
        drifted=drifted,
        features=tuple(_feature(each, "verdict") for each in tables(monitor, "features")),
    )


def _feature(shown: Json, outcome: str) -> Feature:
    return Feature(*(text(shown, name) or "" for name in ("name", "metric", "value", "cut", outcome)))


def run_of(body: Json) -> Run:
    about, spec, status = table(body, "metadata"), table(body, "spec"), table(body, "status")
    return Run(
        name=str(about.get("name")),
        phase=text(status, "phase") or "Starting",
        trigger=text(spec, "trigger"),
        created=text(about, "creationTimestamp"),
        message=text(status, "message"),
        made=text(table(status, "model"), "uri"),
    )


def models(deployments: Iterable[Json], policies: Iterable[Json], runs: Iterable[Json]) -> list[Model]:
    """The worst first."""
    watched: dict[tuple[str, str], list[Drift]] = {}
    for namespace, drift in drifts_of(policies):
        watched.setdefault((namespace, drift.model), []).append(drift)
    last: dict[tuple[str, str], Run] = {}
    for body in sorted(runs, key=lambda each: str(table(each, "metadata").get("creationTimestamp", ""))):
        target = str(table(table(body, "spec"), "target").get("name"))
        last[str(table(body, "metadata").get("namespace", "")), target] = run_of(body)
    made = []
    for body in deployments:
        key = (str(table(body, "metadata").get("namespace", "")), str(table(body, "metadata").get("name")))
        own = own_drift(body)
        drifts = watched.get(key) or ([own] if own else [])
        made.append(Model(body, tuple(drifts), last.get(key)))
    return sorted(made, key=lambda each: each.rank)


def table(of: object, name: str) -> Json:
    found = of.get(name) if isinstance(of, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def tables(of: Json, name: str) -> Sequence[Json]:
    found = of.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def text(of: Json, name: str) -> str | None:
    found = of.get(name)
    return found if isinstance(found, str) and found else None


def number(of: Json, name: str) -> int | None:
    found = of.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
