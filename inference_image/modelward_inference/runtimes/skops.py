"""skops files: estimators without pickle. Only classes of known libraries are ever constructed.

Invariant: a function, or a class of any other module, is refused by name before anything of the file is built.
"""

import importlib
from pathlib import Path

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from modelward_inference.bundle import Signature
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported
from modelward_inference.runtimes.estimator import EstimatorModel

TRUSTED_LIBRARIES = frozenset({"sklearn", "numpy", "scipy", "xgboost", "lightgbm"})
"""Libraries whose classes are trusted beyond the list that skops trusts itself. Their functions are not."""

TRUSTED_CLASSES = frozenset({"collections.OrderedDict"})
"""Harmless containers that LightGBM's estimators hold."""

_SHOWN = 10
"""Names that a message lists."""


def load(path: Path, signature: Signature | None = None) -> EstimatorModel:
    """Read an estimator. Raises ArtifactCorrupt, FormatMismatch, or ModelUnsupported with the types it won't build."""
    try:
        unknown = skops.io.get_untrusted_types(file=path)
        refused = [name for name in unknown if not _is_trusted(name)]
        estimator = None if refused else skops.io.load(path, trusted=unknown)
    except MemoryError:
        raise
    except UntrustedTypesFoundException as error:
        raise ModelUnsupported(f"The skops file holds types that are not trusted: {str(error)[:500]}") from error
    except Exception as error:
        raise ArtifactCorrupt(
            f"can't be loaded with skops: {type(error).__name__}: {str(error)[:500]}. Upload the artifact again"
        ) from error
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise ModelUnsupported(
            f"The skops file holds types that are not trusted: {', '.join(refused[:_SHOWN])}{more}. Only classes of "
            f"{', '.join(sorted(TRUSTED_LIBRARIES))} are; leave the others out, or export the model as ONNX"
        )
    return EstimatorModel(estimator, (), signature)


def _is_trusted(name: str) -> bool:
    if name in TRUSTED_CLASSES:
        return True
    if name.partition(".")[0] not in TRUSTED_LIBRARIES:
        return False
    module, _, attribute = name.rpartition(".")
    try:
        return isinstance(getattr(importlib.import_module(module), attribute), type)
    except (ImportError, AttributeError):
        return False
