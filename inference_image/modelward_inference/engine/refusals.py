"""Rows that the original model refuses are refused before the served form sees them, by the column's name.

A compiled form may answer where the original raises: a tree sends a missing value somewhere, whatever it was trained
for. Failure: ModelRefusedError, with status 400.
"""

from collections.abc import Callable, Iterable, Mapping

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
        for tensor, guards in self._by_tensor.items():
            array = inputs[tensor]
            ordinary = array.dtype.kind != "O" and are_ordinary(array)
            for guard in guards:
                if not ordinary or guard.by_value:
                    guard.check(array)


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
        if self._known:
            self._check_known(array)
        elif array.dtype.kind == "O":
            for row, value in enumerate(array.ravel().tolist()):
                if value is None:
                    words, cure = _WORDS["missing"]
                    raise _refused(
                        f"inputs ({self.tensor}).data: a text {words} in row {row}, and the model refuses that: {cure}"
                    )
        elif array.size and (self._refusal.kind == "large" or not np.isfinite(array).all()):
            self._look(array.reshape(len(array), -1))

    def _check_known(self, array: Array) -> None:
        for row, value in enumerate(array.ravel().tolist()):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            if text is not None and text not in self._known:
                raise _refused(
                    f"inputs ({self.tensor}).data: {shown(text)!r} in row {row} is a category that the model was not "
                    f"trained on, and it refuses those; it knows {shown(', '.join(map(str, self._refusal.known)))}"
                )

    def _look(self, table: Array) -> None:
        part = table if self._all else table[:, self._columns]
        found = FOUND[self._refusal.kind](part)
        if found.any():
            row, place = (int(each[0]) for each in np.nonzero(found))
            names = self._refusal.names
            column = f"column {names[place]!r}" if names else f"column {self._columns[place]}"
            words, cure = _WORDS[self._refusal.kind]
            raise _refused(
                f"inputs ({self.tensor}).data: {column} {words} in row {row}, and the model refuses that: {cure}"
            )


def _refused(message: str) -> ModelRefusedError:
    return ModelRefusedError(message, "model")
