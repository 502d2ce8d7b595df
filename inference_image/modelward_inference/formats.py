"""What a file is, told by its first bytes: to choose a format, and to say what came instead of a model."""

from pathlib import Path

ONNX, SKLEARN = "onnx", "sklearn"
FORMATS = (ONNX, SKLEARN)

SUFFIXES = {".onnx": ONNX, ".joblib": SKLEARN, ".pkl": SKLEARN, ".pickle": SKLEARN}

PLATFORMS = {ONNX: "onnx_onnxv1", SKLEARN: "sklearn_joblib"}
"""What the protocol's model metadata call them."""

_HEAD = 512
"""Bytes that are looked at."""


def by_suffix(name: str) -> str | None:
    """The format that the end of a file's name promises."""
    return SUFFIXES.get(Path(name).suffix.lower())


def looks_like(path: Path) -> tuple[str | None, str]:
    """The format that the content is of (None: neither of ours), and in words what it looks like."""
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    text = head.lstrip().lower()
    words = {
        b"": "an empty file",
        b"version https://git-lfs": "a Git LFS pointer; publish the file itself, not the pointer",
        b"<!doctype html": "an HTML page; perhaps an error or log-in page of the store",
        b"<html": "an HTML page; perhaps an error or log-in page of the store",
        b"<?xml": "an XML document; perhaps an error message of the store",
        b"{": "a JSON document",
    }
    for start, what in words.items():
        if text.startswith(start) if start else not head:
            return None, what
    if head.startswith(b"PK\x03\x04"):
        return None, "a zip archive, such as PyTorch and skops write"
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return SKLEARN, "a Python pickle"
    if head.startswith((b"\x1f\x8b", b"x\x9c", b"x^", b"BZh", b"\xfd7zXZ", b"\x04\x22M\x18")):
        # joblib compresses pickles; whether one is inside, only loading tells.
        return SKLEARN, "a compressed file, such as joblib writes"
    if _is_onnx(head):
        return ONNX, "an ONNX model"
    return None, "no kind of file that is known here"


def _is_onnx(head: bytes) -> bool:
    """A protobuf without a signature: it begins with field 1 (ir_version, a small number) and a text or graph."""
    return len(head) > 4 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in (0x12, 0x3A, 0x42)
