"""A claim is one volume of a pod, however many things of it lie there.

The kubelet mounts a claim that two volumes name for one of them only, and such a pod waits for ever (kubernetes issue
28502). A cache, a prediction log, a model and a team's own volume may all name the same one.
"""

from collections.abc import Mapping
from typing import Any

from modelward.api.names import VOLUME_CACHE

Volume = Mapping[str, Any]


def each_once(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod's spec with one volume a claim, and all mounts of it. The very same where that is so already. The claim is
    writable where one of them was, and a mount of one that was not stays so."""
    claims: dict[str, list[Volume]] = {}
    for volume in pod.get("volumes") or ():
        if (name := (volume.get("persistentVolumeClaim") or {}).get("claimName")) is not None:
            claims.setdefault(name, []).append(volume)
    shared = {name: found for name, found in claims.items() if len(found) > 1}
    if not shared:
        return dict(pod)
    kept_as = {each["name"]: _kept(found) for found in shared.values() for each in found}
    read_only = {each["name"] for found in shared.values() for each in found if _is_read_only(each)}

    def mounted(mount: Mapping[str, Any]) -> dict[str, Any]:
        made = {**mount, "name": kept_as.get(mount["name"], mount)["name"]}
        return made | ({"readOnly": True} if mount["name"] in read_only else {})

    def made(container: Mapping[str, Any]) -> dict[str, Any]:
        mounts = container.get("volumeMounts")
        return dict(container) if mounts is None else {**container, "volumeMounts": [mounted(each) for each in mounts]}

    volumes = []
    for volume in pod["volumes"]:
        kept = kept_as.get(volume["name"], volume)
        if kept["name"] == volume["name"]:
            volumes.append(kept)
    containers = {
        kind: [made(each) for each in pod[kind]]
        for kind in ("initContainers", "containers")
        if pod.get(kind) is not None
    }
    return {**pod, **containers, "volumes": volumes}


def _kept(found: list[Volume]) -> Volume:
    """The cache's, by whose name it is known what pods have for one."""
    volume = next((each for each in found if each["name"] == VOLUME_CACHE), found[0])
    claim = {"claimName": volume["persistentVolumeClaim"]["claimName"]}
    if all(map(_is_read_only, found)):
        claim["readOnly"] = True
    return {**volume, "persistentVolumeClaim": claim}


def _is_read_only(volume: Volume) -> bool:
    return bool(volume["persistentVolumeClaim"].get("readOnly"))
