"""Writes a software bill of materials (CycloneDX 1.6, JSON) for each image, and a list of licences: `make sbom`.

The lock files say what is in an image, with the digests of the files that pip accepts. Licences come from the packages'
own metadata, as far as they are installed for this Python (where it is another version, that is said); nothing is asked
of a registry.
Invariant: the same lock files and packages give the same documents, byte for byte.
"""

import importlib.metadata
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

IMAGES = {
    "operator": ROOT / "operator/requirements.lock",
    "inference": ROOT / "inference_image/requirements.lock",
    "evaluate": ROOT / "inference_image/evaluate.lock",
}

UNKNOWN = "unknown"

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$")


def main() -> None:
    """The folder to write to is the one argument."""
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    lines: set[str] = set()
    for image, lock in IMAGES.items():
        document = bill(image, lock.read_text())
        (target / f"sbom-{image}.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
        lines |= {f"{each['name']} {each['version']}: {licence_of(each)}" for each in document["components"]}
    (target / "licences.txt").write_text("\n".join(sorted(lines, key=str.lower)) + "\n")


def bill(image: str, lock: str) -> dict[str, Any]:
    """The document for what a lock file pins. Raises ValueError for a package without a digest."""
    found = components(lock)
    # A serial number that is the same for the same content; uuid5 is for names that are unique already.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(found, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": f"modelward/{image}", "bom-ref": f"modelward/{image}"},
        },
        "components": found,
        "dependencies": [{"ref": f"modelward/{image}", "dependsOn": [each["bom-ref"] for each in found]}],
    }


def components(lock: str) -> list[dict[str, Any]]:
    """Packages in the order of the lock file."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if pinned := _PINNED.match(line):
            name, version, marker = pinned.groups()
            address = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
            found.append({"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address})
            if marker:
                found[-1]["properties"] = [{"name": "python:marker", "value": marker}]
            if licence := _licence(name, version):
                found[-1]["licenses"] = [{"license": {"name": licence}}]
        elif digest := re.match(r"^\s+--hash=sha256:([0-9a-f]{64})\s*\\?$", line):
            references = found[-1].setdefault("externalReferences", [])
            hashes = [{"alg": "SHA-256", "content": digest.group(1)}]
            references.append({"type": "distribution", "url": found[-1]["purl"], "hashes": hashes})
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(f"{line!r} pins nothing; write the lock file with `make lock`")
    bare = [each["name"] for each in found if "externalReferences" not in each]
    if bare:
        raise ValueError(f"{', '.join(bare)}: no digest; write the lock file with `make lock`")
    return found


def licence_of(component: dict[str, Any]) -> str:
    """In the words of its metadata."""
    licences = component.get("licenses")
    return str(licences[0]["license"]["name"]) if licences else UNKNOWN


def _licence(name: str, version: str) -> str | None:
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [
        each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or () if each.startswith("License")
    ]
    text = about["License-Expression"] or " or ".join(classifiers) or about["License"] or ""
    if not text.strip():
        return None
    here = "" if about["Version"] == version else f" (as {about['Version']} says)"
    return text.strip().splitlines()[0][:200] + here


if __name__ == "__main__":
    main()
