"""Of what type the columns of a text file are, and why one that looks like numbers is none.

A column is of numbers, truths or points in time if all its values are, and else of texts. Where most values are of one
type and some are not, the first of these is told with its line.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from modelward_inference.reference.numerals import Notation, all_in, chosen, is_almost_number, is_time, notations
from modelward_inference.reference.types import NULLS, TRUTHS, Type, joined, numbers_of, type_of_texts

LONGEST: Final = 40
"""Characters of a value that a line shows."""

_Rows = Iterable[tuple[Sequence[int], Sequence[Sequence[str]]]]
"""Chunks: the lines of the rows, and the columns."""


@dataclass(frozen=True)
class Found:
    """`notation`: of a column of numbers; `note`: what its reader should know, in words."""

    type: Type
    notation: Notation = Notation.PLAIN
    note: str | None = None


@dataclass
class _Look:
    """At a column of texts. `values`: that are no null; `seen`: of them, by type; `odd`: the first that is not of the
    type, with its line; `ambiguous`: the first with a comma that may be for thousands or decimals; `pointed`: the first
    with a point that may be for thousands."""

    notations: frozenset[Notation] = frozenset(Notation)
    values: int = 0
    seen: dict[Type, int] = field(default_factory=lambda: dict.fromkeys((Type.NUMBER, Type.BOOLEAN, Type.TIME), 0))
    odd: dict[Type, tuple[int, str]] = field(default_factory=dict)
    ambiguous: str | None = None
    pointed: str | None = None

    def add_all(self, lines: Sequence[int], column: Sequence[str]) -> None:
        if not self._add_at_once(column):
            for line, text in zip(lines, column, strict=True):
                self.add(line, text)

    def _add_at_once(self, column: Sequence[str]) -> bool:
        """Where all are numbers in the one notation that is left: that is quick, and all that can be learned."""
        if len(self.notations) != 1 or not {Type.BOOLEAN, Type.TIME} <= self.odd.keys():
            return False
        values = [text for text in column if text not in NULLS]
        (notation,) = self.notations
        fits = numbers_of(values) is not None if notation is Notation.PLAIN else all_in(values, notation)
        if fits:
            self.values += len(values)
            self.seen[Type.NUMBER] += len(values)
        return fits

    def add(self, line: int, text: str) -> None:
        if text.strip() in NULLS:
            return
        self.values += 1
        numbers = notations(text)
        self.notations &= numbers or self.notations
        if numbers and Notation.PLAIN not in numbers and len(numbers) > 1:
            self.ambiguous = self.ambiguous or text
        if "." in text and Notation.POINTS in numbers:
            self.pointed = self.pointed or text
        is_number = bool(numbers)
        kinds = {
            Type.NUMBER: is_number,
            Type.BOOLEAN: text.strip() in TRUTHS,
            Type.TIME: not is_number and is_time(text),
        }
        for kind, is_one in kinds.items():
            self.seen[kind] += is_one
            if not is_one:
                self.odd.setdefault(kind, (line, text))
        if not is_number and is_almost_number(text):
            self.seen[Type.NUMBER] += 1

    @property
    def most(self) -> Type | None:
        """The type of at least half of the values."""
        kind = max(self.seen, key=lambda each: self.seen[each])
        return kind if self.values and 2 * self.seen[kind] >= self.values else None


def types_of(
    names: Sequence[str], read: Callable[[], _Rows], forced: Callable[[str], bool], separator: str
) -> dict[str, Found]:
    """By name. `read`: all rows, each time anew; `forced`: columns that are texts, whatever they look like."""
    first = {name: Type.TEXT if forced(name) else Type.UNKNOWN for name in names}
    for _, columns in read():
        for name, column in zip(names, columns, strict=True):
            if first[name] is not Type.TEXT:  # which no value changes any more
                first[name] = joined((first[name], type_of_texts(column)))
    open_ones = [name for name in names if first[name] is Type.TEXT and not forced(name)]
    looks = _looked(names, open_ones, read)
    found = {name: _found(name, looks[name], separator) if name in looks else Found(kind)
             for name, kind in first.items()}  # fmt: skip
    commas = next((name for name, each in found.items() if each.notation is Notation.POINTS), None)
    if commas is not None:
        plain = [name for name in names if first[name] is Type.NUMBER]
        looks = _looked(names, plain, read, lambda look: Notation.POINTS in look.notations)
        found |= _as_the_others(commas, looks)
    return found


def _as_the_others(commas: str, looks: Mapping[str, _Look]) -> dict[str, Found]:
    """Columns whose points can stand before thousands only do so where another column has decimal commas."""
    return {
        name: Found(
            Type.NUMBER,
            Notation.POINTS,
            f"{name!r}: the point in {look.pointed!r} is taken for thousands, since {commas!r} has decimal commas",
        )
        for name, look in looks.items()
        if look.pointed is not None and Notation.POINTS in look.notations
    }


def _looked(
    names: Sequence[str],
    columns: Sequence[str],
    read: Callable[[], _Rows],
    goes_on: Callable[[_Look], bool] = lambda look: look.most is not None,
) -> Mapping[str, _Look]:
    """`goes_on`: whether a column is looked at further after a chunk: what is mostly words is left out early."""
    looks = {name: _Look() for name in columns}
    if not looks:
        return looks
    for lines, chunk in read():
        for name, column in zip(names, chunk, strict=True):
            look = looks.get(name)
            if look is None:
                continue
            look.add_all(lines, column)
            if look.values and not goes_on(look):
                del looks[name]
        if not looks:
            break
    return looks


def _found(name: str, look: _Look, separator: str) -> Found:
    kind = look.most
    if kind is None:
        return Found(Type.TEXT)
    odd = look.odd.get(kind)
    if kind is Type.NUMBER and odd is None:
        notation = chosen(look.notations, separator)
        if notation is not None:
            return Found(kind, notation, _ambiguity(name, look, notation))
        return Found(
            Type.TEXT, note=f"{name!r} is taken as text: some of its numbers have a decimal point, others a comma"
        )
    if odd is None:
        return Found(kind)
    line, text = odd
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return Found(
        Type.TEXT,
        note=f"{name!r} is taken as text for line {line}: {shown!r}; all values have to be {kind} for it to be no text",
    )


def _ambiguity(name: str, look: _Look, notation: Notation) -> str | None:
    if look.ambiguous is None or len(look.notations) < 2:
        return None
    what = "thousands" if notation is Notation.COMMAS else "decimals"
    return f"{name!r}: the commas in {look.ambiguous!r} are taken for {what}; write 1234.5 where they are not"


def notes(found: Mapping[str, Found]) -> Iterator[str]:
    """What is to be told of all columns."""
    yield from (each.note for each in found.values() if each.note)
    points = [name for name, each in found.items() if each.notation is Notation.POINTS]
    if points:
        yield f"{', '.join(points)[:200]}: commas are taken for decimal commas (1.234,5)"
