"""The parts of an OpenLineage event, as its specification names them. Pure.

Spec: https://openlineage.io/spec/2-0-2/OpenLineage.json and https://openlineage.io/spec/facets/. Invariant: what others
wrote (registries, pods, users) is cut, and addresses lose what may be secret (logins, queries) before they leave the
cluster.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from modelward import __version__
from modelward.net.untrusted import bare, printable

PRODUCER: Final = f"https://modelward.io/operator/{__version__}"
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
MODEL_FACET: Final = "https://modelward.io/openlineage/1-1-0/ModelwardModelRunFacet.json"
"""Of the own facet; the schema is docs/openlineage/ModelwardModelRunFacet.json."""

WORD, SENTENCE = 300, 1000
"""Characters of a foreign name or address, and of a message."""

GATES: Final = 20
"""Whose evidence an event has."""

_SCP: Final = re.compile(r"(?:[\w.+-]+@)?([\w.-]+):(?!//)([\w./~+-]+)")


def plain(text: object, most: int = WORD) -> str:
    """Without what may be secret in addresses, printable, on one line, cut."""
    words = " ".join(printable(str(text)[: 8 * most]).split())
    shown = bare(words)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def facet(name: str, version: str, /, **fields: Any) -> dict[str, Any]:
    """`name`: of the schema's file, `version`: of the schema. Fields that are None are left out."""
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_FACETS}/{version}/{name}.json#/$defs/{name}",
        **{key: value for key, value in fields.items() if value is not None},
    }


def model_facet(**fields: Any) -> dict[str, Any]:
    """The own one, `modelward_model`. Fields that are None or empty are left out."""
    known = {key: value for key, value in fields.items() if value not in (None, "", [], {})}
    return {"_producer": PRODUCER, "_schemaURL": f"{MODEL_FACET}#/$defs/ModelwardModelRunFacet", **known}


def gates(told: Any) -> list[dict[str, str]]:
    """The evidence of `status.rollout.gates`."""
    found = []
    for each in list(told or ())[:GATES]:
        named = {name: plain(each[name], SENTENCE) for name in ("name", "verdict", "limit", "message") if name in each}
        found.append(named)
    return found


def looked_up(told: Any) -> dict[str, str]:
    """The feature service of a revision, and the digest of its definitions where that is pinned, as status has them."""
    found = told if isinstance(told, Mapping) else {}
    return {name: plain(found[name]) for name in ("service", "digest") if found.get(name)}


def source_code(lineage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the code lies that made a model; None where nobody told an address of a repository."""
    repository = str(lineage.get("repository") or "")[: 2 * WORD]
    if found := _SCP.fullmatch(repository):
        repository = f"ssh://{found[1]}/{found[2]}"
    address = plain(repository)
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname or not address.isascii():
        return None
    if " " in address or len(repository) > WORD:
        return None
    commit = plain(lineage["commit"]) if lineage.get("commit") else None
    return facet("SourceCodeLocationJobFacet", "1-1-0", type="git", url=address, repoUrl=address, version=commit)


def data_sets(lineage: Mapping[str, Any], namespace: str) -> list[dict[str, Any]]:
    """What a model learnt from, as its registry told: names in `namespace`, digests as versions, addresses as
    symlinks."""
    found: dict[str, dict[str, Any]] = {}
    for each in lineage.get("dataSets") or ():
        name = plain(each.get("name") or "")
        if not name:
            continue
        facets: dict[str, Any] = {}
        if digest := each.get("digest"):
            facets["version"] = _version(plain(digest))
        if link := _link(str(each.get("source") or "")):
            facets["symlinks"] = facet("SymlinksDatasetFacet", "1-0-1", identifiers=[link])
        found[name] = {"namespace": namespace, "name": name, "facets": facets}
    return list(found.values())


def model_set(namespace: str, name: str, version: str | None) -> dict[str, Any]:
    """A version of a model as a data set: of a registered one, or of what is served."""
    return {"namespace": namespace, "name": name, "facets": {"version": _version(plain(version))} if version else {}}


def _version(text: str) -> dict[str, Any]:
    return facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=text)


def _link(source: str) -> dict[str, str] | None:
    """The identity of what lies at an address, as https://openlineage.io/docs/spec/naming has it."""
    address = plain(source)
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    path = parts.path.strip("/")
    if not parts.scheme or not parts.netloc or not path or len(source) > WORD:
        return None
    return {"namespace": f"{parts.scheme}://{parts.netloc}", "name": path, "type": "LOCATION"}
