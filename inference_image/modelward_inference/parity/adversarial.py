"""Rows that training never held, made from a fitted model's own structure: the compiled form has to agree there, too.

Golden rows show that two forms agree on ordinary rows. Forms differ on the others: missing values alone and together,
infinities, categories that an encoder never saw, words that a tokenizer cuts elsewhere, numbers beside a threshold.
Each row is one change, or several, of a row that the original takes. A refusal is an answer like any other: where the
original raises, the compiled form has to raise, or the server refuses for it (`Refusal`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Refusal
from modelward_inference.engine.refusals import FOUND
from modelward_inference.parity import golden, points, stages, undecided
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators import columns, thresholds

Rows = Mapping[str, Array]
Answer = dict[str, Array] | None
"""Of one row; None where it was refused."""

MISSING, INFINITE, LARGE, UNKNOWN, OTHER = "missing", "infinite", "large", "unknown", ""

GAPS = 48
"""Rows with several gaps at once: conversions of imputers were seen to be wrong in every tenth of them."""

BASES = 8
"""Rows that are changed: what shows in one may not in another, which is on the other side of a split."""

SINGLE = 500
"""Columns times rows that are changed one by one."""

BESIDE = 64
"""Rows on and beside the thresholds of trees."""

DECISIVE = 256
"""Rows at and beside the numbers where encoders and bins decide."""

MAX_COLUMNS = 1000
"""Columns that are changed one by one; of a wider table as many, evenly spaced."""

UNKNOWN_TEXT = "modelward: never seen"
UNKNOWN_NUMBER = 2**31 - 2

LARGE_NUMBER = 1e39
"""Beyond single precision, in which many trees compare: infinite there, and refused."""

ODD_TEXTS = (
    "",
    " ",
    "a",
    "É",
    "x-y",
    "don't",
    "_a b_",
    "007",
    "A B C",
    "ﬁ",
    "a\tb\nc",
    "\u00a0",
    "\x0b",
    "\u2003",
    "日本語",
    "İstanbul",
    "x" * 300,
)
"""Texts at which tokenizers and normalisers part ways."""

_SEED = 20_240_315


@dataclass(frozen=True)
class Change:
    """What was changed in a row. `column`: of a tensor with several, flattened."""

    kind: str
    tensor: str = ""
    column: int = 0


@dataclass(frozen=True)
class Probes:
    """Rows, what was changed in each, the original's answers, and what it refuses whatever else stands in a row."""

    rows: Rows
    changes: tuple[Change, ...]
    answers: tuple[Answer, ...]
    refusals: tuple[Refusal, ...]

    def difference(self, model: Model, tolerance: golden.Tolerance) -> str:
        """Where another form answers otherwise, in words; empty where it does not."""
        open_rows = [
            index
            for index, change in enumerate(self.changes)
            if not (self.answers[index] is None and self._guarded(index))
            and not (self.answers[index] is not None and change.kind == LARGE)  # only whether it is refused matters
        ]
        found = ask(model, _at(self.rows, open_rows))
        places: list[int] = []
        wanted_rows: list[dict[str, Array]] = []
        got_rows: list[dict[str, Array]] = []
        for index, got in zip(open_rows, found, strict=True):
            wanted = self.answers[index]
            if (wanted is None) != (got is None):
                words = "answers, the original refuses it" if wanted is None else "is refused, the original answers it"
                return f"a row that {self._words(index)} {words}"
            if wanted is not None and got is not None:
                places.append(index)
                wanted_rows.append(wanted)
                got_rows.append(got)
        if not places:
            return ""
        # Together, so that what is usual in a column is known, and how many rows are ties.
        differs = golden.difference(_together(wanted_rows), _together(got_rows), tolerance)
        if differs is None:
            return ""
        return f"a row that {self._words(places[differs.row])} has another answer: {replace(differs, row=0)}"

    def _guarded(self, index: int) -> bool:
        """Whether the server refuses the row before the model sees it."""
        for refusal in self.refusals:
            flat = self.rows[refusal.tensor][index : index + 1].reshape(-1)
            if refusal.kind == UNKNOWN:
                if flat[0] is not None and flat[0] not in refusal.known:
                    return True
            elif flat.dtype.kind == "O":
                if flat[0] is None:
                    return True
            elif FOUND[refusal.kind](flat[list(refusal.columns)]).any():
                return True
        return False

    def _words(self, index: int) -> str:
        change = self.changes[index]
        where = f"{change.tensor!r}, column {change.column}" if change.tensor else "several columns"
        names = {
            MISSING: "lacks a value", INFINITE: "holds an infinite number", LARGE: "holds a very large number",
            UNKNOWN: "holds an unknown category",
        }  # fmt: skip
        return f"{names.get(change.kind, 'is unusual')} ({where})"


