"""ModelDeployment v1alpha1 as frozen values.

Parses what the API server stored, so the CRD's defaults and rules have already been applied; a field that is missing
or of another type means that CRD and operator differ in version, and is reported as such instead of guessed.
tests/unit/api/test_crd_types.py holds these types and crds/modeldeployments.modelward.io.yaml together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.api.names import API_VERSION

KIND = "ModelDeployment"
DEFAULT_REPLICAS = 1
DEFAULT_ROUTER_REPLICAS = 2

Quantities = Mapping[str, str | int]
"""Amounts by resource name, as users write them: {"cpu": "500m", "memory": "1Gi"}."""


class InvalidObjectError(ValueError):
    """A stored object does not fit the types of this operator."""


@dataclass(frozen=True)
class Resources:
    """Requests and limits of one container. Empty mappings: none were given."""

    requests: Quantities = field(default_factory=dict)
    limits: Quantities = field(default_factory=dict)


@dataclass(frozen=True)
class SecretReference:
    """A Secret of the same namespace."""

    name: str


@dataclass(frozen=True)
class Model:
    """The artifact and how to read it. `digest` is `sha256:<hex>` or None where nothing is pinned.

    `optimise`: Auto serves what the artifact compiles to where that is right and faster, Off the artifact itself.
    """

    uri: str
    format: str = "auto"
    digest: str | None = None
    optimise: str = "Auto"
    credentials_secret: SecretReference | None = None


@dataclass(frozen=True)
class Batching:
    """How requests that wait are put together. None: the inference image's default. `max_delay`: as 2ms."""

    max_rows: int | None = None
    max_delay: str | None = None


@dataclass(frozen=True)
class Server:
    """How the model server takes requests. None: the inference image's default. `timeout`: as 500ms, 30s or 2m."""

    timeout: str | None = None
    max_request_size: str | int | None = None
    max_rows: int | None = None
    max_waiting: int | None = None
    batching: Batching = Batching()


@dataclass(frozen=True)
class Router:
    """The Envoy in front of the model."""

    replicas: int = DEFAULT_ROUTER_REPLICAS
    resources: Resources = Resources()


@dataclass(frozen=True)
class Spec:
    """What a user asks for."""

    model: Model
    replicas: int = DEFAULT_REPLICAS
    resources: Resources = Resources()
    server: Server = Server()
    service_account_name: str | None = None
    router: Router = Router()


@dataclass(frozen=True)
class ModelDeployment:
    """One custom resource: identity, spec, and the status as it was last written (a plain mapping)."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Makes the garbage collector remove a child together with this object."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def parse(body: Mapping[str, Any]) -> ModelDeployment:
    """Read one ModelDeployment as the API server returns it.

    Raises InvalidObjectError where a field is missing or has another type than the CRD promises.
    """
    try:
        metadata = body["metadata"]
        return ModelDeployment(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=_spec(body["spec"]),
            status=body.get("status") or {},
            deleting=bool(metadata.get("deletionTimestamp")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidObjectError(
            f"this ModelDeployment does not fit the operator's types ({type(error).__name__}: {error}); "
            "install the CRD and the operator of the same version"
        ) from error


def _spec(raw: Mapping[str, Any]) -> Spec:
    return Spec(
        model=_model(raw["model"]),
        replicas=int(raw.get("replicas", DEFAULT_REPLICAS)),
        resources=_resources(raw.get("resources")),
        server=_server(raw.get("server") or {}),
        service_account_name=raw.get("serviceAccountName"),
        router=_router(raw.get("router") or {}),
    )


def _model(raw: Mapping[str, Any]) -> Model:
    secret = raw.get("credentialsSecret")
    return Model(
        uri=str(raw["uri"]),
        format=str(raw.get("format", "auto")),
        digest=raw.get("digest"),
        optimise=str(raw.get("optimise", "Auto")),
        credentials_secret=SecretReference(name=str(secret["name"])) if secret else None,
    )


def _server(raw: Mapping[str, Any]) -> Server:
    batching = raw.get("batching") or {}
    return Server(
        timeout=raw.get("timeout"),
        max_request_size=raw.get("maxRequestSize"),
        max_rows=raw.get("maxRows"),
        max_waiting=raw.get("maxWaiting"),
        batching=Batching(max_rows=batching.get("maxRows"), max_delay=batching.get("maxDelay")),
    )


def _router(raw: Mapping[str, Any]) -> Router:
    return Router(
        replicas=int(raw.get("replicas", DEFAULT_ROUTER_REPLICAS)),
        resources=_resources(raw.get("resources")),
    )


def _resources(raw: Mapping[str, Any] | None) -> Resources:
    raw = raw or {}
    return Resources(requests=dict(raw.get("requests") or {}), limits=dict(raw.get("limits") or {}))
