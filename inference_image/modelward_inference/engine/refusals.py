"""Rows that the original model refuses are refused before the served form sees them, by the column's name.

A compiled form may answer where the original raises: a tree sends a missing value somewhere, whatever it was trained
for. Failure: ModelRefusedError, with status 400.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Refusal
from modelward_inference.protocol.messages import ModelRefusedError
from modelward_inference.protocol.tensors import are_ordinary, shown

_WORDS = {
    "missing": ("is missing", "it was trained without missing values; fill them in first, or add an imputer to it"),
    "infinite": ("is infinite", "send a finite number"),
    "large": ("is too large", "it computes in single precision, which ends at 3.4e38"),
}


def _beyond_single(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.isinf(array.astype(np.float32)))


FOUND: Mapping[str, Callable[[Array], Array]] = {"missing": np.isnan, "infinite": np.isinf, "large": _beyond_single}
"""Which numbers are refused, by the kind of the refusal."""


class Guards:
    """All refusals of a model. `widths`: of its tensors, the values of a row."""

    def __init__(self, refusals: Iterable[Refusal], widths: Mapping[str, int]) -> None:
        self._by_tensor: dict[str, list[Guard]] = {}
        for each in refusals:
            self._by_tensor.setdefault(each.tensor, []).append(Guard(each, widths[each.tensor]))

    def check(self, inputs: Mapping[str, Array]) -> None:
        """Raises ModelRefusedError for the first row that the model refuses."""
        for guard, array in self._wary(inputs):
            guard.check(array)

    def refused(self, inputs: Mapping[str, Array]) -> dict[int, str]:
        """All rows that the model refuses, each with the first reason."""
        found: dict[int, str] = {}
        for guard, array in self._wary(inputs):
            for row, reason in guard.refused(array):
                found.setdefault(row, reason)
        return found

    def _wary(self, inputs: Mapping[str, Array]) -> Iterator[tuple["Guard", Array]]:
        """Those that have to look."""
        for tensor, guards in self._by_tensor.items():
            array = inputs[tensor]
            ordinary = array.dtype.kind != "O" and are_ordinary(array)
            for guard in guards:
                if not ordinary or guard.by_value:
                    yield guard, array


class Guard:
    """One refusal, made ready."""

    __slots__ = ("_all", "_columns", "_known", "_refusal", "by_value", "tensor")

    def __init__(self, refusal: Refusal, width: int) -> None:
        self._refusal = refusal
        self.tensor = refusal.tensor
        self._columns = list(refusal.columns)
        self._all = len(self._columns) == width
        self._known = frozenset(refusal.known)
        self.by_value = bool(self._known)
        """Whether ordinary numbers may be refused as well."""

    def check(self, array: Array) -> None:
        for row, what, why in self._found(array):
            raise _refused(f"inputs ({self.tensor}).data: {what} in row {row}{why}")

    def refused(self, array: Array) -> Iterator[tuple[int, str]]:
        """Rows, each with why, in words that say nothing of where it stands."""
        for row, what, why in self._found(array):
            yield row, f"{self.tensor}: {what}{why}"

    def _found(self, array: Array) -> Iterator[tuple[int, str, str]]:
        """Rows, and the words before and behind the number of one."""
        if self._known:
            yield from self._unknown(array)
        elif array.dtype.kind == "O":
            words, cure = _WORDS["missing"]
            for row, value in enumerate(array.ravel().tolist()):
                if value is None:
                    yield row, f"a text {words}", f", and the model refuses that: {cure}"
        elif array.size and (self._refusal.kind == "large" or not np.isfinite(array).all()):
            yield from self._numbers(array.reshape(len(array), -1))

    def _unknown(self, array: Array) -> Iterator[tuple[int, str, str]]:
        for row, value in enumerate(array.ravel().tolist()):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            if text is not None and text not in self._known:
                known = shown(", ".join(map(str, self._refusal.known)))
                why = f" is a category that the model was not trained on, and it refuses those; it knows {known}"
                yield row, repr(shown(text)), why

    def _numbers(self, table: Array) -> Iterator[tuple[int, str, str]]:
        part = table if self._all else table[:, self._columns]
        found = FOUND[self._refusal.kind](part)
        words, cure = _WORDS[self._refusal.kind]
        names = self._refusal.names
        for row in np.flatnonzero(found.any(axis=1)).tolist():
            place = int(found[row].argmax())
            column = f"column {names[place]!r}" if names else f"column {self._columns[place]}"
            yield row, f"{column} {words}", f", and the model refuses that: {cure}"


def _refused(message: str) -> ModelRefusedError:
    return ModelRefusedError(message, "model")
