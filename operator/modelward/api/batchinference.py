"""BatchInference v1alpha1 as frozen values: rows in a store, a model, and where its answers go.

Like modeldeployment.py: what the API server stored, with the CRD's defaults and rules applied.
tests/unit/api/test_batchinference_types.py holds these types and crds/batchinferences.modelward.io.yaml together.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from modelward.api.driftpolicy import IGNORE, JUDGE, FalseAlarms, Features, parse_features
from modelward.api.invalid import InvalidObjectError, read_as
from modelward.api.modeldeployment import Model, Resources, SecretReference
from modelward.api.names import ANNOTATION_RUN
from modelward.api.owners import owner_reference
from modelward.api.pod_template import SCORE, problem_of

KIND: Final = "BatchInference"

LONGEST_REQUEST: Final = 256
"""Characters of the annotation that count, since status repeats it."""

READ: Final = "table"
"""The container that reads a table, where rows are of one."""

_TABLES: Final = re.compile(r"(postgres|postgresql|snowflake|bigquery|trino)://[^\s\x00-\x1f\x7f#]+")
_LOGIN_IN_URL: Final = re.compile(r"[a-z]+://[^/@]*:[^/@]*@")

MOST_TOLD: Final = 100_000
"""Bytes of what a pod is told of names: a variable of Linux has 128 KiB at most."""


@dataclass(frozen=True)
class BatchModel:
    """Exactly one of `model_deployment`, whose stable revision a run takes, and `uri` is set; the rest goes with `uri`,
    as in a ModelDeployment."""

    model_deployment: str | None = None
    uri: str | None = None
    format: str = "auto"
    registry: str | None = None
    digest: str | None = None
    credentials_secret: SecretReference | None = None

    @property
    def as_model(self) -> Model:
        """What `uri` names, as it is written."""
        return Model(
            uri=self.uri or "",
            format=self.format,
            registry=self.registry,
            digest=self.digest,
            credentials_secret=self.credentials_secret,
        )


@dataclass(frozen=True)
class InputTable:
    """A table or view of a database. `url`: as postgres://host:5432/database, without a password; `schema`: where it is
    not the connection's own; `credentials_secret`: with the login, in INPUT_TABLE_USER and INPUT_TABLE_PASSWORD."""

    url: str
    name: str
    schema: str | None = None
    credentials_secret: SecretReference | None = None


@dataclass(frozen=True)
class Input:
    """`uri`: a file, or a folder of them, or `table`: exactly one of them is set. `format`: of files: parquet or csv,
    None: by their endings."""

    uri: str | None = None
    format: str | None = None
    table: InputTable | None = None

    @property
    def claim(self) -> str | None:
        """The PersistentVolumeClaim that it is in."""
        return None if self.uri is None else claim_of(self.uri)


@dataclass(frozen=True)
class Output:
    """A folder: `uri` ends in `/`. Each run has one of its own in it."""

    uri: str


@dataclass(frozen=True)
class BatchSchedule:
    """`starting_deadline_seconds`: after which a time that was missed is left out, None: never; `suspend`: no run
    begins."""

    cron: str
    time_zone: str = "Etc/UTC"
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = "Forbid"
    suspend: bool = False


@dataclass(frozen=True)
class DriftRules:
    """As a DriftPolicy has them. `min_samples`: rows that a run needs to be judged."""

    min_samples: int = 500
    features: Features = field(default_factory=Features)
    false_alarms: FalseAlarms = field(default_factory=FalseAlarms)


@dataclass(frozen=True)
class Drift:
    """`mode`: Judge or Ignore; `rules`: in place of those of the DriftPolicy that watches the ModelDeployment."""

    mode: str = JUDGE
    rules: DriftRules | None = None

    @property
    def judges(self) -> bool:
        return self.mode != IGNORE


