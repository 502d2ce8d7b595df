"""A revision and where it came from, put together of what the cluster's objects say of it.

A ModelDeployment's status tells of what serves and of the last three that were stable; ControllerRevisions are the
records of what is there. Both are others' to write: texts are taken as texts, and what has another shape is left out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from modelward_cli.times import shown

Json = Mapping[str, Any]

LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_REVISION: Final = "modelward.io/revision"
PROMOTED: Final = "modelward.io/promoted"

SERVERS: Final = f"{LABEL_MANAGED_BY}=modelward,{LABEL_COMPONENT}=server"
"""Selects the records and the pods of revisions."""

STABLE, CANDIDATE, KEPT, REMOVED, LEAVING = "stable", "candidate", "kept", "removed", "leaving"
"""What a revision is to its model, beside `variant NAME`. KEPT: it was stable, and still runs; REMOVED: nothing of it
is there any more; LEAVING: a record alone, or pods that are about to go."""

COMMITS: Final = {
    "github.com": "commit",
    "codeberg.org": "commit",
    "bitbucket.org": "commits",
    "gitlab.com": "-/commit",
}
"""Where a repository's host shows a commit."""


@dataclass(frozen=True)
class Origin:
    """Times are RFC 3339 as the cluster has them. `weight`, `mirror`: percent of the requests that it gets now, and of
    those that it gets a copy of; `since`, `until`: when it became stable, and another one did; `features`: the
    feature service (`service`) that its features are looked up by, and the `digest` of its definitions where that is
    pinned; `lineage`: as the registry told it; `run`: the RetrainingRun that made it."""

    model: str
    revision: str
    role: str
    weight: int | None = None
    mirror: int | None = None
    since: str | None = None
    until: str | None = None
    created: str | None = None
    uri: str | None = None
    digest: str | None = None
    format: str | None = None
    signed_by: str | None = None
    version: str | None = None
    alias: str | None = None
    registry: str | None = None
    run: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    lineage: Json = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        return self.role == REMOVED

    def text(self, name: str) -> str | None:
        """A text of the lineage."""
        found = self.lineage.get(name)
        return found if isinstance(found, str) and found else None

    def texts(self, name: str) -> dict[str, str]:
        """Parameters, metrics, …, by name."""
        found = self.lineage.get(name)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}

    @property
    def data_sets(self) -> tuple[tuple[str, str], ...]:
        """Names and digests."""
        found = self.lineage.get("dataSets")
        sets = found if isinstance(found, list) else []
        return tuple(
            (str(each.get("name", "")), str(each.get("digest", ""))) for each in sets if isinstance(each, Mapping)
        )

    @property
    def commit_url(self) -> str | None:
        """Where a browser shows the commit; None where that can't be told of its host."""
        return commit_url(self.text("repository"), self.text("commit"))


def commit_url(repository: str | None, commit: str | None) -> str | None:
    """`repository`: as Git has it: https://…, ssh://… or git@host:path."""
    if not repository or not commit or not re.fullmatch(r"[0-9a-fA-F]{7,64}", commit):
        return None
    scp = re.fullmatch(r"[\w.-]+@([\w.-]+):(.+)", repository)
    try:
        parts = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else repository)
        host, path = parts.hostname or "", parts.path.strip("/").removesuffix(".git")
    except ValueError:
        return None
    page = COMMITS.get(host) or ("-/commit" if host.startswith("gitlab.") else None)
    if page is None or not re.fullmatch(r"[\w.~/-]+", path):
        return None
    return f"https://{host}/{path}/{page}/{commit}"


