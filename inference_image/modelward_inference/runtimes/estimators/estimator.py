"""A fitted scikit-learn estimator, or one that behaves like it, as a model; how it was saved does not matter here."""

import sys
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sklearn

from modelward_inference.artifact.arrays import DTYPES, Array, missing_as_nan, tensor_of, texts
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import FormatMismatch, ModelUnsupported
from modelward_inference.runtimes.base import PREDICT, PREDICT_PROBA, TRANSFORM
from modelward_inference.runtimes.estimators import categories, columns, mixed, nones, objects
from modelward_inference.runtimes.estimators import rows as generated

_EXACT = 2**53
"""Up to it floats hold every whole number."""


class EstimatorModel:
    """Outputs are `predict` and, where it has it, `predict_proba`, or else `transform`; inputs are as `columns` tells.

    `signature`: from the bundle, else it is found by a prediction for one row. `width`: how many columns the data had,
    for an estimator that does not know it.
    """

    def __init__(
        self, estimator: Any, warnings: Sequence[str] = (), signature: Signature | None = None, width: int | None = None
    ) -> None:
        if not hasattr(estimator, PREDICT) and not hasattr(estimator, TRANSFORM):
            raise FormatMismatch(
                f"The file holds a {type(estimator).__module__}.{type(estimator).__name__}, which has no predict() and "
                "no transform(); save the fitted estimator or pipeline itself"
            )
        if signature and len(signature.inputs) == 1 and len(signature.inputs[0].shape) == 2:
            width = signature.inputs[0].shape[1]
        if width is not None:
            columns.tell_width(estimator, width)
        self.estimator = estimator
        self.warnings = warnings
        self.libraries = _libraries()
        # A model that was trained on a data frame says so at every call; here columns come by position.
        python_warnings.filterwarnings("ignore", message="X does not have valid feature names")
        inputs = signature.inputs if signature else columns.inputs_of(estimator)
        self._many = columns.by_column(estimator, inputs)
        self.columns = columns.all_names(estimator) if self._many else columns.names_of(estimator)
        self._coder = categories.coder_of(columns.entries(estimator)[0]) if self._many else None
        self._texts = {tensor.name for tensor in inputs if tensor.datatype == "BYTES"}
        self._order = [tensor.name for tensor in inputs]
        self._nones = nones.of(estimator) if self._many and self._texts else frozenset()
        self._objects = objects.of(estimator) if self._many else {}
        kinds = {tensor.name: DTYPES[tensor.datatype].kind for tensor in inputs}
        several = self._many and len(set(kinds.values())) > 1
        self._finite = mixed.beside_objects(estimator, kinds) if several else ()
        self._pandas = _pandas() if self._many and hasattr(estimator, "feature_names_in_") else None
        if self._many and self._pandas is None and self._coder is None:
            columns.select_by_position(estimator)
        self.signature = signature or Signature(inputs, self._outputs(inputs))

    @property
    def classes(self) -> tuple[Any, ...]:
        """A classifier's labels in the order of its probabilities; empty for others and for several targets."""
        found = getattr(self.estimator, "classes_", None) if hasattr(self.estimator, PREDICT) else None
        if not isinstance(found, np.ndarray) or found.ndim != 1:
            return ()
        widths = {tensor.shape[-1] for tensor in self.signature.outputs if tensor.name == PREDICT_PROBA}
        return tuple(found.tolist()) if widths <= {len(found), -1} else ()  # XGBoost says 0 and 1 of several targets

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        table = self._table(inputs)
        return {name: _dense(getattr(self.estimator, name)(table)) for name in outputs}

    def before_last(self, inputs: Mapping[str, Array]) -> Any:
        """What a pipeline's last step is given."""
        table = self._table(inputs)
        for step in columns.steps_of(self.estimator)[:-1]:
            table = step.transform(table)
        return table

    def _table(self, inputs: Mapping[str, Array]) -> Any:
        """What the estimator takes: an array, texts, or a data frame where pandas is there and names were known."""
        given = {name: texts(inputs[name]) if name in self._texts else inputs[name] for name in self._order}
        if not self._many:
            if self._texts and any(each is None for each in given[columns.INPUT].flat):
                raise ValueError("a text is null, and it takes none that is")
            return given[columns.INPUT]
        if self._coder is not None:
            return self._coder.table(list(given.items()))
        given = {name: array if name in self._nones else missing_as_nan(array) for name, array in given.items()}
        given = objects.as_learned(given, self._objects) if self._objects else given
        if self._pandas is not None:
            frame = self._pandas.DataFrame({name: array.reshape(-1) for name, array in given.items()})
            for name in self._nones & given.keys():
                # pandas 3 makes texts of a type of its own of them, whose missing value is NaN and never None.
                if frame[name].dtype != object:
                    frame[name] = self._pandas.Series(given[name].reshape(-1), dtype=object)
            return frame
        mixed.check(given, self._finite)
        # A column that the model drops holds its place.
        rows = len(next(iter(given.values())))
        table = [given[name] if name in given else np.zeros((rows, 1)) for name in self.columns or self._order]
        if not self._texts and not self._objects and not any(map(_is_beyond_floats, table)):
            return np.column_stack(table)
        return mixed.table(table)

    def _outputs(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What comes out, as a prediction for one row shows it."""
        row = generated.generate(self.estimator, inputs, count=1)
        named = (PREDICT, PREDICT_PROBA) if hasattr(self.estimator, PREDICT) else (TRANSFORM,)
        found = (self._output(name, row) for name in named if hasattr(self.estimator, name))
        return tuple(tensor for tensor in found if tensor is not None)

    def _output(self, name: str, row: Mapping[str, Array]) -> Tensor | None:
        """One output; None where it is one array for each target. The classes tell it where the model refuses rows."""
        try:
            raw = getattr(self.estimator, name)(self._table(row))
        except MemoryError:
            raise
        except Exception as error:
            if "DataFrame" in str(error) or "columns" in str(error).lower() or "has no attribute" in str(error):
                raise ModelUnsupported(
                    f"The {type(self.estimator).__name__} can't work on plain arrays ({str(error)[:300]}), perhaps "
                    "because it needs a data frame; build the inference image with pandas, or export the model as ONNX"
                ) from error
            if name == TRANSFORM:
                raise ModelUnsupported(
                    f"The {type(self.estimator).__name__} refuses the row by which its output would be known "
                    f"({type(error).__name__}: {str(error)[:300]}); write a bundle with modelward.save_bundle"
                ) from error
            classes = np.asarray(getattr(self.estimator, "classes_", np.zeros(1)))
            raw = classes[:1] if name == PREDICT else np.zeros((1, len(classes)))
        return None if isinstance(raw, list) else tensor_of(name, _dense(raw))


def _is_beyond_floats(array: Array) -> bool:
    """Whether it holds whole numbers, such as ids, that a column of floats beside it would make others of."""
    return array.dtype.itemsize == 8 and array.dtype.kind in "iu" and bool((np.abs(array) > _EXACT).any())


def _dense(answer: Any) -> Array:
    """Encoders and vectorizers give sparse matrices, which no protocol carries."""
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def _libraries() -> dict[str, str]:
    """Versions of what an estimator may be made of, as far as loading it imported them."""
    found = {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
    for name in ("xgboost", "lightgbm"):
        if name in sys.modules:
            found[name] = sys.modules[name].__version__
    return found


def _pandas() -> Any:
    """pandas, or None: the image has it only where someone added it."""
    try:
        import pandas
    except ImportError:
        return None
    return pandas