@dataclass(frozen=True)
class Spec:
    """What a user asks for. `keys`: columns that name a row; `columns`: a column by what the model calls it, where that
    differs; `max_rejected_share`: as 0.5%; `schedule`: None: once; `parallelism`: pods of a run; `retries`: of each of
    them; `deadline`: as 6h; `ttl`: of Jobs of ended runs, None: by `history_limit` alone; `template`: what its pods
    have besides, as a part of a pod template; `drift`: how its rows are held against the model's reference."""

    model: BatchModel
    input: Input
    output: Output
    keys: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    max_rejected_share: str = "0%"
    credentials_secret: SecretReference | None = None
    service_account_name: str | None = None
    schedule: BatchSchedule | None = None
    parallelism: int = 1
    retries: int = 3
    deadline: str = "24h"
    ttl: str | None = None
    history_limit: int = 3
    resources: Resources = field(default_factory=Resources)
    template: Mapping[str, Any] = field(default_factory=dict)
    drift: Drift = Drift()


@dataclass(frozen=True)
class BatchInference:
    """One custom resource. `created`: seconds since the epoch; `request`: each new value asks for one run now;
    `status`: as it was last written."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: float
    spec: Spec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    request: str | None = None

    kind = KIND

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Makes the garbage collector remove a child together with this object."""
        return owner_reference(KIND, self.name, self.uid)


def claim_of(uri: str) -> str | None:
    """The PersistentVolumeClaim that an address names; None: it names none."""
    address = urlsplit(uri)
    return address.netloc if address.scheme == "pvc" else None


def parse(body: Mapping[str, Any]) -> BatchInference:
    """Read one BatchInference as the API server returns it. Raises InvalidObjectError."""
    with read_as(KIND):
        metadata = body["metadata"]
        request = (metadata.get("annotations") or {}).get(ANNOTATION_RUN)
        return BatchInference(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            created=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
            spec=_spec(body["spec"]),
            status=body.get("status") or {},
            deleting=bool(metadata.get("deletionTimestamp")),
            request=None if request is None else str(request)[:LONGEST_REQUEST],
        )


def _spec(raw: Mapping[str, Any]) -> Spec:
    secret, schedule, resources = raw.get("credentialsSecret"), raw.get("schedule"), raw.get("resources") or {}
    spec = Spec(
        model=_model(raw["model"]),
        input=_input(raw["input"]),
        output=Output(str(raw["output"]["uri"])),
        keys=tuple(map(str, raw["keys"])),
        columns={str(name): str(column) for name, column in (raw.get("columns") or {}).items()},
        max_rejected_share=str(raw.get("maxRejectedShare", Spec.max_rejected_share)),
        credentials_secret=None if secret is None else SecretReference(str(secret["name"])),
        service_account_name=raw.get("serviceAccountName"),
        schedule=None if schedule is None else _schedule(schedule),
        parallelism=int(raw.get("parallelism", Spec.parallelism)),
        retries=int(raw.get("retries", Spec.retries)),
        deadline=str(raw.get("deadline", Spec.deadline)),
        ttl=raw.get("ttl"),
        history_limit=int(raw.get("historyLimit", Spec.history_limit)),
        resources=Resources(dict(resources.get("requests") or {}), dict(resources.get("limits") or {})),
        template=dict(raw.get("template") or {}),
        drift=_drift(raw.get("drift") or {}),
    )
    _check_paths(spec)
    _check_table(spec)
    written = claim_of(spec.output.uri)
    problem = problem_of(spec.template, "spec.template", claims=(written,) if written else (), main=SCORE)
    if (
        problem is None
        and spec.model.model_deployment is not None
        and (spec.template.get("spec") or {}).get("containers")
    ):
        problem = (
            "spec.template.spec.containers: the model is a ModelDeployment's, and its pods have the image "
            "that this one names; take it out"
        )
    if problem is not None:
        raise InvalidObjectError(problem)
    return spec


