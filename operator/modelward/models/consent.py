"""Which formats a model's pods may load. Pure.

A pickle, and so joblib's files, and a TorchScript module are programs: they are loaded only where somebody vouches for
the bytes (spec.model.digest), or an administrator allows them for the namespace (a label) or everywhere (a setting).
"""

from collections.abc import Collection, Iterable
from typing import Final

SAFE: Final = ("onnx", "skops", "xgboost", "lightgbm")
"""Formats that hold data and no code; allowed by default."""

RUN_CODE: Final = ("sklearn", "torchscript")

FORMATS: Final = (*SAFE, *RUN_CODE)

FILES: Final = "files"
"""Whatever another server than ours loads (`spec.runtime`): of nothing of it is known what it runs."""

_KNOWN: Final = (*FORMATS, FILES)

_WORDS: Final = {"pickle": "sklearn", "joblib": "sklearn"}
"""Other words for formats."""

_PROMISES: Final = {".onnx": "onnx", ".skops": "skops", ".ubj": "xgboost"}
"""Ends of addresses behind which the download accepts one format only."""


class UnknownFormatError(ValueError):
    """A word that is no format's name."""


def parse(text: str) -> tuple[str, ...]:
    """Formats from words with blanks, commas or dots between them (a label's value has dots).

    Raises UnknownFormatError.
    """
    words = [_WORDS.get(word, word) for word in text.replace(",", " ").replace(".", " ").split()]
    unknown = sorted(set(words).difference(_KNOWN))
    if unknown:
        raise UnknownFormatError(f"{', '.join(unknown)}: no such format; they are {', '.join((*_KNOWN, *_WORDS))}")
    return tuple(each for each in _KNOWN if each in words)


def of_label(value: str | None) -> tuple[str, ...]:
    """What a namespace's label allows besides; a word that is no format allows nothing, and takes nothing away."""
    found: list[str] = []
    for word in (value or "").split("."):
        try:
            found += parse(word)
        except UnknownFormatError:
            continue
    return tuple(each for each in _KNOWN if each in found)


def files_allowed(digest: str | None, consented: Collection[str]) -> tuple[str, ...]:
    """FILES, where another server may load whatever lies at an address, else nothing. See `allowed`."""
    return (FILES,) if digest or FILES in consented else ()


def allowed(uri: str, declared: str, digest: str | None, consented: Collection[str]) -> tuple[str, ...]:
    """The formats that pods of a model may load. `consented`: by the installation and the namespace.

    What a model can't be is left out: so consent for one format leaves the pods of models of others as they are.
    """
    vouched: Iterable[str] = RUN_CODE if digest else ()
    found = {*consented, *vouched}
    promised = _PROMISES.get("." + uri.rpartition(".")[2].partition("?")[0].lower()) if declared == "auto" else declared
    if promised in SAFE:
        found -= set(RUN_CODE)
    return tuple(each for each in FORMATS if each in found)
