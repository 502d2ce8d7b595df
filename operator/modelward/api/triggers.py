"""What of spec.retrain names a pipeline in another system, as frozen values.

tests/unit/api/test_driftpolicy_types.py holds these types and crds/driftpolicies.modelward.io.yaml together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BY_RUN, BY_REGISTRY = "Run", "Registry"
"""Who says which model a run made: the run itself, or the registry, by a tag of the version."""

GITHUB_API: Final = "https://api.github.com"


@dataclass(frozen=True)
class SecretName:
    """Of the policy's namespace."""

    name: str


@dataclass(frozen=True)
class AirflowResult:
    """`source`: Run or Registry; `task`, `key`: of the XCom."""

    source: str = BY_RUN
    task: str = "report"
    key: str = "return_value"


@dataclass(frozen=True)
class Airflow:
    url: str
    dag: str
    secret_ref: SecretName
    result: AirflowResult = AirflowResult()


@dataclass(frozen=True)
class PrefectResult:
    """`artifact`: its key."""

    source: str = BY_RUN
    artifact: str = "modelward-report"


@dataclass(frozen=True)
class Prefect:
    """`url`: of the API, with /api; `deployment`: its id, or `flow/deployment`; `parameter`: of the flow, which gets
    what the run is for."""

    url: str
    deployment: str
    secret_ref: SecretName | None = None
    parameter: str = "modelward"
    result: PrefectResult = PrefectResult()


@dataclass(frozen=True)
class GithubResult:
    source: str = BY_RUN


@dataclass(frozen=True)
class Github:
    """`repository`: owner/name; `workflow`: its file; `ref`: a branch or tag."""

    repository: str
    workflow: str
    secret_ref: SecretName
    ref: str = "main"
    url: str = GITHUB_API
    result: GithubResult = GithubResult()


@dataclass(frozen=True)
class JenkinsResult:
    """`artifact`: its path."""

    source: str = BY_RUN
    artifact: str = "modelward-report.json"


@dataclass(frozen=True)
class Jenkins:
    """`job`: with its folders, as in folder/retrain."""

    url: str
    job: str
    secret_ref: SecretName
    result: JenkinsResult = JenkinsResult()


@dataclass(frozen=True)
class ArgoResult:
    """`parameter`: a global output parameter of the workflow."""

    source: str = BY_RUN
    parameter: str = "modelward-report"


@dataclass(frozen=True)
class ArgoWorkflow:
    """`template`: a WorkflowTemplate of the policy's namespace; `service_account_name`: None: the template's."""

    template: str
    service_account_name: str | None = None
    result: ArgoResult = ArgoResult()


@dataclass(frozen=True)
class Kubeflow:
    """`url`: that /apis is below; `pipeline`: its name or id; `namespace`, `experiment` (its id): None: those that
    Kubeflow takes by itself. Which model a run made is told by the registry."""

    url: str
    pipeline: str
    secret_ref: SecretName | None = None
    namespace: str | None = None
    experiment: str | None = None


Pipeline = Airflow | Prefect | Github | Jenkins | ArgoWorkflow | Kubeflow


def parse_airflow(raw: Mapping[str, Any]) -> Airflow:
    result = raw.get("result") or {}
    return Airflow(
        str(raw["url"]),
        str(raw["dag"]),
        _secret(raw["secretRef"]),
        AirflowResult(
            _source(result), str(result.get("task", AirflowResult.task)), str(result.get("key", AirflowResult.key))
        ),
    )


def parse_prefect(raw: Mapping[str, Any]) -> Prefect:
    result, secret = raw.get("result") or {}, raw.get("secretRef")
    return Prefect(
        str(raw["url"]),
        str(raw["deployment"]),
        None if secret is None else _secret(secret),
        str(raw.get("parameter", Prefect.parameter)),
        PrefectResult(_source(result), str(result.get("artifact", PrefectResult.artifact))),
    )


def parse_github(raw: Mapping[str, Any]) -> Github:
    return Github(
        str(raw["repository"]),
        str(raw["workflow"]),
        _secret(raw["secretRef"]),
        str(raw.get("ref", Github.ref)),
        str(raw.get("url", Github.url)),
        GithubResult(_source(raw.get("result") or {})),
    )


def parse_jenkins(raw: Mapping[str, Any]) -> Jenkins:
    result = raw.get("result") or {}
    return Jenkins(
        str(raw["url"]),
        str(raw["job"]),
        _secret(raw["secretRef"]),
        JenkinsResult(_source(result), str(result.get("artifact", JenkinsResult.artifact))),
    )


def parse_argo_workflow(raw: Mapping[str, Any]) -> ArgoWorkflow:
    result, account = raw.get("result") or {}, raw.get("serviceAccountName")
    return ArgoWorkflow(
        str(raw["template"]),
        None if account is None else str(account),
        ArgoResult(_source(result), str(result.get("parameter", ArgoResult.parameter))),
    )


def parse_kubeflow(raw: Mapping[str, Any]) -> Kubeflow:
    secret = raw.get("secretRef")
    return Kubeflow(
        str(raw["url"]),
        str(raw["pipeline"]),
        None if secret is None else _secret(secret),
        None if raw.get("namespace") is None else str(raw["namespace"]),
        None if raw.get("experiment") is None else str(raw["experiment"]),
    )


def _secret(raw: Mapping[str, Any]) -> SecretName:
    return SecretName(str(raw["name"]))


def _source(result: Mapping[str, Any]) -> str:
    return str(result.get("source", BY_RUN))
