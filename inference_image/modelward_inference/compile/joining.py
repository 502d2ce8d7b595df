"""Whether requests of different clients may be computed together: proven at fetch by the model's own answers.

An open first axis need not be a batch: it may be a sequence, a set of points, tokens. Such a model gives as many rows
as it was given, each made of all the others, so one client's values would reach another's answer. So rows are
asked together, each alone, in another order, many times over, and beside extreme ones; only where nothing changes are
requests joined.
Failure: what can't be asked is not proven, and not joined.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.artifact.bundle import Joining, Signature, Tensor
from modelward_inference.runtimes.base import Model

ROWS = 12
"""Rows that are asked: some kinds of influence show in the first, the last, or the largest only."""

OPEN = 3
"""Size of other dimensions that the signature leaves open."""

RTOL, ATOL = 1e-4, 1e-6
"""How far two right answers to a row may lie apart: products of matrices are summed in another order for more rows."""

MARGIN = 1e-4
"""Labels may differ where the two largest values of another output lie closer than this: rounding decides them."""

MANY = 300
"""Rows that are asked at once, the same ones over and over: more than are joined by default."""

MANY_BYTES = 8 << 20
"""Of so many rows and their answers at most: fewer of a model of pictures."""

MANY_SECONDS = 3.0
"""That so many rows may take, as a few of them tell."""

PATIENCE = 240.0
"""Seconds after which nothing more is asked: a model so slow that it answers a few rows in them gains little by being
joined, and its pods must not fail for want of time."""

EXTREME = 1e4
"""Factor of the values beside which a row has to keep its answer."""

TEXTS = ("", "word " * 100, "x" * 1000, "É日本\n\t")
"""Texts beside which a row has to keep its answer: shorter ones are filled up to the longest in some models."""

WHOLE = (1000, 2**31 - 1, -(2**31))
"""Whole numbers beside which a row has to keep its answer; a model that looks them up in a table refuses them."""

_SEED = 20_240_301

Rows = Mapping[str, Array]


class TooSlowError(Exception):
    """PATIENCE is over."""


def prove(model: Model, golden: Rows | None) -> Joining:
    """Ask the model. `golden`: inputs that it is known to take; None where there are none. Raises only MemoryError."""
    signature = model.signature
    bare = [each.name for each in signature.inputs if each.any_rank]
    if bare:
        return Joining(
            False, f"{bare[0]!r} may have any number of axes, so that none is known to be rows", one_size=False
        )
    axes = getattr(model, "first_axes", ())
    if len(set(axes)) > 1:
        names = ", ".join(sorted(set(axes)))
        return Joining(False, f"the first axes of its inputs have different names ({names})", one_size=False)
    fixed = [each.name for each in (*signature.inputs, *signature.outputs) if each.shape[:1] != (-1,)]
    if fixed:
        return Joining(False, f"the first axis of {fixed[0]!r} is not open")
    why = "no rows could be made that the model takes"
    end = time.monotonic() + PATIENCE
    for rows in _candidates(signature, golden):
        if _count(rows) < 2:
            continue
        try:
            found = _difference(model, rows, end)
        except MemoryError:
            raise
        except TooSlowError:
            return Joining(False, f"not proven: asking the model took more than {PATIENCE:.0f} seconds")
        except Exception as error:  # noqa: BLE001  a model may raise anything; other rows may do
            why = f"the model refuses the rows that were tried ({type(error).__name__}: {str(error)[:200]})"
            continue
        if found:
            return Joining(False, found)
        return Joining(True, f"{_count(rows)} rows have the same answers together, alone, reversed and beside extremes")
    return Joining(False, f"not proven: {why}")


def _candidates(signature: Signature, golden: Rows | None) -> Iterator[Rows]:
    if golden:
        chosen = np.linspace(0, _count(golden) - 1, min(ROWS, _count(golden))).astype(int)
        yield {name: array[chosen] for name, array in golden.items()}
    for most in (1000, 2):  # indices of a table may not be large
        rng = np.random.default_rng(_SEED)
        yield {tensor.name: _random(tensor, most, rng) for tensor in signature.inputs}


def _random(tensor: Tensor, most: int, rng: np.random.Generator) -> Array:
    shape = (ROWS, *(OPEN if size < 0 else size for size in tensor.shape[1:]))
    dtype = DTYPES[tensor.datatype]
    if dtype.kind == "O":
        words = [f"word{number}" for number in range(10)]
        made = [" ".join(rng.choice(words, rng.integers(1, 5))) for _ in range(math.prod(shape))]
        return np.array(made, object).reshape(shape)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else min(most, 100), size=shape).astype(dtype)


def _difference(model: Model, rows: Rows, end: float) -> str:
    """What changes an answer, in words; empty where nothing does. `end`: on the monotonic clock. Raises TooSlowError
    when that is over, and what the model raises for ordinary rows."""
    names = [tensor.name for tensor in model.signature.outputs]

    def ask(asked: Rows) -> Rows:
        if time.monotonic() > end:
            raise TooSlowError
        return model.predict(asked, names)

    count = _count(rows)
    alone = [ask(_at(rows, [index])) for index in range(count)]
    order = list(range(count))
    began = time.monotonic()
    for words, wanted in (("together", order), ("in another order", order[::-1]), ("in part", order[1::2])):
        found = _compared(alone, ask(_at(rows, wanted)), wanted)
        if found:
            return f"rows asked {words} have other answers than alone: {found}"
    times = _times((rows, *alone), count, (time.monotonic() - began) / 2)
    if times > 1:
        over = order * times
        found = _compared(alone, ask(_at(rows, over)), over)
        if found:
            return f"rows asked many times over have other answers than alone: {found}"
    for beside in _extremes(rows):
        try:
            ask(beside)
            joined = {name: np.concatenate((beside[name], rows[name], beside[name])) for name in rows}
            answers = ask(joined)
        except (MemoryError, TooSlowError):
            raise
        except Exception:  # noqa: BLE001, S112  it refuses them, and so they reach nobody
            continue
        if any(array.shape[:1] != (count + 2 * _count(beside),) for array in answers.values()):
            return "there are not as many answers as rows"
        inner = {name: array[_count(beside) : _count(beside) + count] for name, array in answers.items()}
        found = _compared(alone, inner, order)
        if found:
            return f"rows asked beside extreme ones have other answers than alone: {found}"
    return ""


def _times(told: Iterable[Rows], count: int, seconds: float) -> int:
    """How often `count` rows are asked at once. `told`: they and their answers; `seconds`: that these take."""
    size = sum(_size(array) for each in told for array in each.values())
    return max(1, min(MANY // count, MANY_BYTES // max(1, size), int(MANY_SECONDS / max(seconds, 1e-9))))


def _size(array: Array) -> int:
    texts = array.flat if array.dtype.kind == "O" else ()
    return int(array.nbytes) + sum(len(each) for each in texts if isinstance(each, str | bytes))


def _extremes(rows: Rows) -> Iterator[Rows]:
    """Of the first row: with large numbers of either sign, infinite and missing ones, and texts of all lengths."""
    one = _at(rows, [0])
    whole = {name: array for name, array in one.items() if array.dtype.kind in "iu"}
    for large in WHOLE if whole else ():
        limits = {name: np.iinfo(array.dtype) for name, array in whole.items()}
        yield {**one, **{name: np.full_like(array, min(max(large, int(limits[name].min)), int(limits[name].max)))
                         for name, array in whole.items()}}  # fmt: skip
    floats = {name: array for name, array in one.items() if array.dtype.kind == "f"}
    for sign in (1, -1) if floats else ():
        with np.errstate(over="ignore"):  # in half precision
            yield {**one, **{name: (sign * (np.abs(array) * EXTREME + EXTREME)).astype(array.dtype)
                             for name, array in floats.items()}}  # fmt: skip
    for value in (np.nan, np.inf, -np.inf) if floats else ():
        yield {**one, **{name: np.full_like(array, value) for name, array in floats.items()}}
    texts = {name: array for name, array in one.items() if array.dtype.kind == "O"}
    for text in TEXTS if texts else ():
        yield {**one, **{name: np.full(array.shape, text, object) for name, array in texts.items()}}


def _compared(alone: Sequence[Rows], got: Rows, order: Sequence[int]) -> str:
    for name, array in got.items():
        if array.shape[:1] != (len(order),):
            return f"{name!r} has shape {list(array.shape)} for {len(order)} rows"
    for place, index in enumerate(order):
        wanted = alone[index]
        decided = not _is_tie(wanted)
        for name, array in got.items():
            first, second = wanted[name][0], array[place]
            if not _same(first, second) and (decided or first.dtype.kind == "f"):
                return f"{name!r} is {first!s:.80} alone, {second!s:.80} there"
    return ""


def _is_tie(answers: Rows) -> bool:
    floats = (np.sort(array[0].reshape(-1)) for array in answers.values() if array.dtype.kind == "f")
    return any(len(each) > 1 and each[-1] - each[-2] < MARGIN for each in floats)


def _same(first: Array, second: Array) -> bool:
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        return False
    if first.dtype.kind != "f":
        return bool(np.array_equal(first, second))
    largest = np.abs(first[np.isfinite(first)]).max(initial=0.0)  # of this very row: others' sizes excuse nothing
    return bool(np.allclose(first, second, rtol=RTOL, atol=ATOL + RTOL * float(largest), equal_nan=True))


def _at(rows: Rows, chosen: Sequence[int]) -> dict[str, Array]:
    return {name: array[list(chosen)] for name, array in rows.items()}


def _count(rows: Rows) -> int:
    return min((len(array) for array in rows.values()), default=0)
