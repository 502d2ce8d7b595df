"""The JSON of `modelward lineage -o json`. Its shape stays: fields may be added under the same `schemaVersion`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelward_cli.lineage.answers import Answer, Search
from modelward_cli.lineage.compare import differences
from modelward_cli.lineage.origin import Origin

SCHEMA_VERSION: Final = 1

REQUEST, REVISION, MODEL = "Request", "Revision", "Model"


@dataclass(frozen=True)
class Found:
    """One revision. `certain`: False where it could have been, or got a copy alone; `share`: percent of the requests
    then, None: not known; `answers`: by pods that remember the request; `before`: what was stable before it."""

    origin: Origin
    before: Origin | None
    certain: bool = True
    share: int | None = None
    answers: Sequence[Answer] = ()


@dataclass(frozen=True)
class Report:
    """`kind`: of what was asked for; `notes`: sentences; `search`: of a request."""

    kind: str
    name: str
    namespace: str | None
    found: Sequence[Found]
    notes: Sequence[str] = ()
    search: Search | None = None


def document(report: Report) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "schemaVersion": SCHEMA_VERSION,
        "asked": {"kind": report.kind, "name": report.name},
        "namespace": report.namespace,
        "revisions": [_found(each) for each in report.found],
        "notes": list(report.notes),
    }
    if report.search is not None:
        shown["pods"] = [
            {
                "name": each.pod,
                "model": each.model,
                "revision": each.revision,
                "remembersSince": each.since,
                "problem": each.problem,
            }
            for each in report.search.pods
        ]
    return shown


def _found(each: Found) -> dict[str, Any]:
    return {
        "certain": each.certain,
        "share": each.share,
        "answers": [{"pod": one.pod, "time": one.time, "arm": one.arm} for one in each.answers],
        **_origin(each.origin),
        "before": _origin(each.before) if each.before else None,
        "differences": [vars(one) for one in differences(each.before, each.origin)] if each.before else [],
    }


def _origin(of: Origin) -> dict[str, Any]:
    """Every field is always there; null: not known."""
    return {
        "model": of.model,
        "revision": of.revision,
        "role": of.role,
        "gone": of.gone,
        "weight": of.weight,
        "mirrorPercent": of.mirror,
        "stableSince": of.since,
        "stableUntil": of.until,
        "created": of.created,
        "artifact": {"uri": of.uri, "digest": of.digest, "format": of.format, "signedBy": of.signed_by},
        "version": of.version,
        "alias": of.alias,
        "registry": of.registry,
        "registeredModel": of.text("name"),
        "run": of.text("runId"),
        "loggedModel": of.text("modelId"),
        "retrainingRun": of.run,
        "commit": of.text("commit"),
        "repository": of.text("repository"),
        "commitUrl": of.commit_url,
        "features": {name: of.features.get(name) for name in ("service", "digest")} if of.features else None,
        "dataSets": [{"name": name, "digest": digest} for name, digest in of.data_sets],
        "parameters": of.texts("parameters"),
        "metrics": of.texts("metrics"),
        "frameworks": of.texts("frameworks"),
        "signature": of.texts("signature"),
        "registeredBy": of.text("registeredBy"),
        "approvedBy": of.text("approvedBy"),
        "approval": of.text("approval"),
    }
