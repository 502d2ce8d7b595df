"""What a training script calls, on numpy alone: `pip install modelward`, `import modelward`.

    modelward.save_bundle("fraud.tar", model, X)
    modelward.log_model(model, X=X, y=y, registered_model_name="fraud", alias="champion")

In the wheel this folder is the package `modelward`, in whose place the operator's lies in the repository. Names are
imported once they are asked for: the model's library may want to set its threads before numpy is there.
"""

from typing import TYPE_CHECKING, Any

from modelward_inference import __version__
from modelward_inference.errors import ModelError

if TYPE_CHECKING:
    from modelward_inference.reference.make import make_reference
    from modelward_inference.reference.store import save_reference
    from modelward_inference.training.log import LoggedModel, log_model
    from modelward_inference.training.save import save_bundle

__all__ = [
    "LoggedModel", "ModelError", "__version__", "log_model", "make_reference", "save_bundle", "save_reference",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "LoggedModel":
        from modelward_inference.training.log import LoggedModel

        return LoggedModel
    if name in __all__:
        import modelward_inference

        return getattr(modelward_inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
