"""skops files: estimators without pickle. Only classes that are named here or by skops itself are ever constructed.

Invariants: nothing is trusted by its library: a class that reads files, opens addresses or runs code has a name like
any other (`numpy.lib.npyio.DataSource`). What walks raw arrays in compiled code is checked before anyone asks it.
"""

import zipfile
import zlib
from pathlib import Path

import skops
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from modelward_inference.artifact import unpacked
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported
from modelward_inference.runtimes import filereaders, rawtrees
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

TRUSTED_CLASSES = frozenset({
    "collections.OrderedDict",
    "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRanker",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "sklearn._loss.loss.AbsoluteError", "sklearn._loss.loss.ExponentialLoss", "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss", "sklearn._loss.loss.HalfMultinomialLoss", "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError", "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity", "sklearn._loss.loss.HuberLoss", "sklearn._loss.loss.PinballLoss",
    "sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel", "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Matern", "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF", "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum", "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor", "xgboost.sklearn.XGBRanker", "xgboost.sklearn.XGBRegressor",
})  # fmt: skip
"""Beyond the list that skops trusts itself: what fitted estimators hold. None of them reads a file or opens an address;
a test goes through all estimators. Functions are never among them."""

MAX_UNPACKED, MAX_RATIO = 256 << 20, 20
"""Bytes that any file may unpack to, and how many times its size a large one may: trees pack to a fifth."""

_SHOWN = 10
"""Names that a message lists."""


def load(path: Path, signature: Signature | None = None, width: int | None = None) -> EstimatorModel:
    """Read an estimator. Raises ArtifactCorrupt, FormatMismatch, or ModelUnsupported with the types it won't build."""
    try:
        unpacked.check_zip(path, MAX_UNPACKED + MAX_RATIO * path.stat().st_size)
        unknown = skops.io.get_untrusted_types(file=path)
        refused = [name for name in unknown if name not in TRUSTED_CLASSES]
        estimator = None if refused else skops.io.load(path, trusted=unknown)
        if estimator is not None:
            rawtrees.check(estimator)
        reader = None if estimator is None else filereaders.named(estimator)
    except MemoryError:
        raise
    except UntrustedTypesFoundException as error:
        raise ModelUnsupported(f"The skops file holds types that are not trusted: {str(error)[:500]}") from error
    except Exception as error:
        # Behind the check of sizes, which reads the whole file, stands what it found.
        damaged = any(isinstance(each, zipfile.BadZipFile | zlib.error | EOFError) for each in (error, error.__cause__))
        cure = "Upload the artifact again" if damaged else f"Save it with skops {skops.__version__}, or as ONNX"
        raise ArtifactCorrupt(
            f"can't be loaded with skops: {type(error).__name__}: {str(error)[:500]}. {cure}"
        ) from error
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise ModelUnsupported(
            f"The skops file holds types that are not trusted: {', '.join(refused[:_SHOWN])}{more}. Only known classes "
            "of scikit-learn, XGBoost and LightGBM are; leave the others out, or export the model as ONNX"
        )
    if reader:
        raise ModelUnsupported(
            f"The skops file holds a {reader} that reads the files which its rows name; set its input to 'content', "
            "and send what is in the files"
        )
    return EstimatorModel(estimator, (), signature, width)