def _check_paths(spec: Spec) -> None:
    """As the CRD: a path below a mount must not lead out of it. Raises InvalidObjectError."""
    for field_name, uri in (("spec.input.uri", spec.input.uri), ("spec.output.uri", spec.output.uri)):
        if uri is None:
            continue
        if ".." in uri.split("/") or not uri.startswith(("s3://", "pvc://")):
            raise InvalidObjectError(f"{field_name}: write s3://bucket/path or pvc://claim/path, without '..'")
    if not spec.output.uri.endswith("/"):
        raise InvalidObjectError("spec.output.uri: it names a folder; write a / at its end")
    if spec.input.uri is not None and spec.output.uri.startswith(f"{spec.input.uri.rstrip('/')}/"):
        raise InvalidObjectError(
            "spec.output.uri: it lies in spec.input.uri, so the next run would take this one's predictions for rows; "
            "name another folder"
        )
    table = spec.input.table
    source = spec.input.uri if table is None else [table.url, table.name, table.schema]
    told = json.dumps([spec.keys, spec.columns, source, spec.output.uri]).replace("$", "$$")
    if len(told) > MOST_TOLD:
        raise InvalidObjectError(
            f"spec.columns: names of {len(told)} bytes are more than a pod can be told ({MOST_TOLD}); give columns of "
            "the input the names that the model knows, and leave these out"
        )


def _check_table(spec: Spec) -> None:
    """As the CRD. Raises InvalidObjectError."""
    table = spec.input.table
    if table is None:
        return
    if not _TABLES.fullmatch(table.url) or _LOGIN_IN_URL.match(table.url):
        raise InvalidObjectError(
            "spec.input.table.url: write postgres://, snowflake://, bigquery:// or trino:// and where the database is, "
            "without a password"
        )
    if spec.input.format is not None:
        raise InvalidObjectError("spec.input.format: it is of files, and a table has none; leave it out")
    if READ in {str(each["name"]) for each in (spec.template.get("spec") or {}).get("initContainers") or ()}:
        raise InvalidObjectError(
            f"spec.template.spec.initContainers: {READ} is the operator's own where rows are of a table; give yours "
            "another name"
        )


def _input(raw: Mapping[str, Any]) -> Input:
    uri, table = raw.get("uri"), raw.get("table")
    if (uri is None) is (table is None):
        raise ValueError("exactly one of spec.input.uri and spec.input.table has to be there")
    if table is None:
        return Input(str(uri), raw.get("format"))
    secret = table.get("credentialsSecret")
    login = None if secret is None else SecretReference(str(secret["name"]))
    found = InputTable(str(table["url"]), str(table["name"]), table.get("schema"), login)
    return Input(None, raw.get("format"), found)


def _model(raw: Mapping[str, Any]) -> BatchModel:
    secret = raw.get("credentialsSecret")
    found = BatchModel(
        model_deployment=raw.get("modelDeployment"),
        uri=raw.get("uri"),
        format=str(raw.get("format", BatchModel.format)),
        registry=raw.get("registry"),
        digest=raw.get("digest"),
        credentials_secret=None if secret is None else SecretReference(str(secret["name"])),
    )
    if (found.model_deployment is None) is (found.uri is None):
        raise ValueError("exactly one of spec.model.modelDeployment and spec.model.uri has to be there")
    return found


def _drift(raw: Mapping[str, Any]) -> Drift:
    rules = raw.get("rules")
    return Drift(str(raw.get("mode", Drift.mode)), None if rules is None else _drift_rules(rules))


def _drift_rules(raw: Mapping[str, Any]) -> DriftRules:
    alarms = raw.get("falseAlarms") or {}
    return DriftRules(
        min_samples=int(raw.get("minSamples", DriftRules.min_samples)),
        features=parse_features(raw.get("features") or {}),
        false_alarms=FalseAlarms(str(alarms.get("maxPer30Days", FalseAlarms.max_per30_days))),
    )


def _schedule(raw: Mapping[str, Any]) -> BatchSchedule:
    within = raw.get("startingDeadlineSeconds")
    return BatchSchedule(
        cron=str(raw["cron"]),
        time_zone=str(raw.get("timeZone", BatchSchedule.time_zone)),
        starting_deadline_seconds=None if within is None else int(within),
        concurrency_policy=str(raw.get("concurrencyPolicy", BatchSchedule.concurrency_policy)),
        suspend=bool(raw.get("suspend", False)),
    )
