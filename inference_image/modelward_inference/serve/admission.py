"""What a server may load: decided by the download's receipt and by the operator, never by what was loaded since.

The bundle's manifest is the word of a process that has loaded the artifact, which may be a program. So a compiled form
is taken as ONNX or not at all, which runs no code; any other form is the downloaded file itself, of the format that the
download found in its content, with the digest that it noted.
Failure: BundleInvalid or FormatNotAllowed, before anything is loaded.
"""

from pathlib import Path

from modelward_inference import runtimes
from modelward_inference.artifact import consent, digests, formats
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.consent import Allowed
from modelward_inference.artifact.forms import COMPILED
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.errors import BundleInvalid
from modelward_inference.runtimes.base import Model


def load(folder: Path, artifact: Path | None, allowed: Allowed, threads: int) -> tuple[Manifest, Model]:
    """`artifact`: the download's folder; None where one program fetched the whole bundle into `folder`.

    Raises ModelError.
    """
    manifest = Manifest.read(folder)
    digests.check(folder, manifest.files)
    path = _own(folder, manifest, allowed) if artifact is None else _received(folder, artifact, manifest, allowed)
    return manifest, runtimes.load(manifest.format, path, threads, manifest.signature)


def _own(folder: Path, manifest: Manifest, allowed: Allowed) -> Path:
    compiled = manifest.compilation is not None and manifest.compilation.form == COMPILED
    if not (compiled and manifest.format == formats.ONNX):  # what was compiled here needs nobody's consent
        consent.check(manifest.format, allowed, str(folder / manifest.file), manifest.digest)
    return folder / manifest.file


def _received(folder: Path, artifact: Path, manifest: Manifest, allowed: Allowed) -> Path:
    receipt = Receipt.read(artifact)
    for field, told, came in (
        ("digest", manifest.digest, receipt.digest),
        ("size", manifest.size, receipt.size),
        ("uri", manifest.uri, receipt.uri),
        ("artifact_format", manifest.artifact_format, receipt.format),
    ):
        if told != came:
            raise BundleInvalid(
                f"The bundle says that its {field} is {told!s:.200}, but {came} was downloaded: what was loaded has "
                "changed the bundle. Look at who wrote the artifact"
            )
    if manifest.compilation is not None and manifest.compilation.form == COMPILED:
        if manifest.format != formats.ONNX:
            raise BundleInvalid(f"The bundle's compiled form is {manifest.format!s:.50}, and can only be ONNX")
        path = folder / formats.FILES[formats.ONNX]
        if path.name not in manifest.files:
            raise BundleInvalid(f"The bundle's {path.name} has no digest; fetch the model anew")
        return path
    if manifest.format != receipt.model:
        raise BundleInvalid(
            f"The bundle asks for a model of format {manifest.format!s:.50}, but {receipt.model} was downloaded"
        )
    consent.check(receipt.model, allowed, receipt.uri, receipt.digest)
    receipt.check(artifact, receipt.file)
    return artifact / receipt.file
