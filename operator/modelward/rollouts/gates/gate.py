"""What a gate is: it takes in what was seen of a candidate, has an opinion on it, and can be stored and taken up again.

A gate is a value: one more observation makes another one of it. Whoever adds a kind writes one file with its gate and
its `Kind`, and one line in registry.py; nothing else knows the gates by name.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from modelward.api.rollout import FAIL, HOLD, Gates
from modelward.facts import Judgement, Observed
from modelward.rollouts.evidence.by_users import ByUsers
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates.query import Reading
from modelward.rollouts.statistics.outcomes import Outcomes

Stored = Mapping[str, Mapping[str, Any]]
"""What status holds of gates, by name; of any version of the operator."""

REFUSALS, PAIRS = "refusals", "pairs"
"""What a look brings only where a gate needs it: what models refused, and whether answers agree."""


@dataclass(frozen=True)
class Observation:
    """What one look brought. `stable`, `candidate`: what each did since the last one; `pairs`: requests that both
    answered, bad where the answers differ; `readings`: answers to queries, by the gate that asked; `users`: what
    pods counted by users, None where traffic does not stick; `own`: what kinds of gates have seen for themselves, by
    the kind's name."""

    stable: Counts = field(default_factory=Counts)
    candidate: Counts = field(default_factory=Counts)
    pairs: Outcomes = field(default_factory=Outcomes)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    users: ByUsers | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What an opinion depends on beside the evidence. `alpha`: the chance of a false rollback that a test may have;
    `final`: promotion comes next; `late`: the step takes longer than it may."""

    gates: Gates
    alpha: float
    final: bool = False
    late: bool = False

    def without_data(self, said: str) -> Judgement:
        """Of a gate that has nothing to judge by."""
        if not self.late or self.gates.on_no_data == HOLD:
            return Judgement(waits_for=said)
        return Judgement(f"{said} after {self.gates.max_duration}" if self.gates.on_no_data == FAIL else None)


class Gate(Protocol):
    """One gate with its evidence.

    `limit`: as spec gives it; evidence of another one is not taken for it. `terms`: all that it is, apart from what it
    has seen. `is_test`: has a part of a rollout's chance of a false rollback. `by_requests`: judges requests of the
    candidate, so that it holds up nobody who gets none. `compared`: how many; `by_pairs`: that the stable answered,
    too. `needs`: some of REFUSALS, PAIRS.
    """

    @property
    def name(self) -> str: ...
    @property
    def limit(self) -> str: ...
    @property
    def terms(self) -> object: ...
    @property
    def is_test(self) -> bool: ...
    @property
    def by_requests(self) -> bool: ...
    @property
    def by_pairs(self) -> bool: ...
    @property
    def compared(self) -> int: ...
    @property
    def needs(self) -> frozenset[str]: ...

    def add(self, seen: Observation) -> Self:
        """The gate after one more look; one that brought nothing of its own leaves it as it is."""
        ...

    def opinion(self, context: Context) -> Judgement:
        """What it says of the candidate now: failed, or what it waits for, or neither."""
        ...

    def dump(self, alpha: float) -> dict[str, Any]:
        """As status holds it: at least `name`, `limit`, `verdict` and `message`; its kind reads the rest again."""
        ...


@dataclass(frozen=True)
class Asking:
    """What a kind may look at by itself. `scraper`: of evidence/scrape.py, which what is pure does not import;
    `memory`: its own between two looks at a candidate; may be lost."""

    scraper: Any
    observed: Observed
    memory: dict[str, Any]


def _none(_: Gates) -> int:
    return 0


@dataclass(frozen=True)
class Kind:
    """One line of the registry.

    `opened`: the gates of this kind that spec asks for, each with the evidence that is stored under its name, where
    its limit is the same and it can be read. `mirror`: percent of the requests that a canary gets a copy of for them.
    `observe`: what a look has to bring for them that it brings for nobody else; raises nothing, since with it the whole
    look would be lost.
    """

    name: str
    opened: Callable[[Gates, Stored], Iterable[Gate]]
    mirror: Callable[[Gates], int] = _none
    observe: Callable[[Asking], Awaitable[object]] | None = None
