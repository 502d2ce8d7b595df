"""What `modelward.log_model` put beside a model in MLflow: the manifest, golden rows and the reference.

It is the author's word, as in a saved bundle: golden rows that can be read have to be reproduced. What can't be read,
or is of another release, stops no model: it is told in a note, and the model is served as any that MLflow logged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelward_inference.artifact import archive
from modelward_inference.artifact.bundle import GOLDEN, MANIFEST, REFERENCE, Manifest
from modelward_inference.errors import BundleInvalid

NAMES = (MANIFEST, GOLDEN, REFERENCE)

_UNUSED = "what log_model put beside the model is not used ({why}); log the model again with this release"


def take(found: Mapping[str, Path], folder: Path) -> tuple[str, ...]:
    """Move the files to `folder`, by name; returns notes on those that are not taken. Nothing of them is loaded."""
    sizes = {name: path.stat().st_size for name, path in found.items()}
    large = sorted(name for name, size in sizes.items() if size > archive.LIMITS[name])
    if large:
        return (_UNUSED.format(why=f"{large[0]} has more than {archive.LIMITS[large[0]]} bytes"),)
    for name, path in found.items():
        path.replace(folder / name)
    lacking = [name for name in (MANIFEST, GOLDEN) if name not in found]
    if len(lacking) == 1:
        _drop(folder)
        return (_UNUSED.format(why=f"{lacking[0]} did not come with it"),)
    return ()


@dataclass(frozen=True)
class Beside:
    """`manifest`: None where there is none that can be used; `notes`: on why."""

    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()


def read(folder: Path) -> Beside:
    """What `take` moved there."""
    from modelward_inference.parity.golden import GoldenRows  # numpy, which the download does without

    if not (folder / MANIFEST).exists():
        return Beside()
    try:
        manifest = Manifest.read(folder)
        if manifest.golden_rows != GoldenRows.read(folder).count:
            raise BundleInvalid(f"{MANIFEST} tells of other golden rows than {GOLDEN} holds")
    except BundleInvalid as error:
        return Beside(notes=(_UNUSED.format(why=str(error)[:500]),))
    return Beside(manifest)


def _drop(folder: Path) -> None:
    for name in (MANIFEST, GOLDEN):
        (folder / name).unlink(missing_ok=True)
