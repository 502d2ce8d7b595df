"""The inference image: `fetch` brings a model into a bundle, `serve` answers requests with it.

`save_bundle` and `log_model` are for training scripts, which import them from `modelward`: one writes the model, its
signature, its golden rows and its reference into a file, the other logs them to MLflow. `make_reference` and
`save_reference` are for models that have a file already.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "log_model", "make_reference", "save_bundle", "save_reference"]


def __getattr__(name: str) -> Any:
    # Not imported at once: numpy must not be loaded before the server has set the number of threads.
    if name == "save_bundle":
        from modelward_inference.training.save import save_bundle

        return save_bundle
    if name == "log_model":
        from modelward_inference.training.log import log_model

        return log_model
    if name == "make_reference":
        from modelward_inference.reference.make import make_reference

        return make_reference
    if name == "save_reference":
        from modelward_inference.reference.store import save_reference

        return save_reference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
