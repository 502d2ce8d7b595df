"""Why a pickle can't be loaded, and what helps: it names classes and modules, and these are here or they are not."""

import importlib.metadata
import importlib.util
import lzma
import pickle
import platform
import re
import struct
import zlib

import numpy as np
import sklearn

from modelward_inference.errors import ArtifactCorrupt, ModelError, ModelUnsupported

_CUT = (
    EOFError, pickle.UnpicklingError, zlib.error, lzma.LZMAError, OSError, struct.error, UnicodeDecodeError,
    IndexError, KeyError, MemoryError, OverflowError,
)  # fmt: skip
"""What loading a file raises that is cut off or damaged; KeyError and IndexError: of pickle's own stack and memo."""

_MISSING = re.compile(r"Can't get attribute '([^']+)' on <module '([^']+)'")

_SCRIPT = ("__main__", "__mp_main__")
"""Modules of whatever program runs: of the one that trained there, of this one here."""


def explained(error: Exception) -> ModelError:
    """What to raise instead, with a cure that is one."""
    told = f"{type(error).__name__}: {_plain(str(error))}"
    missing = _MISSING.search(str(error))
    if missing and missing[2].rpartition(".")[2] in _SCRIPT:
        return ModelUnsupported(
            f"The model holds {missing[1]}, which was defined in a notebook or script (__main__), so that no other "
            "process finds it. Move it to a module of a package, import it from there, save the model again, and build "
            "the inference image with the package; or export the model as ONNX"
        )
    if missing:
        return ModelUnsupported(f"The model needs {missing[2]}.{missing[1]}, which {_version_of(missing[2])}. {_CURE}")
    if isinstance(error, ModuleNotFoundError) and error.name:
        if _is_here(error.name):
            return ModelUnsupported(
                f"The model needs the module {error.name}, which {_version_of(error.name)}. {_CURE}"
            )
        return ModelUnsupported(
            f"The model needs the Python module {error.name}, which the inference image lacks; export the model as "
            "ONNX, or build an image with the module"
        )
    if "LZ4" in str(error):
        return ModelUnsupported(
            "The model is compressed with LZ4, which the inference image lacks; save it with joblib.dump(…, compress=3)"
        )
    # A class of someone's own may raise anything, too; then another version of it would.
    if (isinstance(error, _CUT) and not isinstance(error, FileNotFoundError)) or str(error).startswith("EOF"):
        return ArtifactCorrupt(f"can't be loaded with joblib: {told}. Upload the artifact again")
    return ModelUnsupported(f"The model can't be loaded with joblib: {told}. {_CURE}")


_CURE = (
    "It was saved with other versions than those of this image, or changed since: train with "
    f"scikit-learn {sklearn.__version__}, numpy {np.__version__} and Python {platform.python_version()}, or export the "
    "model as ONNX"
)


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _version_of(module: str) -> str:
    package = module.partition(".")[0]
    names = importlib.metadata.packages_distributions().get(package, ())
    version = f" {importlib.metadata.version(names[0])}" if names else ""
    return f"{package}{version} of this image does not have"


def _plain(text: str) -> str:
    """Without the paths of this image's files, which help nobody."""
    return re.sub(r" from '[^']*'", "", text).strip()[:500]
