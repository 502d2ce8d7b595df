"""Which of MLflow's flavours logs a model, and what of it is served once it was logged so.

Invariant: `served` is what the image reads back, in the form in which MLflow keeps it, so that its answers are those of
the registry's version and not of another form of the same model.
Failure: FormatUnknown for what is no model, ModelUnsupported for one that no flavour keeps in a form that is served.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_inference.errors import FormatUnknown, InvalidConfiguration, ModelUnsupported

SKOPS: Final = "skops"
FORMAT, TRUSTED = "serialization_format", "skops_trusted_types"
"""Options of MLflow's own log_model."""

_SHOWN = 10
"""Names that a message lists."""


@dataclass(frozen=True)
class Flavour:
    """`name`: of the module in `mlflow`; `logged`: what its log_model is given; `served`: as `save_bundle` takes a
    model; `options`: of log_model, where its caller has not set them."""

    name: str
    logged: Any
    served: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def of(model: Any, folder: Path, options: Mapping[str, Any]) -> Flavour:
    """By the library that the model is of, or one of its classes' bases. `folder`: for a file; `options`: that the
    caller sets."""
    if isinstance(model, str | Path):
        raise FormatUnknown(
            f"{str(model)[:200]!r} is a path: log_model takes the model itself. Load it first; or write a bundle of "
            "the file with save_bundle"
        )
    if isinstance(model, bytes) or hasattr(model, "SerializeToString"):
        return _onnx(model)
    packages = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    if "torch" in packages:
        if not hasattr(model, "code"):
            raise ModelUnsupported(
                f"A {_name(model)} is a Python program, which the server does not have: log TorchScript "
                "(torch.jit.script(module)), or ONNX (torch.onnx.export)"
            )
        return Flavour("pytorch", model, model, {FORMAT: "pickle"})
    if "xgboost" in packages:
        # Of an estimator MLflow keeps the booster, in XGBoost's own form.
        return Flavour("xgboost", model, model.get_booster() if hasattr(model, "get_booster") else model)
    if "lightgbm" in packages:
        if not hasattr(model, "booster_"):
            return Flavour("lightgbm", model, model)
        classes = getattr(model, "classes_", None)
        if classes is None or np.array_equal(classes, np.arange(len(classes))):
            return Flavour("lightgbm", model.booster_, model.booster_)
        return _estimator("lightgbm", model, folder, options)  # the booster does not know what its classes are called
    if hasattr(model, "fit") and (hasattr(model, "predict") or hasattr(model, "transform")):
        return _estimator("sklearn", model, folder, options)
    raise FormatUnknown(
        f"A {_name(model)} is no model that is known here; pass a fitted estimator of scikit-learn, XGBoost or "
        "LightGBM, a booster of these, a TorchScript module, or ONNX"
    )


def options_of(flavour: Flavour, log_model: Callable[..., Any], release: str) -> dict[str, Any]:
    """Those that this release of MLflow knows. Raises InvalidConfiguration where it has no form that is wanted."""
    known = inspect.signature(log_model).parameters
    if TRUSTED in flavour.options and TRUSTED not in known:
        raise InvalidConfiguration(
            f"MLflow {release} does not log estimators as skops: pip install --upgrade mlflow; or pass "
            f"serialization_format='cloudpickle', {_PROGRAM}"
        )
    return {name: value for name, value in flavour.options.items() if name in known}  # it has one form alone


def _estimator(name: str, model: Any, folder: Path, options: Mapping[str, Any]) -> Flavour:
    """As skops, which runs no code when it is read, unless the caller wants another form."""
    if options.get(FORMAT, SKOPS) != SKOPS:
        return Flavour(name, model, model)
    try:
        import skops.io
    except ImportError:
        raise InvalidConfiguration(
            "skops is not installed, in whose form estimators are logged: pip install skops; or pass "
            f"serialization_format='cloudpickle', {_PROGRAM}"
        ) from None
    from modelward_inference.runtimes.skops import TRUSTED_CLASSES

    file = folder / "model.skops"
    try:
        skops.io.dump(model, file)
        needed = skops.io.get_untrusted_types(file=file)
    except Exception as error:
        raise ModelUnsupported(f"skops can't keep the {_name(model)}: {str(error)[:300]}. {_CURE}") from error
    refused = sorted(set(needed) - TRUSTED_CLASSES)
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise ModelUnsupported(
            f"The model holds what is none of the known classes of scikit-learn, XGBoost and LightGBM: "
            f"{', '.join(refused[:_SHOWN])}{more}. {_CURE}"
        )
    return Flavour(name, model, file, {FORMAT: SKOPS, TRUSTED: sorted(needed)})


_PROGRAM = "a program that a cluster loads only where that was allowed (docs/bundle.md, What is trusted)"

_CURE = f"Leave it out of the model; or pass serialization_format='cloudpickle', {_PROGRAM}"


def _onnx(model: Any) -> Flavour:
    if not isinstance(model, bytes):
        return Flavour("onnx", model, model)
    import onnx

    return Flavour("onnx", onnx.load_model_from_string(model), model)


def _name(model: Any) -> str:
    return f"{type(model).__module__}.{type(model).__name__}"
