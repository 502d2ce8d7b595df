"""DriftPolicy v1alpha1 as frozen values.

Like modeldeployment.py: what the API server stored, with the CRD's defaults and rules applied.
tests/unit/api/test_driftpolicy_types.py holds these types and crds/driftpolicies.modelward.io.yaml together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelward.api.invalid import read_as
from modelward.api.names import ANNOTATION_RETRAIN, FINALIZER_RUN
from modelward.api.owners import owner_reference
from modelward.api.parity import Parity, parse_parity
from modelward.api.quality import Quality, parse_quality
from modelward.api.triggers import (
    Airflow,
    ArgoWorkflow,
    Github,
    Jenkins,
    Kubeflow,
    Prefect,
    parse_airflow,
    parse_argo_workflow,
    parse_github,
    parse_jenkins,
    parse_kubeflow,
    parse_prefect,
)

KIND: Final = "DriftPolicy"

RETRAIN, WARN, HOLD = "Retrain", "Warn", "Hold"
JUDGE, IGNORE = "Judge", "Ignore"
AUTOMATIC, MANUAL = "Automatic", "Manual"


@dataclass(frozen=True)
class Selector:
    match_labels: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """Exactly one is set."""

    name: str | None = None
    selector: Selector | None = None

    def takes(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a ModelDeployment of the policy's namespace is meant."""
        if self.selector is None:
            return name == self.name
        return self.selector.match_labels.items() <= labels.items()


@dataclass(frozen=True)
class Window:
    duration: str = "24h"
    min_samples: int = 500


@dataclass(frozen=True)
class DefaultRule:
    """`threshold`: the text of a number, from where the metric matters."""

    metric: str = "psi"
    threshold: str = "0.2"


@dataclass(frozen=True)
class Override:
    name: str
    metric: str = "psi"
    threshold: str = "0.2"


@dataclass(frozen=True)
class DataQuality:
    """By how much the share of bad values may rise, as 5%; None: not judged."""

    missing: str | None = None
    new_categories: str | None = None
    out_of_range: str | None = None
    type_errors: str | None = None
    non_finite: str | None = None


@dataclass(frozen=True)
class Features:
    """`ignore`: names; `outputs`: Judge or Ignore."""

    default: DefaultRule = DefaultRule()
    overrides: tuple[Override, ...] = ()
    ignore: tuple[str, ...] = ()
    outputs: str = JUDGE
    data_quality: DataQuality = DataQuality()


@dataclass(frozen=True)
class FalseAlarms:
    max_per30_days: str = "0.05"


@dataclass(frozen=True)
class Persistence:
    needed: int = 1
    windows: int = 1


@dataclass(frozen=True)
class Actions:
    """Retrain, Warn or Hold for each kind of feature, and for rules of spec.quality."""

    inputs: str = RETRAIN
    outputs: str = RETRAIN
    data_quality: str = HOLD
    quality: str = RETRAIN
    fairness: str = WARN
    business: str = WARN


@dataclass(frozen=True)
class Schedule:
    cron: str
    time_zone: str = "Etc/UTC"


@dataclass(frozen=True)
class Job:
    """`template`: metadata and spec of a Job, as the user wrote them."""

    template: Mapping[str, Any]


@dataclass(frozen=True)
class SecretKey:
    name: str
    key: str = "key"


@dataclass(frozen=True)
class Webhook:
    url: str
    secret_ref: SecretKey


@dataclass(frozen=True)
class Retrain:
    """Exactly one of `job` and those below it is set. Durations as 12h. `history`: ended runs of a model that are
    kept."""

    apply: str = AUTOMATIC
    cooldown: str = "12h"
    deadline: str = "6h"
    max_failures: int = 3
    backoff: str = "10m"
    history: int = 5
    job: Job | None = None
    webhook: Webhook | None = None
    airflow: Airflow | None = None
    prefect: Prefect | None = None
    github: Github | None = None
    jenkins: Jenkins | None = None
    argo_workflow: ArgoWorkflow | None = None
    kubeflow: Kubeflow | None = None


@dataclass(frozen=True)
class Spec:
    target: Target
    window: Window = Window()
    features: Features = Features()
    false_alarms: FalseAlarms = FalseAlarms()
    persistence: Persistence = Persistence()
    actions: Actions = Actions()
    schedule: Schedule | None = None
    suspend: bool = False
    retrain: Retrain | None = None
    quality: Quality | None = None
    parity: Parity | None = None
    others: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata={"unread": True})
    """As the user wrote them: for kinds of signals that read their own part."""


@dataclass(frozen=True)
class DriftPolicy:
    """One custom resource. `created`: seconds since the epoch; `request`: the value of the annotation that asks for a
    run, each value once; `status`: as it was last written; `held`: it does not go before the operator lets it."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    status: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    request: str | None = None
    deleting: bool = False
    held: bool = False

    kind = KIND

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Makes the garbage collector remove a child together with this object."""
        return owner_reference(KIND, self.name, self.uid)


