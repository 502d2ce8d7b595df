"""scikit-learn estimators and pipelines, saved with joblib or pickle.

Unpickling runs code of the artifact's choice. It happens in the init container, which has no token, no capabilities and
a read-only root, and in the server only where the original is served; pin spec.model.digest where others can write to
the store.
"""

import warnings as python_warnings
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from modelward_inference.artifact.bundle import Signature
from modelward_inference.runtimes import unpickled
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators.estimator import EstimatorModel


def load(path: Path, signature: Signature | None = None, width: int | None = None) -> Model:
    """Unpickle an estimator. Raises ArtifactCorrupt, FormatMismatch or ModelUnsupported."""
    estimator, warnings = _unpickled(path)
    return _booster(estimator) or EstimatorModel(estimator, warnings, signature, width)


def _booster(found: Any) -> Model | None:
    """A Booster that was pickled, as SageMaker's older XGBoost did, is the one of its library's own file."""
    package, name = type(found).__module__.partition(".")[0], type(found).__name__
    if name != "Booster":
        return None
    if package == "xgboost":
        from modelward_inference.runtimes.xgboost import XgboostModel

        return XgboostModel(bytes(found.save_raw("ubj")))
    if package == "lightgbm":
        from modelward_inference.runtimes.lightgbm import LightgbmModel

        return LightgbmModel(found.model_to_string(num_iteration=-1))
    return None


def _unpickled(path: Path) -> tuple[Any, tuple[str, ...]]:
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        try:
            estimator = joblib.load(path)
        except MemoryError:
            raise
        except Exception as error:
            raise unpickled.explained(error) from error
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
