"""What an attack is: a promise, a victim, and the same attempt in many spellings.

Invariant: an attempt is judged by an effect that can be seen (a file, bytes, memory, requests that arrived), never by
the words of a refusal. An attempt that breaks down of itself has not been tried: it raises.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Run = Callable[[Any, Any], str]
"""Victim and sibling -> the harm that was done, '' where there was none."""

Victim = Callable[[Path], AbstractContextManager[Any]]


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """The victim is what runs in this folder; a new one for each attempt is the attack's own business."""
    yield path


@dataclass(frozen=True)
class Attack:
    """`needs`: what an attack needs that is not here, with which it is shown and not tried."""

    name: str
    promise: str
    victim: Victim
    siblings: Mapping[str, Any]
    run: Run
    needs: str = ""


@dataclass(frozen=True)
class Outcome:
    """Of one attempt. `harm` is '' where it was harmless."""

    attack: Attack
    sibling: str
    harm: str


ATTACKS: Final[dict[str, Attack]] = {}


def attack(promise: str, siblings: Mapping[str, Any], victim: Victim = folder) -> Callable[[Run], Run]:
    """Make a function one of the attacks; its name, with blanks, is the attack's."""

    def added(run: Run) -> Run:
        name = run.__name__.replace("_", " ")
        ATTACKS[name] = Attack(name, promise, victim, siblings, run)
        return run

    return added


def not_tried(name: str, promise: str, needs: str) -> None:
    """Name an attack that can't be tried here."""

    def never(*_: Any) -> str:
        raise AssertionError(f"{name} needs {needs}")

    ATTACKS[name] = Attack(name, promise, folder, {}, never, needs)


def tried(one: Attack, most: int | None = None, on: Any = None) -> Iterator[Outcome]:
    """Run an attack; `most`: siblings, the first of them; `on`: a victim that is there, else one is made for it."""
    names = list(one.siblings)[:most]
    with (
        tempfile.TemporaryDirectory(prefix="mwattack") as made,
        one.victim(Path(made)) if on is None else nullcontext(on) as victim,
    ):
        for sibling in names:
            yield Outcome(one, sibling, one.run(victim, one.siblings[sibling]))