def parse(body: Mapping[str, Any]) -> DriftPolicy:
    """Read one DriftPolicy as the API server returns it. Raises InvalidObjectError."""
    with read_as(KIND):
        metadata = body["metadata"]
        created = metadata.get("creationTimestamp")
        return DriftPolicy(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=_spec(body["spec"]),
            status=body.get("status") or {},
            created=datetime.fromisoformat(created).timestamp() if created else 0.0,
            request=(metadata.get("annotations") or {}).get(ANNOTATION_RETRAIN),
            deleting=bool(metadata.get("deletionTimestamp")),
            held=FINALIZER_RUN in (metadata.get("finalizers") or ()),
        )


def parse_target(raw: Mapping[str, Any]) -> Target:
    """`spec.target`."""
    selector = raw.get("selector")
    return Target(raw.get("name"), None if selector is None else Selector(dict(selector["matchLabels"])))


_READ: Final = frozenset({
    "target", "window", "features", "falseAlarms", "persistence", "actions", "schedule", "suspend", "retrain",
    "quality", "parity",
})  # fmt: skip


def _spec(raw: Mapping[str, Any]) -> Spec:
    window, alarms = raw.get("window") or {}, raw.get("falseAlarms") or {}
    persistence, actions = raw.get("persistence") or {}, raw.get("actions") or {}
    schedule, retrain = raw.get("schedule"), raw.get("retrain")
    return Spec(
        target=parse_target(raw["target"]),
        window=Window(str(window.get("duration", Window.duration)), int(window.get("minSamples", Window.min_samples))),
        features=parse_features(raw.get("features") or {}),
        false_alarms=FalseAlarms(str(alarms.get("maxPer30Days", FalseAlarms.max_per30_days))),
        persistence=Persistence(
            int(persistence.get("needed", Persistence.needed)), int(persistence.get("windows", Persistence.windows))
        ),
        actions=Actions(
            str(actions.get("inputs", Actions.inputs)),
            str(actions.get("outputs", Actions.outputs)),
            str(actions.get("dataQuality", Actions.data_quality)),
            str(actions.get("quality", Actions.quality)),
            str(actions.get("fairness", Actions.fairness)),
            str(actions.get("business", Actions.business)),
        ),
        schedule=None
        if schedule is None
        else Schedule(str(schedule["cron"]), str(schedule.get("timeZone", Schedule.time_zone))),
        suspend=bool(raw.get("suspend", False)),
        retrain=None if retrain is None else _retrain(retrain),
        quality=None if raw.get("quality") is None else parse_quality(raw["quality"]),
        parity=None if raw.get("parity") is None else parse_parity(raw["parity"]),
        others={name: value for name, value in raw.items() if name not in _READ},
    )


def parse_features(raw: Mapping[str, Any]) -> Features:
    """`spec.features`."""
    default, quality = raw.get("default") or {}, raw.get("dataQuality") or {}
    return Features(
        default=DefaultRule(
            str(default.get("metric", DefaultRule.metric)), str(default.get("threshold", DefaultRule.threshold))
        ),
        overrides=tuple(
            Override(
                str(each["name"]),
                str(each.get("metric", Override.metric)),
                str(each.get("threshold", Override.threshold)),
            )
            for each in raw.get("overrides") or ()
        ),
        ignore=tuple(str(name) for name in raw.get("ignore") or ()),
        outputs=str(raw.get("outputs", Features.outputs)),
        data_quality=DataQuality(
            quality.get("missing"),
            quality.get("newCategories"),
            quality.get("outOfRange"),
            quality.get("typeErrors"),
            quality.get("nonFinite"),
        ),
    )


def _retrain(raw: Mapping[str, Any]) -> Retrain:
    job, webhook = raw.get("job"), raw.get("webhook")
    return Retrain(
        apply=str(raw.get("apply", Retrain.apply)),
        cooldown=str(raw.get("cooldown", Retrain.cooldown)),
        deadline=str(raw.get("deadline", Retrain.deadline)),
        max_failures=int(raw.get("maxFailures", Retrain.max_failures)),
        backoff=str(raw.get("backoff", Retrain.backoff)),
        history=int(raw.get("history", Retrain.history)),
        job=None if job is None else Job(dict(job["template"])),
        webhook=None
        if webhook is None
        else Webhook(
            str(webhook["url"]),
            SecretKey(str(webhook["secretRef"]["name"]), str(webhook["secretRef"].get("key", SecretKey.key))),
        ),
        airflow=None if raw.get("airflow") is None else parse_airflow(raw["airflow"]),
        prefect=None if raw.get("prefect") is None else parse_prefect(raw["prefect"]),
        github=None if raw.get("github") is None else parse_github(raw["github"]),
        jenkins=None if raw.get("jenkins") is None else parse_jenkins(raw["jenkins"]),
        argo_workflow=None if raw.get("argoWorkflow") is None else parse_argo_workflow(raw["argoWorkflow"]),
        kubeflow=None if raw.get("kubeflow") is None else parse_kubeflow(raw["kubeflow"]),
    )
