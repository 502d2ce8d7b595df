"""Whether an object in the cluster still is what was rendered.

Two questions together: does every rendered field still have its value (somebody may have edited it), and was the last
applied manifest the same (a field that left the manifest is invisible to the first question)? Server-side defaults and
what other controllers add are not differences.
"""

from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from modelward.api.names import ANNOTATION_APPLIED
from modelward.values.hashing import content_hash

_ATOMIC_LISTS = frozenset({"HTTPRoute"})
"""Kinds whose lists are taken as they are: two backends may have the same name, and one more is a difference."""


def stamped(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the digest of itself as an annotation."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: content_hash(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def differs(manifest: Mapping[str, Any], live: Mapping[str, Any] | None) -> bool:
    """Whether the stamped `manifest` has to be applied to make `live` what it says."""
    return live is None or not _covers(live, manifest, atomic=manifest.get("kind") in _ATOMIC_LISTS)


def covers(live: Any, wanted: Any) -> bool:
    """Whether a part of an object in the cluster has every field that was rendered."""
    return _covers(live, wanted, atomic=False)


def _covers(live: Any, wanted: Any, atomic: bool) -> bool:
    if isinstance(wanted, Mapping):
        if not wanted:
            return live is None or isinstance(live, Mapping)
        return isinstance(live, Mapping) and all(_covers(live.get(key), value, atomic) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _covers_list(live, wanted, atomic)
    if live == wanted:
        return True
    if wanted in (None, "", 0, False) and live is None:
        # The API server drops what is empty anyway.
        return True
    return _same_quantity(live, wanted)


def _covers_list(live: Any, wanted: list[Any], atomic: bool) -> bool:
    if not wanted:
        return not live
    if not isinstance(live, list):
        return False
    named = [item.get("name") for item in wanted if isinstance(item, Mapping)]
    if not atomic and len(set(named) - {None}) == len(wanted):
        # Lists that Kubernetes merges by name: others (a mesh's sidecar) may have added to them.
        by_name = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        return all(_covers(by_name.get(item["name"]), item, atomic) for item in wanted)
    return len(live) == len(wanted) and all(_covers(a, b, atomic) for a, b in zip(live, wanted, strict=True))


def _same_quantity(live: Any, wanted: Any) -> bool:
    """1000m and 1 are the same amount; the API server may store either."""
    if not (isinstance(live, (str, int)) and isinstance(wanted, (str, int))) or isinstance(wanted, bool):
        return False
    try:
        return bool(parse_quantity(live) == parse_quantity(wanted))
    except ValueError:
        return False