def make(model: Model, rows: GoldenRows) -> Probes | None:
    """Rows with the model's own answers; None where there is nothing to make them from. Raises only MemoryError."""
    estimator = getattr(model, "estimator", None) or getattr(model, "booster", None)
    inputs = {name: rows.inputs[name] for name in (tensor.name for tensor in model.signature.inputs)}
    bases = _bases(rows)
    if estimator is None or not bases:
        return None
    few = bases[: max(1, SINGLE // max(1, sum(map(_width, inputs.values()))))]
    made = [each for base in few for each in _single(inputs, base)]
    made += [each for base in bases for each in _uniform(inputs, base)]
    made += [*_texts(estimator, inputs, bases[0]), *_gaps(inputs), *_beside(estimator, inputs)]
    made += [*_decisive(estimator, inputs, bases[0]), *_inner(estimator, inputs)]
    made += [(Change(OTHER), row) for row in undecided.make(model, rows, _has_words(estimator))]
    if not made:
        return None
    changes = tuple(change for change, _ in made)
    table = {name: np.stack([row[name] for _, row in made]) for name in inputs}
    answers = tuple(ask(model, table))
    return Probes(table, changes, answers, _refusals(estimator, model, changes, answers))


def ask(model: Model, rows: Rows) -> list[Answer]:
    """The answer to each row, None where it is refused: halves are asked until what is refused stands alone."""
    count = _count(rows)
    if not count:
        return []
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # odd numbers are the point here, and no news to the log
            got = model.predict(rows, [tensor.name for tensor in model.signature.outputs])
        return [{name: np.asarray(array)[index : index + 1] for name, array in got.items()} for index in range(count)]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  a model may raise anything
        if count == 1:
            return [None]
    half = count // 2
    return ask(model, _at(rows, range(half))) + ask(model, _at(rows, range(half, count)))


def _bases(rows: GoldenRows) -> list[int]:
    """Rows without gaps, that are no ties between classes: changes of them show."""
    ties = golden.near_ties(rows.expected, rows.tolerance.margin)
    found = np.flatnonzero(rows.are_finite() if ties is None else rows.are_finite() & ~ties)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(BASES, len(found))).astype(int))
    return [int(each) for each in found[chosen]]


def _single(inputs: Rows, base: int) -> Iterator[tuple[Change, dict[str, Array]]]:
    """One column changed."""
    for name, array in inputs.items():
        width = _width(array)
        for column in np.unique(np.linspace(0, width - 1, min(width, MAX_COLUMNS)).astype(int)).tolist():
            for kind, value in _values(array.dtype):
                yield Change(kind, name, column), _changed(inputs, base, {(name, column): value})


def _values(dtype: Any) -> list[tuple[str, Any]]:
    if dtype.kind == "f":
        found = [(MISSING, np.nan), (INFINITE, np.inf), (INFINITE, -np.inf), (OTHER, 0.0)]
        return found + ([(LARGE, LARGE_NUMBER), (LARGE, -LARGE_NUMBER)] if dtype.itemsize > 4 else [])
    if dtype.kind in "iu":
        return [(UNKNOWN, min(UNKNOWN_NUMBER, int(np.iinfo(dtype).max)))]
    if dtype.kind == "O":
        return [(MISSING, None), (UNKNOWN, UNKNOWN_TEXT), (OTHER, ""), (OTHER, "É"), (OTHER, "nan")]
    return []


