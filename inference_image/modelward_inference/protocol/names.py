"""By which names clients reach a model's tensors: its own, and what the clients of other servers call them.

A single input takes any name; outputs go by place, too (`output-0`); a model that was trained on a data frame takes its
columns, in any order, and says which of those that came it did not need. Failure: RequestError.
"""

from collections.abc import Sequence

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.protocol.checks import Expected
from modelward_inference.protocol.messages import InferRequest, ModelRefusedError, RequestError
from modelward_inference.protocol.tensors import shown


class Names:
    """Of one model. `columns`: what its columns were called at training, empty where they had no names."""

    def __init__(self, signature: Signature, columns: Sequence[str] = ()) -> None:
        self.expected = {tensor.name: Expected(tensor) for tensor in signature.inputs}
        self._outputs = tuple(tensor.name for tensor in signature.outputs)
        self._places = {f"output-{index}": name for index, name in enumerate(self._outputs)}
        # Where there is one, it can't be mistaken: clients of other servers call it input-0, predict, or whatever.
        self._only = next(iter(self.expected.values())) if len(self.expected) == 1 else None
        self._columns: dict[str, Expected] = {}
        wide = self._only is not None and self._only.tensor.shape == (-1, len(columns))
        if wide and self._only is not None and self._only.tensor.name not in columns:
            kind = self._only.tensor.datatype
            self._columns = {name: Expected(Tensor(name, kind, (-1, 1))) for name in columns}
        # Who sends a data frame sends columns that the model does not use.
        self._lenient = bool(columns) and not self._columns

    def inputs(self, request: InferRequest) -> dict[str, Array]:
        """The model's tensors by its own names, each checked."""
        if self._columns and len(request.inputs) > 1:
            return self._from_columns(request)
        found: dict[str, Array] = {}
        alone = self._only if len(request.inputs) == 1 else None
        own = {given.name for given in request.inputs if given.name in self.expected} if self._lenient else ()
        for given in request.inputs:
            expected = self.expected.get(given.name) or self.expected.get(plain(given.name)) or alone
            if expected is not None:
                name = expected.tensor.name
                # A frame may have 'a b' beside the 'a_b' that the model was trained on.
                if given.name == name or name not in own:
                    if name in found:
                        raise _refused(f"inputs: {shown(given.name)!r} is {name!r}, which came already")
                    found[name] = expected.check(given)
            elif not self._lenient:
                name, known = shown(given.name), ", ".join(self.expected)
                raise _refused(f"inputs: the model takes no {name!r}; it takes {known}")
        if len(found) != len(self.expected):
            missing = [name for name in self.expected if name not in found]
            raise _refused(f"inputs lacks {', '.join(missing)}; the model takes {', '.join(self.expected)}")
        return found

    def _from_columns(self, request: InferRequest) -> dict[str, Array]:
        """The one wide tensor, from a tensor for each column."""
        assert self._only is not None
        name = self._only.tensor.name
        given = {plain(each.name): each for each in request.inputs} | {each.name: each for each in request.inputs}
        missing = [each for each in self._columns if each not in given]
        if missing:
            raise _refused(
                f"inputs lacks {shown(', '.join(missing))}; the model takes one tensor {name!r}, or a tensor for each "
                f"column: {shown(', '.join(self._columns))}"
            )
        found = [expected.check(given[each]) for each, expected in self._columns.items()]
        sizes = sorted({len(array) for array in found})
        if len(sizes) > 1:
            raise RequestError(f"inputs differ in their number of rows: {sizes}")
        return {name: np.column_stack(found)}

    def ignored(self, request: InferRequest) -> list[str]:
        """What the client sent and the model did not take."""
        if len(request.inputs) <= 1:
            return []
        known = self._columns or self.expected
        return [each.name for each in request.inputs if each.name not in known and plain(each.name) not in known]

    def outputs(self, request: InferRequest) -> dict[str, str]:
        """The model's outputs by the names that the client has for them, under which it looks for them."""
        found: dict[str, str] = {}
        alone = self._outputs[0] if len(request.outputs) == len(self._outputs) == 1 else None
        for wanted in request.outputs:
            own = wanted.name if wanted.name in self._outputs else self._places.get(wanted.name, alone)
            if own is None:
                name, known = shown(wanted.name), ", ".join(self._outputs)
                raise _refused(f"outputs: the model has no {name!r}; it gives {known}")
            if own in found.values():
                raise RequestError(f"outputs: {shown(wanted.name)!r} is {own!r}, which is asked for already")
            found[wanted.name] = own
        return found


def _refused(message: str) -> ModelRefusedError:
    return ModelRefusedError(message, "signature")


def plain(name: str) -> str:
    """The name as LightGBM keeps it: blanks become underscores there."""
    return name.replace(" ", "_")
