"""The inference image: `fetch` brings a model into a bundle, `serve` answers requests with it.

`save_bundle` is for training scripts: it writes the model, its signature and its golden rows into one file.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "save_bundle"]


def __getattr__(name: str) -> Any:
    # Not imported at once: numpy must not be loaded before the server has set the number of threads.
    if name == "save_bundle":
        from modelward_inference.save import save_bundle

        return save_bundle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
