"""References as files: alone, and in bundles."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference.artifact.archive import MAX_REFERENCE, anonymous
from modelward_inference.artifact.bundle import MANIFEST, Signature, signature_of
from modelward_inference.errors import BundleInvalid, InvalidConfiguration


def save_reference(path: str | Path, reference: Reference) -> Path:
    """Write the document, whole or not at all. Returns the path."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(dump(reference))
    partial.replace(target)
    return target


def load_reference(path: str | Path) -> Reference:
    """Raises BundleInvalid, for a changed one and one of another schema version too."""
    source = Path(path)
    try:
        if source.stat().st_size > MAX_REFERENCE:
            raise ProfileError(f"it has more than {MAX_REFERENCE} bytes")
        return Reference.from_dict(json.loads(source.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleInvalid(f"{source} can't be read as a reference: {str(error)[:500]}") from error


def dump(reference: Reference) -> bytes:
    """The document. Texts as escapes, since categories may hold halves of surrogate pairs."""
    return json.dumps(reference.to_dict(), allow_nan=False, separators=(",", ":")).encode()


def misfit(reference: Reference, signature: Signature) -> str | None:
    """Why it can't be a model's, in words: it has tensors that the model has not."""
    sides = {"input": signature.inputs, "output": signature.outputs}
    names = {side: {tensor.name for tensor in tensors} for side, tensors in sides.items()}
    foreign = sorted({each.tensor for each in reference.features if each.tensor not in names[each.side]})
    if not foreign:
        return None
    return (
        f"the reference is of tensors that the model has not: {', '.join(foreign)[:300]}; make it with this model "
        "(modelward reference --model)"
    )


def put_into(bundle: str | Path, reference: Reference) -> Path:
    """Put it into a saved bundle, in the place of the one that is there; all else stays, byte for byte.

    Raises BundleInvalid where the file is none, InvalidConfiguration where the reference is of another model.
    """
    target = Path(bundle)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with tarfile.open(target, "r:") as source:
            manifest = source.extractfile(MANIFEST)
            raw: Any = json.load(manifest) if manifest else {}
            problem = misfit(reference, signature_of(raw["signature"]))
            if problem:
                raise InvalidConfiguration(problem)
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as written:
                content = dump(reference)
                entry = anonymous(tarfile.TarInfo(FILE))
                entry.size = len(content)
                for member in source:
                    if member.name == FILE:
                        continue
                    written.addfile(member, source.extractfile(member))
                    if member.name == MANIFEST:
                        written.addfile(entry, io.BytesIO(content))
        partial.replace(target)
    except (tarfile.TarError, EOFError, KeyError, TypeError, ValueError) as error:
        raise BundleInvalid(f"{target} is no bundle ({error}); write it with modelward save") from error
    finally:
        partial.unlink(missing_ok=True)
    return target
