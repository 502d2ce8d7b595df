"""Earlier stable revisions: which of them keep running, and the record of who was promoted when."""

from modelward.facts import ModelFacts, Observed, Promotion
from modelward.rollouts.strategies import keep_seconds


def last_promoted(observed: Observed, but: ModelFacts | None = None) -> str | None:
    """The revision that became stable last, by the records on Deployments: they survive the loss of all else.

    `but`: not of this model.
    """
    known = [each for each in observed.revisions.values() if but is None or each.model != but]
    promoted = [(each.promoted.number, each.name) for each in known if each.promoted]
    return max(promoted)[1] if promoted else None


def promotion_of(observed: Observed, stable: str) -> Promotion | None:
    """The record of `stable` as the revision that was promoted last; one that spec does not ask for keeps its own."""
    latest, facts = last_promoted(observed), observed.revisions.get(stable)
    if facts is not None and (stable == latest or stable != observed.target):
        return facts.promoted
    record = observed.revisions[latest].promoted if latest else None
    return Promotion(record.number + 1 if record else 1, observed.clock.now)


def kept(observed: Observed, stable: str) -> tuple[tuple[str, ...], float | None]:
    """The earlier stable revisions that keep running, the latest first, and in how many seconds one of them may go."""
    earlier = sorted(
        ((each.promoted.number, name) for name, each in observed.revisions.items() if each.promoted and name != stable),
        reverse=True,
    )
    names = [name for _, name in earlier]
    by_limit = names[: observed.history_limit]
    promotion = promotion_of(observed, stable)
    left = keep_seconds(observed.rollout) - observed.clock.since(promotion.at) if promotion else 0.0
    if not by_limit and names and left > 0:
        return (names[0],), left
    return tuple(by_limit), None