class Models:
    """The ModelDeployments of a namespace and the records of their revisions."""

    def __init__(self, deployments: Sequence[Json], records: Iterable[Json], runs: Iterable[Json] = ()) -> None:
        self._deployments = {_name(each): each for each in deployments}
        self._records = {_name(each): each for each in records}
        self._runs = list(runs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._deployments))

    def namespace(self) -> str | None:
        """Of any of the objects: it is the same for all."""
        found = [*self._deployments.values(), *self._records.values()]
        return next((str(each["metadata"].get("namespace")) for each in found), None)

    def sampling(self, model: str) -> str | None:
        """The share of requests that its monitors see, as spec has it; None: all of them, or there is no monitor."""
        monitor = _object(_object(self._deployments.get(model, {}).get("spec")).get("monitor"))
        fraction = monitor.get("samplingFraction")
        return None if fraction in (None, "100%") else str(fraction)

    def status(self, model: str) -> Json:
        return _object(self._deployments.get(model, {}).get("status"))

    def owner_of(self, revision: str) -> str | None:
        """The model of a revision that anything is known of; of one that is not, by its name."""
        if revision in self._records:
            owner = (self._records[revision]["metadata"].get("labels") or {}).get(LABEL_INSTANCE)
            if owner in self._deployments:
                return str(owner)
        for name in self._deployments:
            if revision in (told["revision"] for _, told in self._told(name)):
                return name
        named = [
            name
            for name in self._deployments
            if re.fullmatch(rf"{re.escape(name)}(-[a-z0-9-]+)?-[0-9a-f]{{10}}", revision)
        ]
        return max(named, key=len, default=None)

    def serving(self, model: str) -> list[str]:
        """The revisions that get requests or copies now, the stable first."""
        told = [(role, each) for role, each in self._told(model) if role not in (KEPT, REMOVED)]
        return list(dict.fromkeys(str(each["revision"]) for _, each in told))

    def known(self, model: str) -> list[str]:
        """All of which status tells, the stable first and the earlier ones after it, the latest first."""
        return list(dict.fromkeys(str(each["revision"]) for _, each in self._told(model)))

    def rollout(self, model: str) -> Json:
        return _object(self.status(model).get("rollout"))

    def origin(self, revision: str) -> Origin | None:
        """None where nothing is known of it (any more)."""
        model = self.owner_of(revision)
        if model is None:
            return None
        told = next(((role, each) for role, each in self._told(model) if each["revision"] == revision), None)
        past = next((each for each in self._past(model) if each["revision"] == revision), {})
        record = self._records.get(revision)
        if told is None and record is None:
            return None
        role, entry = told if told is not None else (LEAVING, {})
        if role == REMOVED and record is not None:
            role = LEAVING
        data = _object((record or {}).get("data"))
        kept = _parsed(data.get("model"))
        found = {**_texts(past), **_texts(kept), **_texts(entry)}
        status = _object(self.status(model).get("model"))
        same = bool(found.get("uri")) and (status.get("uri"), status.get("version")) == (
            found.get("uri"),
            found.get("version"),
        )
        told_by = {"Registry": "reference", "RetrainingRun": "registration"}.get(str(status.get("source")), "")
        reference = _object(status.get(told_by)) if same else {}
        lineages = (
            kept.get("lineage"),
            entry.get("lineage"),
            past.get("lineage"),
            status.get("lineage") if same else None,
        )
        promoted = _promotion(record or {})
        return Origin(
            model,
            revision,
            role,
            weight=_number(entry.get("weight")),
            mirror=_number(entry.get("mirrorPercent")),
            since=_moment(promoted.get("at")) or _text(past.get("since")),
            until=None if role in (STABLE, CANDIDATE) else _text(past.get("until")),
            created=_text((record or {}).get("metadata", {}).get("creationTimestamp")),
            uri=found.get("uri"),
            digest=found.get("digest"),
            format=found.get("format"),
            signed_by=found.get("signedBy"),
            version=found.get("version"),
            alias=_text(reference.get("alias")),
            registry=_text(reference.get("registry")),
            features=next(filter(None, map(_looked_up, (entry, _object(data.get("asked")), past))), {}),
            run=self._run_of(model, found.get("uri"), status if same else {}),
            lineage=next((each for each in lineages if isinstance(each, Mapping) and each), {}),
        )

    def before(self, origin: Origin) -> Origin | None:
        """The one that was stable before it: for what never was, the stable of now. None: nobody knows."""
        stable = _object(self.status(origin.model).get("stable")).get("revision")
        past = [str(each["revision"]) for each in self._past(origin.model)]
        if origin.revision == stable:
            names = [name for name in past if name != stable]
        elif origin.revision in past:
            names = past[past.index(origin.revision) + 1 :]
        elif origin.since is None:
            names = [str(stable)] if stable else []
        else:
            names = []
        # Of what was promoted before status told of it, the records know.
        earlier = names or self._promoted_before(origin)
        return self.origin(earlier[0]) if earlier else None

    def _promoted_before(self, origin: Origin) -> list[str]:
        numbers = {
            name: _promotion(record).get("number")
            for name, record in self._records.items()
            if self.owner_of(name) == origin.model
        }
        own = numbers.get(origin.revision)
        known = [
            (number, name)
            for name, number in numbers.items()
            if type(number) is int and type(own) is int and number < own
        ]
        return [name for _, name in sorted(known, reverse=True)]

    def _told(self, model: str) -> Iterator[tuple[str, Json]]:
        """What status has of each revision, and what each is."""
        status = self.status(model)
        yield from ((role, each) for role in (STABLE, CANDIDATE) for each in _entries([status.get(role)]))
        yield from ((f"variant {each.get('name')}", each) for each in _entries(status.get("variants")))
        yield from ((KEPT, each) for each in _entries(status.get("history")))
        yield from ((REMOVED, each) for each in self._past(model))

    def _past(self, model: str) -> list[Json]:
        return list(_entries(self.status(model).get("previous")))

    def _run_of(self, model: str, uri: str | None, status: Json) -> str | None:
        if status.get("source") == "RetrainingRun":
            return _text(status.get("run"))
        for each in self._runs:
            labels = each.get("metadata", {}).get("labels") or {}
            made = _object(_object(each.get("status")).get("model"))
            if uri and made.get("uri") == uri and labels.get("modelward.io/target", model) == model:
                return _name(each)
        return None


def _name(body: Json) -> str:
    return str(_object(body.get("metadata")).get("name"))


def _entries(raw: Any) -> Iterator[Json]:
    for each in raw if isinstance(raw, list) else ():
        if isinstance(each, Mapping) and isinstance(each.get("revision"), str):
            yield each


def _object(raw: Any) -> Json:
    return raw if isinstance(raw, Mapping) else {}


def _parsed(raw: Any) -> Json:
    try:
        return _object(json.loads(raw)) if isinstance(raw, str) else {}
    except (ValueError, RecursionError):
        return {}


def _texts(raw: Json) -> dict[str, str]:
    return {str(name): value for name, value in raw.items() if isinstance(value, str) and value}


def _looked_up(raw: Json) -> dict[str, str]:
    """By which definitions features are looked up; empty: requests bring them, or nobody knows."""
    told = _texts(_object(raw.get("features")))
    return {name: told[name] for name in ("service", "digest") if name in told}


def _promotion(record: Json) -> Json:
    return _parsed(_object(_object(record.get("metadata")).get("annotations")).get(PROMOTED))


def _text(raw: Any) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _number(raw: Any) -> int | None:
    return raw if type(raw) is int else None


def _moment(raw: Any) -> str | None:
    """Seconds since the epoch, as RFC 3339."""
    return shown(raw) if type(raw) in (int, float) else None
