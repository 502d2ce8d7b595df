"""The reference in a fetched bundle: a model without one is served all the same, and so is one with a bad one."""

from pathlib import Path

from modelward_drift.profiles.reference import FILE
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import BundleInvalid
from modelward_inference.reference import store


def rejected(folder: Path, signature: Signature) -> tuple[str, ...]:
    """Take a reference that can't be used out of the bundle; returns a warning with cause and cure, or none."""
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        problem = store.misfit(store.load_reference(path), signature)
    except BundleInvalid as error:
        problem = str(error)
    if problem is None:
        return ()
    path.unlink()
    return (f"The bundle's reference is not used, so that one is learned from the first requests: {problem}",)
