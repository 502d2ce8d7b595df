"""`compile`: load what was downloaded, compile and compare it, and write the bundle.

What is loaded here may be a program (a pickle), and then everything that this process writes is that program's word. So
the receipt is not written here, and neither the operator nor the server asks this process what came or may be loaded.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from modelward_drift.profiles.reference import FILE as REFERENCE
from modelward_inference.artifact import archive, consent, digests, formats
from modelward_inference.artifact.bundle import MANIFEST, Manifest
from modelward_inference.artifact.consent import Allowed
from modelward_inference.artifact.description import LIBRARIES, Description
from modelward_inference.artifact.forms import COMPILED, OFF
from modelward_inference.artifact.receipt import CACHED, Receipt
from modelward_inference.compile import build
from modelward_inference.errors import ArtifactCorrupt, BundleInvalid
from modelward_inference.fetch import run
from modelward_inference.fetch.contents import beside, reference
from modelward_inference.fetch.sources.source import say, warn
from modelward_inference.parity import golden


def compiled(
    name: str, optimise: str, source: Path, folder: Path, allowed: Allowed = None, *, whole: bool = False
) -> Manifest:
    """Make the bundle in `folder` of what lies in `source`. Raises ModelError.

    `whole`: the bundle gets the original, too, where that is served; else the server reads it where it lies.
    """
    receipt = Receipt.read(source)
    consent.check(receipt.model, allowed, receipt.uri, receipt.digest)
    finished = _finished(receipt, folder, optimise)
    if finished:
        say(f"{finished.file} of {finished.digest} is there already")
        return finished
    clear(folder)
    taken = _cached(receipt, name, optimise, source, folder)
    if taken:
        say(f"{taken.file} of {taken.digest} was compiled before")
        return taken
    with run.all_or_nothing(folder, clear):
        try:
            manifest = _bundled(receipt, name, optimise, source, folder, whole)
        except (ArtifactCorrupt, BundleInvalid) as error:
            raise type(error)(f"{receipt.uri} ({receipt.size} bytes, {receipt.digest}) {error}") from error
        manifest.write(folder)
    for warning in manifest.warnings:
        warn(warning)
    if manifest.compilation:
        say(f"{manifest.compilation.form}: {manifest.compilation.reason}")
    if manifest.joining and not manifest.joining.joins:
        say(f"requests are computed one at a time: {manifest.joining.reason}")
    return manifest


def _cached(receipt: Receipt, name: str, optimise: str, source: Path, folder: Path) -> Manifest | None:
    """The bundle that the download took from the cache, where it is what would be made here."""
    if not receipt.cached:
        return None
    try:
        digests.check(source / CACHED, receipt.cached)
        for each in receipt.cached:
            shutil.copyfile(source / CACHED / each, folder / each)
        found = _finished(receipt, folder, optimise)
    except (BundleInvalid, OSError) as error:
        say(f"the bundle of the cache is not taken: {error}")
        found = None
    if found is None or found.name != name:
        clear(folder)
        return None
    return found


def clear(folder: Path) -> None:
    """Leave nothing of a model that failed, or of an earlier one."""
    for name in archive.NAMES:
        (folder / name).unlink(missing_ok=True)


def _bundled(receipt: Receipt, name: str, optimise: str, source: Path, folder: Path, whole: bool) -> Manifest:
    described = Description.read(source)
    logged = beside.Beside(Manifest.read(source)) if receipt.format == formats.BUNDLE else beside.read(source)
    known = build.Known(described=described)
    if logged.manifest is not None:
        saved = logged.manifest
        known = build.Known(saved.signature, saved.classes, saved.trained_with, saved.golden_rows, described)
    built = build.build(source, folder, receipt.model, known, optimise)
    if (source / REFERENCE).exists():
        shutil.copyfile(source / REFERENCE, folder / REFERENCE)
    unfit = reference.rejected(folder, built.signature)
    if whole and built.compilation.form != COMPILED:
        shutil.move(source / built.file, folder / built.file)
    there = (built.file, golden.FILE, REFERENCE)
    return Manifest(
        name=name,
        format=built.format,
        file=built.file,
        digest=receipt.digest,
        size=receipt.size,
        uri=receipt.uri,
        fetched_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        signature=built.signature,
        libraries=built.libraries,
        warnings=(*receipt.notes, *logged.notes, *built.warnings, *unfit),
        artifact_format=receipt.format,
        classes=built.classes,
        trained_with=_trained_with(known),
        golden_rows=built.golden_rows,
        compilation=built.compilation,
        joining=built.joining,
        refusals=built.refusals,
        columns=built.columns,
        files={each: digests.of(folder / each) for each in there if (folder / each).exists()},
    )


def _trained_with(known: build.Known) -> dict[str, str]:
    if known.trained_with or known.described is None:
        return dict(known.trained_with or {})
    return {name: version for name, version in known.described.versions.items() if name in LIBRARIES}


def _finished(receipt: Receipt, folder: Path, optimise: str) -> Manifest | None:
    """The bundle of an earlier run of this very container, where it is complete and still what is asked for."""
    try:
        found = Manifest.read(folder)
        digests.check(folder, found.files)
    except BundleInvalid:
        return None
    off = found.compilation is not None and found.compilation.form == COMPILED and optimise == OFF
    return None if off or found.digest != receipt.digest or not (folder / MANIFEST).exists() else found