def _uniform(inputs: Rows, base: int) -> Iterator[tuple[Change, dict[str, Array]]]:
    """All numbers changed alike: norms of 0, variances of 0, and sizes at which formulas leave their ordinary range."""
    names = [name for name, array in inputs.items() if array.dtype.kind == "f"]
    row = {name: array[base] for name, array in inputs.items()}
    for value in (0.0, -0.0, 1.0, -1.0) if names else ():
        yield Change(OTHER), {**row, **{name: np.full_like(row[name], value) for name in names}}
    for factor in (-1.0, 1e-3, 1e3, 1e6) if names else ():
        yield Change(OTHER), {**row, **{name: (row[name] * factor).astype(row[name].dtype) for name in names}}


def _texts(estimator: Any, inputs: Rows, base: int) -> Iterator[tuple[Change, dict[str, Array]]]:
    """For vectorizers: odd texts alone, and between the words that they know."""
    words = [sorted(step.vocabulary_) for step in columns.all_steps(estimator) if getattr(step, "vocabulary_", None)]
    known = [word for found in words for word in found[:: max(1, len(found) // 20)]]
    for name, array in inputs.items():
        if array.dtype.kind != "O" or not known:
            continue
        for number, odd in enumerate(ODD_TEXTS):
            first, second = known[number % len(known)], known[(number + 1) % len(known)]
            for text in (odd, f"{first} {odd} {second}", f"{first}{odd}", f"{first.upper()}, {second}{odd}!"):
                yield Change(OTHER, name, 0), _changed(inputs, base, {(name, 0): text})


def _has_words(estimator: Any) -> bool:
    return any(map(columns.is_vectorizer, columns.all_steps(estimator)))


def _gaps(inputs: Rows) -> Iterator[tuple[Change, dict[str, Array]]]:
    """Several gaps in a row, in rows of all kinds."""
    rng = np.random.default_rng(_SEED)
    places = [(name, column) for name, array in inputs.items() if array.dtype.kind == "f"
              for column in range(_width(array))]  # fmt: skip
    if len(places) < 2:
        return
    for number in range(GAPS):
        share = 1.0 if number == 0 else rng.uniform(0.1, 0.8)
        chosen: dict[tuple[str, int], Any] = {place: np.nan for place in places if rng.random() < share}
        yield Change(MISSING), _changed(inputs, number % _count(inputs), chosen)


def _beside(estimator: Any, inputs: Rows) -> Iterator[tuple[Change, dict[str, Array]]]:
    """On the thresholds of trees, one step below and above of the precision that they compare in, and within one."""
    steps = columns.steps_of(estimator)
    if len(inputs) != 1 or len(steps) != 1:
        return
    ((name, array),) = inputs.items()
    if array.ndim != 2 or array.dtype.kind != "f":
        return
    double = thresholds.compares_in_double(steps[0])
    cuts = {feature: found for feature, found in thresholds.of(steps[0]).items() if feature < array.shape[1]}
    rng = np.random.default_rng(_SEED)
    for number in range(BESIDE if cuts else 0):
        chosen: dict[tuple[str, int], Any] = {}
        for feature, found in cuts.items():
            cut = rng.choice(found)
            beside = np.nextafter(cut, (-np.inf, cut, np.inf)) if double else stages.in_single(cut)
            chosen[name, feature] = rng.choice(beside)
        yield Change(OTHER), _changed(inputs, number % len(array), chosen)


def _inner(estimator: Any, inputs: Rows) -> Iterator[tuple[Change, dict[str, Array]]]:
    """On what the steps inside of the model decide at, and beside it."""
    (name, array), *others = inputs.items()
    if others or array.ndim != 2 or array.dtype.kind != "f":
        return
    whole = array[np.isfinite(array).all(axis=1)]
    for row in stages.make(estimator, whole) if len(whole) else ():
        yield Change(OTHER), {name: row}


def _decisive(estimator: Any, inputs: Rows, base: int) -> list[tuple[Change, dict[str, Array]]]:
    """At the numbers where encoders and bins decide, one step beside them, and between: converters cut the fractions
    of numeric categories off, or round them and the edges to single precision."""
    places = [(name, column) for name, array in inputs.items() for column in range(_width(array))]
    names = columns.all_names(estimator)
    by_column = set(inputs) <= set(names)
    found: dict[tuple[str, int], set[Any]] = {}
    for place, values in points.of(estimator):
        where = (names[place], 0) if by_column else places[place] if place < len(places) else None
        if where is not None and where[0] in inputs:
            found.setdefault(where, set()).update(values)
    known = _categories(estimator)
    chosen = [
        (where, value)
        for where, values in found.items()
        for value in points.beside(sorted(values), inputs[where[0]].dtype)
    ]
    if len(chosen) > DECISIVE:  # at random: at even steps it may be the same side of every number
        kept = np.random.default_rng(_SEED).choice(len(chosen), DECISIVE, replace=False)
        chosen = [chosen[place] for place in sorted(kept)]
    return [
        (Change(OTHER if value in known.get(where[0], (value,)) else UNKNOWN, *where),
         _changed(inputs, base, {where: value}))
        for where, value in chosen
    ]  # fmt: skip


def _changed(inputs: Rows, base: int, values: Mapping[tuple[str, int], Any]) -> dict[str, Array]:
    row = {name: np.array(array[base], array.dtype) for name, array in inputs.items()}
    for (name, column), value in values.items():
        flat = row[name].reshape(-1)
        flat[column] = value
        row[name] = flat.reshape(inputs[name].shape[1:])
    return row


def _refusals(
    estimator: Any, model: Model, changes: Sequence[Change], answers: Sequence[Answer]
) -> tuple[Refusal, ...]:
    """What the original refuses whatever else stands in the row, by tensor and kind."""
    found = []
    named = list(getattr(estimator, "feature_names_in_", ()))
    for tensor in model.signature.inputs:
        for kind in (MISSING, INFINITE, LARGE):
            asked = {change.column for change in changes if (change.kind, change.tensor) == (kind, tensor.name)}
            taken = {
                change.column
                for change, answer in zip(changes, answers, strict=True)
                if (change.kind, change.tensor) == (kind, tensor.name) and answer is not None
            }
            refused = tuple(sorted(asked - taken))
            if refused:
                wide = len(model.signature.inputs) == 1 and len(named) > refused[-1]
                names = tuple(str(named[column]) for column in refused) if wide else ()
                found.append(Refusal(tensor.name, kind, refused, names))
        known = _categories(estimator).get(tensor.name)
        if known is not None and any(
            answer is None and change == Change(UNKNOWN, tensor.name, 0)
            for change, answer in zip(changes, answers, strict=True)
        ):
            found.append(Refusal(tensor.name, UNKNOWN, (0,), (), known))
    return tuple(found)


def _categories(estimator: Any) -> dict[str, tuple[Any, ...]]:
    """Of columns that have a tensor of their own: the categories that their encoder knows."""
    first = columns.first_of(estimator)
    names = columns.all_names(estimator)
    parts = (
        [(inner, positions) for inner, positions, _ in columns.selections(first) if not isinstance(inner, str)]
        if columns.is_column_transformer(first)
        else [(estimator, list(range(len(names))))]
    )
    found: dict[str, tuple[Any, ...]] = {}
    for inner, positions in parts:
        for step in columns.steps_of(inner):
            categories = getattr(step, "categories_", None)
            if isinstance(categories, list) and len(categories) == len(positions):
                for position, values in zip(positions, categories, strict=True):
                    plain = np.asarray(values).tolist()
                    if position < len(names) and all(_is_named(each) for each in plain):
                        found[names[position]] = tuple(plain)
                break
    return found


def _is_named(category: Any) -> bool:
    """Whether a request names it as it is: what is missing has a refusal of its own."""
    return isinstance(category, str | int) or (isinstance(category, float) and category == category)


def _together(answers: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}


def _width(array: Array) -> int:
    return math.prod(array.shape[1:])


def _at(rows: Rows, chosen: Sequence[int]) -> dict[str, Array]:
    return {name: array[list(chosen)] for name, array in rows.items()}


def _count(rows: Rows) -> int:
    return min((len(array) for array in rows.values()), default=0)
