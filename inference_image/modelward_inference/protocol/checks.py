"""What a request's tensors are checked against: the model's signature, made ready for a quick comparison.

Failure: ModelRefusedError, which names the input, what it is, and what the model takes.
"""

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.protocol.messages import Input, ModelRefusedError

_WIDEST = 8
"""Bytes of FP64."""


class Expected:
    """One input of the model."""

    __slots__ = ("_dtype", "_open", "_rank", "_tail", "rows", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._dtype = DTYPES[tensor.datatype]
        self._rank = len(tensor.shape)
        self._tail = tensor.shape[1:]
        self.rows = tensor.shape[:1] == (-1,) and not tensor.any_rank
        """Whether the first axis is open."""
        # The usual shape: any number of rows, everything else fixed.
        self._open = self.rows and -1 not in self._tail

    def check(self, given: Input) -> Array:
        """The array as the model takes it."""
        shape = given.array.shape
        if self.tensor.any_rank:
            pass
        elif not self._rank and shape == (1,):
            given = Input(given.name, given.datatype, given.array.reshape(()))  # a scalar, as many clients write it
        elif not (self._open and len(shape) == self._rank and shape[1:] == self._tail):
            if not shape and self.rows and all(size in (-1, 1) for size in self._tail):
                # One value is one row: KServe's payloads of a single text have no shape.
                given = Input(given.name, given.datatype, given.array.reshape((1,) * self._rank))
                shape = given.array.shape
            elif {len(shape), self._rank} == {1, 2} and (self.tensor.shape[1:] or shape[1:]) == (1,):
                # A column, as a vector or as a table of one: clients of other servers send either.
                given = Input(
                    given.name, given.datatype, given.array.reshape(-1, 1) if self._rank == 2 else given.array[:, 0]
                )
                shape = given.array.shape
            self._check_shape(given.name, shape)
        return given.array if given.datatype == self.tensor.datatype else self._cast(given)

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        wanted = self.tensor.shape
        if len(shape) == self._rank and all(a in (-1, b) for a, b in zip(wanted, shape, strict=True)):
            return
        raise _refused(
            f"inputs ({name}).shape is {list(shape)}, but the model takes {list(wanted)} (-1: any size)"
        )  # fmt: skip

    def _cast(self, given: Input) -> Array:
        """Numbers may change their type where no value is lost but for the precision of floats; nothing else may."""
        array, target = given.array, self._dtype
        if array.dtype.kind == "b" and target.kind in "fiu":
            return array.astype(target)  # truths count as 0 and 1, as they do in a data frame
        if target.kind == "f" and array.dtype.kind in "fiu":
            if target.itemsize == _WIDEST:
                return array.astype(target)  # no number of a smaller type is too large for it
            try:
                with np.errstate(over="raise"):
                    return array.astype(target)
            except FloatingPointError:
                raise _refused(
                    f"inputs ({given.name}).data has a number that is too large for {self.tensor.datatype}, which the "
                    "model takes"
                ) from None
        if target.kind in "iu" and array.dtype.kind in "iu":
            limits = np.iinfo(target)
            if not array.size or (int(array.min()) >= limits.min and int(array.max()) <= limits.max):
                return array.astype(target)
        if target.kind in "iu" and array.dtype.kind == "f":
            return self._whole(given)
        # What is missing throughout has no type: a data frame makes floats of such a column, and lists make texts.
        if target.kind == "O" and array.dtype.kind == "f" and np.isnan(array).all():
            return np.full(array.shape, None, object)
        if target.kind == "f" and array.dtype.kind == "O" and all(each is None for each in array.flat):
            return np.full(array.shape, np.nan, target)
        raise _refused(
            f"inputs ({given.name}).datatype is {given.datatype}, but the model takes {self.tensor.datatype}"
        )

    def _whole(self, given: Input) -> Array:
        """Whole numbers that came as floats, as a data frame has them where another row of the column is missing."""
        array, limits = given.array, np.iinfo(self._dtype)
        bad = ~((array == np.rint(array)) & (array >= float(limits.min)) & (array < float(limits.max) + 1))
        if bad.any():
            raise _refused(
                f"inputs ({given.name}).datatype is {given.datatype} and holds {array[bad].flat[0]}, but the model "
                f"takes {self.tensor.datatype}: whole numbers from {limits.min} to {limits.max}, none missing"
            )
        return array.astype(self._dtype)


def _refused(message: str) -> ModelRefusedError:
    return ModelRefusedError(message, "signature")


def size_of(array: Array) -> int:
    """How much there is to compute: elements, and for texts their characters."""
    return array.size if array.dtype.kind != "O" else array.size + sum([len(each) for each in array.flat if each])
