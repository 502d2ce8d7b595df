"""References from children to the custom resource that they belong to."""

from typing import Any

from modelward.api.names import API_VERSION


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Makes the garbage collector remove a child together with its owner."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
