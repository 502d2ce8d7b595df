"""What a file is, told by its content: to choose a format, and to say what came instead of a model."""

import bz2
import gzip
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

ONNX, SKLEARN, SKOPS, XGBOOST, LIGHTGBM = "onnx", "sklearn", "skops", "xgboost", "lightgbm"
TORCHSCRIPT, BUNDLE = "torchscript", "bundle"
FORMATS = (ONNX, SKLEARN, SKOPS, XGBOOST, LIGHTGBM, TORCHSCRIPT, BUNDLE)

ARCHIVE = "archive"
"""No format of a model: a tar, compressed or not, or a zip archive, that may hold one (`fetch.packed`)."""

FILES_OF_OTHERS = "files"
"""No format: whatever another server than ours loads."""

FILES = {
    ONNX: "model.onnx", SKLEARN: "model.joblib", SKOPS: "model.skops", XGBOOST: "model.ubj", LIGHTGBM: "model.txt",
    TORCHSCRIPT: "model.pt", BUNDLE: "bundle.tar",
}  # fmt: skip
"""The name of an artifact in the bundle's folder; XGBoost's may hold JSON as well."""

SUFFIXES = {
    ".onnx": ONNX, ".joblib": SKLEARN, ".pkl": SKLEARN, ".pickle": SKLEARN, ".skops": SKOPS, ".ubj": XGBOOST,
    ".torchscript": TORCHSCRIPT, ".pt": TORCHSCRIPT,
}  # fmt: skip
"""Ends of names that promise one format; .json, .txt, .model and .tar promise nothing, their content decides."""

RUN_CODE = {SKLEARN: "a pickle (joblib writes one, too)", TORCHSCRIPT: "a TorchScript module"}
"""Formats whose files are programs. TorchScript's are no Python, but its operators open files, and torch itself says
that a module from a stranger is to be treated as code."""

PLATFORMS = {
    ONNX: "onnx_onnxv1", SKLEARN: "sklearn_joblib", SKOPS: "sklearn_skops", XGBOOST: "xgboost_booster",
    LIGHTGBM: "lightgbm_booster", TORCHSCRIPT: "pytorch_torchscript",
}  # fmt: skip
"""What the protocol's model metadata call them, `<project>_<format>`; see `platform_of`."""

BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, OverflowError,
    EOFError,
)  # fmt: skip
"""What zipfile raises of an archive that is damaged, or made to look like one."""

_HEAD = 512
"""Bytes that are looked at."""

_MAX_ENTRIES = 100_000
"""Entries of a zip archive's list that are looked at."""

_FIRST_ENTRIES = 64
"""Entries of a tar archive among which a bundle's manifest is; `save_bundle` writes it first."""

_CODECS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open, b"\x5d\x00\x00": lzma.open,
}  # fmt: skip
"""By a compressed file's first bytes."""

_ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
"""First bytes at each level that joblib compresses with."""

_MANIFEST = "model.json"

_LZ4 = b"\x04\x22M\x18"

_NO_MODELS = {
    b"version https://git-lfs": "a Git LFS pointer; publish the file itself, not the pointer",
    b"<!doctype html": "an HTML page; perhaps an error or log-in page of the store",
    b"<html": "an HTML page; perhaps an error or log-in page of the store",
}
"""By how it begins: what stores give in place of a file."""

_OLD_PICKLE = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\([dl](p0\n|q\x00)|[\](}]q\x00")
"""Protocols 0 and 1 have no signature: such a file begins with a class, a dict or a list."""


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
    words = {b"": "an empty file", **_NO_MODELS, b"<?xml": "an XML document; perhaps an error message of the store"}
    for start, what in words.items():
        if text.startswith(start) if start else not head:
            return None, what
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if _is_tar(head):
        return _tar(path)
    if head.startswith((*_CODECS, *_ZLIB)):
        return _compressed(path, head)
    if head.startswith(_LZ4):
        return SKLEARN, "a compressed file, such as joblib writes"
    return _plain(head)


def no_artifact(path: Path) -> str | None:
    """What came instead of any artifact, whoever is to load it; None: it may be one."""
    with path.open("rb") as handle:
        text = handle.read(_HEAD).lstrip().lower()
    return next((what for start, what in _NO_MODELS.items() if text.startswith(start)), None)


def decompressed(path: Path) -> IO[bytes]:
    """A compressed file's content. Reading raises OSError, EOFError or lzma.LZMAError where it is damaged."""
    with path.open("rb") as handle:
        head = handle.read(8)
    found: IO[bytes] = next(codec for start, codec in _CODECS.items() if head.startswith(start))(path)
    return found


def _plain(head: bytes) -> tuple[str | None, str]:
    """Of a file that is one model, or none."""
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) or _OLD_PICKLE.match(head):
        return SKLEARN, "a Python pickle"
    if head.lstrip().startswith(b"{"):
        return _object(head)
    if head.startswith((b"tree\n", b"tree\r\n")):
        return LIGHTGBM, "a LightGBM model"
    if head.startswith(b"binf"):
        return None, (
            "an XGBoost model in the binary form that XGBoost 3.1 and newer do not read; load it with XGBoost 3.0 or "
            'older and save it again (booster.save_model("model.ubj"))'
        )
    if _is_onnx(head):
        return ONNX, "an ONNX model"
    return None, "no kind of file that is known here"


def _compressed(path: Path, head: bytes) -> tuple[str | None, str]:
    """joblib compresses pickles, and people tar archives; a first block tells which."""
    try:
        if head.startswith(_ZLIB):
            inner = zlib.decompressobj().decompress(head, _HEAD)
        else:
            with decompressed(path) as opened:
                inner = opened.read(_HEAD)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return None, "a compressed file that is damaged, or none after all"
    if _is_tar(inner):
        return ARCHIVE, "a compressed tar archive"
    kind, words = _plain(inner)
    if kind == SKLEARN:
        return SKLEARN, "a compressed pickle, such as joblib writes"
    what = f"{words}, compressed; publish it as it was before" if kind else "a compressed file without a model"
    return None, what


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _tar(path: Path) -> tuple[str, str]:
    """A saved bundle has a manifest; XGBoost's files, too, are called model.json, but look otherwise."""
    try:
        with tarfile.open(path, "r:") as opened:
            for _, member in zip(range(_FIRST_ENTRIES), opened, strict=False):
                if member.name.removeprefix("./") == _MANIFEST:
                    content = opened.extractfile(member) if member.isreg() else None
                    kind = _object(content.read(_HEAD))[0] if content is not None else None
                    return (ARCHIVE, "a tar archive") if kind == XGBOOST else (BUNDLE, "a saved bundle")
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError):
        pass  # who unpacks it says more
    return ARCHIVE, "a tar archive"


def _zip(path: Path) -> tuple[str | None, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MAX_ENTRIES]
    except (*BROKEN_ZIP, OSError, ValueError):
        return None, "a zip archive that is cut off or damaged"
    if "schema.json" in names:
        return SKOPS, "a skops file"
    if any(name.endswith("/constants.pkl") for name in names):
        return TORCHSCRIPT, "a TorchScript module"
    if any(name.endswith("/data.pkl") for name in names):
        return None, "a PyTorch checkpoint, which has weights and no code; publish torch.jit.script(module).save(…)"
    return ARCHIVE, "a zip archive, but neither skops nor TorchScript"


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
