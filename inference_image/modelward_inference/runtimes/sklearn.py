"""scikit-learn estimators and pipelines, saved with joblib or pickle.

Unpickling runs code of the artifact's choice. It happens in the init container and the server, which have no token, no
capabilities and a read-only root; pin spec.model.digest where others can write to the store.
"""

import warnings as python_warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from modelward_inference.bundle import Signature, Tensor
from modelward_inference.errors import ArtifactCorrupt, FormatMismatch, ModelUnsupported
from modelward_inference.runtimes.base import Array, datatype_of

INPUT = "input"
PREDICT, PREDICT_PROBA = "predict", "predict_proba"


class SklearnModel:
    """One estimator: input `input` of shape [rows, features], outputs `predict` and maybe `predict_proba`."""

    def __init__(self, path: Path) -> None:
        self.libraries = {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
        self._estimator, self.warnings = _load(path)
        # A model that was trained on a data frame says so at every call; here columns come by position.
        python_warnings.filterwarnings("ignore", message="X does not have valid feature names")
        self.signature = self._probe()

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        rows = inputs[INPUT]
        return {name: np.asarray(getattr(self._estimator, name)(rows)) for name in outputs}

    def _probe(self) -> Signature:
        """What goes in and comes out, from the estimator's attributes and a prediction for one row."""
        features = getattr(self._estimator, "n_features_in_", None)
        # Without a number of features it takes texts, as a pipeline that begins with a vectorizer does.
        row: Array = np.array(["text"], dtype=object) if features is None else np.zeros((1, int(features)))
        given = Tensor(INPUT, datatype_of(row), (-1, *row.shape[1:]))
        outputs = []
        for name in (PREDICT, PREDICT_PROBA):
            if hasattr(self._estimator, name):
                outputs += self._described(name, row)
        return Signature((given,), tuple(outputs))

    def _described(self, name: str, row: Array) -> list[Tensor]:
        """An output as a prediction for one row shows it; as the classes tell where the model refuses such a row."""
        try:
            try:
                raw = getattr(self._estimator, name)(row)
            except ValueError:
                # Zero may be a category that an encoder never saw; one is the other common one.
                raw = getattr(self._estimator, name)(np.ones_like(row) if row.dtype.kind == "f" else row)
        except MemoryError:
            raise
        except Exception as error:
            if "DataFrame" in str(error) or "columns" in str(error).lower():
                raise ModelUnsupported(
                    f"The {type(self._estimator).__name__} selects columns by name and needs a data frame ({error}); "
                    "export the model as ONNX"
                ) from error
            classes = np.asarray(getattr(self._estimator, "classes_", np.zeros(1)))
            raw = classes[:1] if name == PREDICT else np.zeros((1, len(classes)))
        if isinstance(raw, list):
            # One array for each target: not one tensor.
            return []
        array = np.asarray(raw)
        return [Tensor(name, datatype_of(array), (-1, *array.shape[1:]))]


def _load(path: Path) -> tuple[Any, tuple[str, ...]]:
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        try:
            estimator = joblib.load(path)
        except MemoryError:
            raise
        except ModuleNotFoundError as error:
            raise ModelUnsupported(
                f"The model needs the Python module {error.name}, which the inference image lacks; export the model as "
                "ONNX, or build an image with the module"
            ) from error
        except Exception as error:
            raise ArtifactCorrupt(
                f"can't be loaded with joblib: {type(error).__name__}: {str(error)[:500]}. Upload the artifact again"
            ) from error
    if not hasattr(estimator, PREDICT):
        raise FormatMismatch(
            f"The file holds a {type(estimator).__module__}.{type(estimator).__name__}, which has no predict(); save "
            "the fitted estimator or pipeline itself"
        )
    trained_with = {
        str(warning.message.original_sklearn_version)
        for warning in caught
        if isinstance(warning.message, InconsistentVersionWarning)
    }
    told = tuple(
        f"trained with scikit-learn {version}, served with {sklearn.__version__}: predictions may differ; train with "
        "the same version, or export the model as ONNX"
        for version in sorted(trained_with)
    )
    return estimator, told
