"""What is measured: which model, in which form, how many rows, by how many clients at a time."""

from dataclasses import dataclass

JSON, BINARY, GRPC = "json", "binary", "grpc"

GOAL_MODEL = "gradient-boosting"
GOAL_CLIENTS = 16
"""The goals, and so the summary's ratios, are about this model with this many clients at a time."""

MODELS = (GOAL_MODEL, "random-forest", "logistic-regression", "neural-network")
FEATURES = 30
MANY_ROWS = 1000
CLIENTS = (1, GOAL_CLIENTS, 64)
FORMS = ((JSON, 1), (JSON, MANY_ROWS), (BINARY, 1), (BINARY, MANY_ROWS), (GRPC, 1))


@dataclass(frozen=True)
class Case:
    """`transport`: JSON, BINARY or GRPC; `clients`: connections that each have one request on its way."""

    model: str
    transport: str
    rows: int
    clients: int

    @property
    def label(self) -> str:
        return f"{self.transport}, {self.rows} row{'s' if self.rows > 1 else ''}, {self.clients} at a time"


@dataclass(frozen=True)
class Plan:
    """A run: its cases, how often each is measured, and for how many seconds."""

    cases: tuple[Case, ...]
    rounds: int
    seconds: int

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(case.model for case in self.cases))


def short() -> Plan:
    """What the goals are about, in two minutes."""
    return Plan(tuple(Case(GOAL_MODEL, *form, GOAL_CLIENTS) for form in FORMS), rounds=2, seconds=1)


def normal() -> Plan:
    """All models and forms; all numbers of clients for one row in JSON; in a quarter of an hour at most."""
    alone = [Case(GOAL_MODEL, JSON, 1, clients) for clients in CLIENTS if clients != GOAL_CLIENTS]
    goal = [Case(GOAL_MODEL, *form, GOAL_CLIENTS) for form in FORMS]
    others = [Case(model, JSON, rows, GOAL_CLIENTS) for model in MODELS[1:] for rows in (1, MANY_ROWS)]
    return Plan((*alone, *goal, *others), rounds=3, seconds=2)


def full() -> Plan:
    """Every combination; more than an hour."""
    cases = tuple(Case(model, *form, clients) for model in MODELS for form in FORMS for clients in CLIENTS)
    return Plan(cases, rounds=5, seconds=3)
