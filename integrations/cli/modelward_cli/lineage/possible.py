"""Which revisions could have answered, where nobody remembers: those that got requests at that time, with their shares.

Shares are known as they are now, and hold since the rollout's step began; of earlier times status tells only who was
stable.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelward_cli import times
from modelward_cli.lineage.origin import CANDIDATE, STABLE, Models, Origin


@dataclass(frozen=True)
class Possible:
    """`share`: percent of the requests, None: not known."""

    revision: str
    share: int | None


def possible(models: Models, model: str, at: float | None) -> list[Possible]:
    """`at`: seconds since the epoch, None: now. The likeliest first; none where nothing is known of that time."""
    found = list(_now(models, model) if at is None else _then(models, model, at))
    return sorted(found, key=lambda each: -1 if each.share is None else -each.share)


def _now(models: Models, model: str) -> Iterator[Possible]:
    for name in models.serving(model):
        origin = models.origin(name)
        if origin is not None and origin.weight:
            yield Possible(name, origin.weight)


def _then(models: Models, model: str, at: float) -> Iterator[Possible]:
    origins = [origin for name in models.known(model) if (origin := models.origin(name)) is not None]
    begun, step = (_time(models.rollout(model).get(name)) for name in ("startedAt", "stepStartedAt"))
    candidate = next((each for each in origins if each.role == CANDIDATE), None)
    since = next((_time(each.since) for each in origins if each.role == STABLE), None)
    settled = max(time for time in (since, step if candidate else None, 0.0) if time is not None)
    if since is not None and at >= settled:
        yield from _now(models, model)
        return
    yield from (Possible(each.revision, None) for each in origins if each.role != CANDIDATE and _was_stable(each, at))
    if candidate is not None and begun is not None and at >= begun:
        yield Possible(candidate.revision, None)


def _was_stable(origin: Origin, at: float) -> bool:
    since, until = _time(origin.since), _time(origin.until)
    known = since is not None or until is not None
    return known and (since is None or since <= at) and (until is None or at <= until)


def _time(text: object) -> float | None:
    try:
        return times.read(text) if isinstance(text, str) else None
    except ValueError:
        return None
