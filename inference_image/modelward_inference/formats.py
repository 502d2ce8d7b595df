"""What a file is, told by its content: to choose a format, and to say what came instead of a model."""

import zipfile
from pathlib import Path

ONNX, SKLEARN, SKOPS, XGBOOST, LIGHTGBM = "onnx", "sklearn", "skops", "xgboost", "lightgbm"
TORCHSCRIPT, BUNDLE = "torchscript", "bundle"
FORMATS = (ONNX, SKLEARN, SKOPS, XGBOOST, LIGHTGBM, TORCHSCRIPT, BUNDLE)

FILES = {
    ONNX: "model.onnx", SKLEARN: "model.joblib", SKOPS: "model.skops", XGBOOST: "model.ubj", LIGHTGBM: "model.txt",
    TORCHSCRIPT: "model.pt", BUNDLE: "bundle.tar",
}  # fmt: skip
"""The name of an artifact in the bundle's folder; XGBoost's may hold JSON as well."""

SUFFIXES = {
    ".onnx": ONNX, ".joblib": SKLEARN, ".pkl": SKLEARN, ".pickle": SKLEARN, ".skops": SKOPS, ".ubj": XGBOOST,
    ".torchscript": TORCHSCRIPT, ".pt": TORCHSCRIPT, ".tar": BUNDLE,
}  # fmt: skip
"""Ends of names that promise one format; .json, .txt and .model promise nothing, their content decides."""

PLATFORMS = {
    ONNX: "onnx_onnxv1", SKLEARN: "sklearn_joblib", SKOPS: "sklearn_skops", XGBOOST: "xgboost_booster",
    LIGHTGBM: "lightgbm_booster", TORCHSCRIPT: "pytorch_torchscript",
}  # fmt: skip
"""What the protocol's model metadata call them, `<project>_<format>`; see `platform_of`."""

_HEAD = 512
"""Bytes that are looked at."""

_MAX_ENTRIES = 100_000
"""Entries of a zip archive's list that are looked at."""


def platform_of(kind: str) -> str:
    """The protocol's word for a format; one without a word of its own is shown as it is."""
    return PLATFORMS.get(kind, kind)


def by_suffix(name: str) -> str | None:
    """The format that the end of a file's name promises."""
    return SUFFIXES.get(Path(name).suffix.lower())


def looks_like(path: Path) -> tuple[str | None, str]:
    """The format that the content is of (None: none of ours), and in words what it looks like."""
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    text = head.lstrip().lower()
    words = {
        b"": "an empty file",
        b"version https://git-lfs": "a Git LFS pointer; publish the file itself, not the pointer",
        b"<!doctype html": "an HTML page; perhaps an error or log-in page of the store",
        b"<html": "an HTML page; perhaps an error or log-in page of the store",
        b"<?xml": "an XML document; perhaps an error message of the store",
    }
    for start, what in words.items():
        if text.startswith(start) if start else not head:
            return None, what
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head[257:262] == b"ustar":
        return BUNDLE, "a tar archive"
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return SKLEARN, "a Python pickle"
    if head.startswith((b"\x1f\x8b", b"x\x9c", b"x^", b"BZh", b"\xfd7zXZ", b"\x04\x22M\x18")):
        # joblib compresses pickles; whether one is inside, only loading tells.
        return SKLEARN, "a compressed file, such as joblib writes"
    if text.startswith(b"{"):
        return _object(head)
    if head.startswith((b"tree\n", b"tree\r\n")):
        return LIGHTGBM, "a LightGBM model"
    if _is_onnx(head):
        return ONNX, "an ONNX model"
    return None, "no kind of file that is known here"


def _zip(path: Path) -> tuple[str | None, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MAX_ENTRIES]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return None, "a zip archive that is cut off or damaged"
    if "schema.json" in names:
        return SKOPS, "a skops file"
    if any(name.endswith("/constants.pkl") for name in names):
        return TORCHSCRIPT, "a TorchScript module"
    if any(name.endswith("/data.pkl") for name in names):
        return None, "a PyTorch checkpoint, which has weights and no code; publish torch.jit.script(module).save(…)"
    return None, "a zip archive, but neither skops nor TorchScript"


def _object(head: bytes) -> tuple[str | None, str]:
    """XGBoost writes a JSON or UBJSON object with the keys `learner` and `version`, in either order."""
    if head.startswith(b"{L") and (b"learner" in head or b"version" in head):
        return XGBOOST, "an XGBoost model (UBJSON)"
    if b'"learner"' in head:
        return XGBOOST, "an XGBoost model (JSON)"
    return None, "a JSON document"


def _is_onnx(head: bytes) -> bool:
    """A protobuf without a signature: it begins with field 1 (ir_version, a small number) and a text or graph."""
    return len(head) > 4 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in (0x12, 0x3A, 0x42)
