"""The operator's keys over time: which one signs, which ones pods are to know, and when the next one comes.

A key is known to pods for a while before it signs, since the kubelet takes a minute or two to bring it. Whoever wants
all of them gone at once deletes the Secret: pods then refuse the old ones as soon as they have the new one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from modelward_auth.keys import KeyPair, shown

ROTATE_AFTER: Final = 30 * 86_400.0
"""Seconds after which a key gets a successor."""

KNOWN_BEFORE: Final = 3600.0
"""Seconds that pods know a key before it signs: longer than two resyncs, which bring it to models that rest."""


@dataclass(frozen=True)
class Held:
    """`made`: seconds since the epoch."""

    pair: KeyPair
    made: float


@dataclass(frozen=True)
class Ring:
    """Keys in the order in which they were made."""

    held: tuple[Held, ...] = ()

    def signing(self, now: float) -> KeyPair | None:
        """The newest that pods have known for long enough, else the oldest."""
        old = [each.pair for each in self.held if now - each.made >= KNOWN_BEFORE]
        return old[-1] if old else self.held[0].pair if self.held else None

    def public(self) -> tuple[str, ...]:
        """What pods are to know."""
        return tuple(shown(each.pair.public) for each in self.held)


def advanced(ring: Ring, now: float, new: Callable[[], KeyPair]) -> Ring:
    """The ring as it should be now; the same one where nothing is due."""
    held = ring.held
    # A clock that was wrong may have made keys in the future: nobody would ever wait for these to grow old.
    if not held or any(each.made > now + KNOWN_BEFORE for each in held):
        return Ring((Held(new(), now),))
    signing = ring.signing(now)
    first = next(index for index, each in enumerate(held) if each.pair is signing)
    kept = held[first:]
    if now - kept[-1].made >= ROTATE_AFTER:
        kept = (*kept, Held(new(), now))
    return ring if kept == held else Ring(kept)


def dump(ring: Ring) -> str:
    """As the Secret holds it."""
    return json.dumps([{"secret": f"{each.pair.secret:x}", "made": each.made} for each in ring.held])


def load(text: str, known: Sequence[Held] = ()) -> Ring:
    """The inverse of `dump`. `known`: keys that need not be computed again. Raises ValueError for another text."""
    try:
        found = [(int(str(each["secret"]), 16), float(each["made"])) for each in json.loads(text)]
    except (TypeError, KeyError) as error:
        raise ValueError(f"this is no ring of keys: {type(error).__name__}") from None
    pairs = {each.pair.secret: each.pair for each in known}
    held = [Held(pairs.get(secret) or KeyPair.of(secret), made) for secret, made in found]
    return Ring(tuple(sorted(held, key=lambda each: each.made)))
