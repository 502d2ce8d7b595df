"""ModelRegistry v1alpha1 as frozen values: where the registry is, and with what it is asked.

tests/unit/api/test_modelregistry_types.py holds these types and crds/modelregistries.modelward.io.yaml together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelward.api.invalid import read_as
from modelward.api.modeldeployment import KeyReference, SecretReference
from modelward.api.names import ANNOTATION_REFRESH

KIND: Final = "ModelRegistry"
MLFLOW, SAGE_MAKER = "MLflow", "SageMaker"
POLL_INTERVAL: Final = "60s"


@dataclass(frozen=True)
class ConfigMapReference:
    """A ConfigMap of the same namespace."""

    name: str


@dataclass(frozen=True)
class Mlflow:
    """A tracking server, by its address with the prefix of its paths if it has one. `webhook_secret`: by which its
    webhooks are known, None: none are taken."""

    url: str
    workspace: str | None = None
    webhook_secret: KeyReference | None = None


@dataclass(frozen=True)
class SageMaker:
    """A region's model registry. `endpoint_url`: None: AWS' own. `role_arn`: the role that it is asked as, None: the
    Secret's keys are enough; `sts_endpoint_url`: where keys of the role are had, None: AWS' own."""

    region: str
    endpoint_url: str | None = None
    role_arn: str | None = None
    sts_endpoint_url: str | None = None


@dataclass(frozen=True)
class WriteBack:
    """What may be written into the registry. `tags`: the stage of versions; `aliases`: that ModelDeployments may have
    moved to what they promoted; `cluster`: in the tags' keys, where several clusters write."""

    tags: bool = True
    aliases: tuple[str, ...] = ()
    cluster: str | None = None


@dataclass(frozen=True)
class Spec:
    """Exactly one of `mlflow` and `sage_maker` is there. `ca_bundle`: its key `ca.crt` has certificates to be trusted
    besides; `poll_interval`: as 30s or 5m; `write_back`: None: nothing is written into it."""

    mlflow: Mlflow | None = None
    sage_maker: SageMaker | None = None
    credentials_secret: SecretReference | None = None
    ca_bundle: ConfigMapReference | None = None
    poll_interval: str = POLL_INTERVAL
    write_back: WriteBack | None = None


@dataclass(frozen=True)
class ModelRegistry:
    """One custom resource. `refresh`: each new value asks for a poll now; `status`: as it was last written."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    refresh: str | None = None

    kind = KIND

    @property
    def serves(self) -> str:
        """MLflow or SageMaker."""
        return MLFLOW if self.spec.mlflow is not None else SAGE_MAKER

    @property
    def address(self) -> str:
        """Tells two registries apart: another address may hold other models under the same names."""
        if self.spec.mlflow is not None:
            return self.spec.mlflow.url + (f"#{self.spec.mlflow.workspace}" if self.spec.mlflow.workspace else "")
        made = self.spec.sage_maker
        # A role of another account has other models.
        return (
            "" if made is None else (made.endpoint_url or made.region) + (f"#{made.role_arn}" if made.role_arn else "")
        )


def parse(body: Mapping[str, Any]) -> ModelRegistry:
    """Read one ModelRegistry as the API server returns it. Raises InvalidObjectError."""
    with read_as(KIND):
        metadata = body["metadata"]
        return ModelRegistry(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=_spec(body["spec"]),
            status=body.get("status") or {},
            deleting=bool(metadata.get("deletionTimestamp")),
            refresh=(metadata.get("annotations") or {}).get(ANNOTATION_REFRESH),
        )


def _spec(raw: Mapping[str, Any]) -> Spec:
    mlflow, sage_maker = raw.get("mlflow"), raw.get("sageMaker")
    if (mlflow is None) is (sage_maker is None):
        raise ValueError("exactly one of spec.mlflow and spec.sageMaker has to be there")
    secret, bundle = raw.get("credentialsSecret"), raw.get("caBundle")
    return Spec(
        mlflow=None if mlflow is None else _mlflow(mlflow),
        sage_maker=None if sage_maker is None else _sage_maker(sage_maker),
        credentials_secret=None if secret is None else SecretReference(str(secret["name"])),
        ca_bundle=None if bundle is None else ConfigMapReference(str(bundle["name"])),
        poll_interval=str(raw.get("pollInterval", POLL_INTERVAL)),
        write_back=None if raw.get("writeBack") is None else _write_back(raw["writeBack"]),
    )


def _mlflow(raw: Mapping[str, Any]) -> Mlflow:
    named = raw.get("webhookSecret")
    secret = None if named is None else KeyReference(str(named["name"]), str(named.get("key", "key")))
    return Mlflow(str(raw["url"]).rstrip("/"), raw.get("workspace"), secret)


def _sage_maker(raw: Mapping[str, Any]) -> SageMaker:
    return SageMaker(str(raw["region"]), raw.get("endpointUrl"), raw.get("roleArn"), raw.get("stsEndpointUrl"))


def _write_back(raw: Mapping[str, Any]) -> WriteBack:
    return WriteBack(bool(raw.get("tags", True)), tuple(map(str, raw.get("aliases") or ())), raw.get("cluster"))
