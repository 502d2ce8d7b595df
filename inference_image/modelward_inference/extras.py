"""Which extra of `modelward-inference` brings a library, for who has installed less than what he asks for.

inference_image/pyproject.toml has the extras; a test holds this against it.
"""

from collections.abc import Mapping
from typing import Final

BY_PACKAGE: Final[Mapping[str, str]] = {
    "boto3": "s3", "botocore": "s3", "cryptography": "fetch", "duckdb": "evaluate", "fastapi": "serve",
    "google": "grpc", "grpc": "grpc", "grpc_health": "grpc", "grpc_reflection": "grpc", "httptools": "serve",
    "ibis": "evaluate", "joblib": "compile", "lightgbm": "lightgbm", "onnx": "compile", "onnxmltools": "compile",
    "onnxruntime": "serve", "orjson": "serve", "prometheus_client": "serve",
    "simdjson": "serve", "skl2onnx": "compile", "sklearn": "compile", "skops": "compile", "starlette": "serve",
    "torch": "torch", "urllib3": "fetch", "uvicorn": "serve", "uvloop": "serve", "xgboost": "xgboost",
    "yaml": "fetch",
}  # fmt: skip
"""By the name that is imported."""

OURS: Final = ("modelward_inference", "modelward_monitor", "modelward_evaluate", "modelward_batch")


def cure(error: ModuleNotFoundError) -> str | None:
    """What to install, in a sentence; None where the module is none that an extra brings."""
    package = (error.name or "").partition(".")[0]
    if package in OURS:
        return "this needs more than the training side: pip install 'modelward-inference[image]'"
    if package in BY_PACKAGE:
        return f"{package} is not installed: pip install 'modelward-inference[{BY_PACKAGE[package]}]'"
    return None
