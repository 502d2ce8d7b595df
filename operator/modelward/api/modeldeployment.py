"""ModelDeployment v1alpha1 as frozen values.

Parses what the API server stored, so the CRD's defaults and rules have already been applied; a field that is missing
or of another type means that CRD and operator differ in version, and is reported as such instead of guessed.
tests/unit/api/test_crd_types.py holds these types and crds/modeldeployments.modelward.io.yaml together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from modelward.api.features import Features, parse_features
from modelward.api.invalid import InvalidObjectError, read_as
from modelward.api.names import ANNOTATION_COMMAND, ANNOTATION_PLATFORM, ANNOTATION_REFRESH, ANNOTATION_RESTART
from modelward.api.owners import owner_reference
from modelward.api.pod_template import problem_of
from modelward.api.resources import NONE_GIVEN
from modelward.api.resources import Quantities as Quantities
from modelward.api.resources import Resources as Resources  # whoever reads a spec has it from here
from modelward.api.resources import parse_resources as _resources
from modelward.api.rollout import AT_ONCE, Rollout, parse_rollout
from modelward.api.runtime import TAP_PORTS, TAPPED, Runtime, is_in_image, parse_runtime
from modelward.api.traffic import AS_IT_COMES, Traffic, parse_traffic
from modelward.runtimes.runtime import MODELWARD

KIND = "ModelDeployment"
DEFAULT_REPLICAS = 1
DEFAULT_ROUTER_REPLICAS = 2


@dataclass(frozen=True)
class SecretReference:
    """A Secret of the same namespace."""

    name: str


@dataclass(frozen=True)
class Signature:
    """Whose signature the artifact has to have: a public key, PEM."""

    public_key: str


@dataclass(frozen=True)
class SharedCache:
    """A PersistentVolumeClaim of the namespace where pods share what they downloaded and compiled. `size`: of what is
    kept in it, None: the inference image's default."""

    claim: str
    size: str | int | None = None


@dataclass(frozen=True)
class Model:
    """The artifact and how to read it. `digest` is `sha256:<hex>` or None where nothing is pinned.

    `registry`: the ModelRegistry that resolves `uri`, None: the only one that fits. `optimise`: Auto serves what the
    artifact compiles to where that is right and faster, Off the artifact itself.
    """

    uri: str
    format: str = "auto"
    registry: str | None = None
    digest: str | None = None
    optimise: str = "Auto"
    credentials_secret: SecretReference | None = None
    signature: Signature | None = None
    cache: SharedCache | None = None


@dataclass(frozen=True)
class Batching:
    """How requests that wait are put together. None: the inference image's default. `max_delay`: as 2ms."""

    max_rows: int | None = None
    max_delay: str | None = None


@dataclass(frozen=True)
class Server:
    """How the model server takes requests. None: the inference image's default. `timeout`: as 500ms, 30s or 2m.
    `allow_origins`: of web pages that may ask."""

    timeout: str | None = None
    max_request_size: str | int | None = None
    max_rows: int | None = None
    max_waiting: int | None = None
    batching: Batching = Batching()
    allow_origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Autoscaling:
    """Between how many replicas the cluster's autoscaler chooses. `cpu_utilization`: percent of the server's request;
    `metrics`, `behavior`: as a HorizontalPodAutoscaler has them."""

    max_replicas: int
    min_replicas: int = 1
    cpu_utilization: int | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    behavior: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ParentReference:
    """A Gateway of the cluster. `namespace`: None for the ModelDeployment's own; `section_name`: one listener of it."""

    name: str
    namespace: str | None = None
    section_name: str | None = None


@dataclass(frozen=True)
class Gateway:
    """The Gateways that requests come in by, and the hosts they are for (none: every host)."""

    parent_refs: tuple[ParentReference, ...]
    hostnames: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tls:
    """The certificate that clients see: a Secret of the same namespace with the keys tls.crt and tls.key."""

    secret_name: str


@dataclass(frozen=True)
class RouterService:
    """What the Service of the model's own Envoy is, by Kubernetes' own words. None, or empty: its defaults."""

    type: str = "ClusterIP"
    annotations: Mapping[str, str] = field(default_factory=dict)
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: str | None = None
    ip_family_policy: str | None = None
    ip_families: tuple[str, ...] = ()


@dataclass(frozen=True)
class Router:
    """What is in front of the model: an Envoy of its own, or where `gateway` is set, the cluster's Gateway API.
    `tls`: None where clients speak plain HTTP with that Envoy; never beside `gateway`. `template`: what its pods have
    besides, as a part of a pod template. `service`: never beside `gateway`."""

    replicas: int = DEFAULT_ROUTER_REPLICAS
    resources: Resources = NONE_GIVEN
    gateway: Gateway | None = None
    tls: Tls | None = None
    service: RouterService = RouterService()
    template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A long-lived arm beside the stable. `weight`: percent of all requests, `mirror_percent`: of those it gets a copy
    of; `replicas`: None for spec.replicas."""

    name: str
    model: Model
    weight: int = 0
    mirror_percent: int = 0
    replicas: int | None = None


@dataclass(frozen=True)
class MonitorWindow:
    """How long counts are collected before they are judged: at least `duration`, and until there are `min_samples`."""

    duration: str = "1h"
    min_samples: int = 500


@dataclass(frozen=True)
class Monitor:
    """The sidecar that counts what the model is asked and answers. `learn_rows`: that a reference is learned from where
    the model brings none; `top_features`: that metrics and status name."""

    sampling_fraction: str = "100%"
    learn_rows: int = 5000
    top_features: int = 10
    window: MonitorWindow = MonitorWindow()
    resources: Resources = NONE_GIVEN


@dataclass(frozen=True)
class Truncated:
    """A column of the log, of which the first `characters` are kept."""

    name: str
    characters: int


@dataclass(frozen=True)
class LogColumns:
    """What happens to columns of the log, by their names."""

    exclude: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    truncate: tuple[Truncated, ...] = ()


@dataclass(frozen=True)
class KeyReference:
    """An entry of a Secret of the same namespace."""

    name: str
    key: str = "key"


@dataclass(frozen=True)
class PredictionLog:
    """Where what was asked and answered is kept, and of which requests. `interval`: longest that rows wait in the pod;
    `disk_limit`: of what waits there; `retention`: as 90d, None: for ever."""

    uri: str
    credentials_secret: SecretReference | None = None
    fraction: str = "100%"
    interval: str = "5m"
    disk_limit: str | int = "512Mi"
    retention: str | None = None
    columns: LogColumns = LogColumns()
    hash_key_secret: KeyReference | None = None


@dataclass(frozen=True)
class LatencyObjective:
    """`objective`: of the requests, are answered within `threshold`; as 99% and 200ms."""

    threshold: str
    objective: str


@dataclass(frozen=True)
class Slo:
    """What clients are promised; None: nothing. Alerts are about it, and neither pods nor rollouts are."""

    availability: str | None = None
    latency: LatencyObjective | None = None


@dataclass(frozen=True)
class Logging:
    """What the model's pods log, changed while they run; None: as their settings have it, and no access log.
    `access_log_share`: of the requests, a percentage."""

    level: str | None = None
    access_log_share: str | None = None


@dataclass(frozen=True)
class Spec:
    """What a user asks for. `template`: what the model's pods have besides, as a part of a pod template. `runtime`:
    None: Modelward's own server. `features`: None: requests bring them."""

    model: Model
    replicas: int = DEFAULT_REPLICAS
    resources: Resources = NONE_GIVEN
    server: Server = Server()
    service_account_name: str | None = None
    router: Router = Router()
    rollout: Rollout = AT_ONCE
    traffic: Traffic = AS_IT_COMES
    variants: tuple[Variant, ...] = ()
    revision_history_limit: int = 0
    monitor: Monitor | None = None
    prediction_log: PredictionLog | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    autoscaling: Autoscaling | None = None
    slo: Slo | None = None
    runtime: Runtime | None = None
    logging: Logging | None = None
    features: Features | None = None


@dataclass(frozen=True)
class ModelDeployment:
    """One custom resource: identity, spec, and the status as it was last written (a plain mapping).

    `command`: what somebody asked of the rollout by annotation, `platform_command`: of the update to a newer platform,
    until the operator has taken it up. `restart`: the value for which the pods are to be restarted once. `refresh`:
    each new value has the model's registry asked now.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    command: str | None = None
    refresh: str | None = None
    resource_version: str = ""
    platform_command: str | None = None
    restart: str | None = None

    kind = KIND

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Makes the garbage collector remove a child together with this object."""
        return owner_reference(KIND, self.name, self.uid)


def parse(body: Mapping[str, Any]) -> ModelDeployment:
    """Read one ModelDeployment as the API server returns it.

    Raises InvalidObjectError where a field is missing or has another type than the CRD promises.
    """
    with read_as(KIND):
        metadata = body["metadata"]
        annotations = metadata.get("annotations") or {}
        return ModelDeployment(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=_spec(body["spec"]),
            status=body.get("status") or {},
            deleting=bool(metadata.get("deletionTimestamp")),
            command=annotations.get(ANNOTATION_COMMAND),
            refresh=annotations.get(ANNOTATION_REFRESH),
            resource_version=str(metadata.get("resourceVersion", "")),
            platform_command=annotations.get(ANNOTATION_PLATFORM),
            restart=annotations.get(ANNOTATION_RESTART),
        )


def parse_pods(raw: Mapping[str, Any]) -> Spec:
    """The part of spec that says what pods are. Raises InvalidObjectError."""
    try:
        return _spec(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidObjectError(f"no spec of a model's pods ({type(error).__name__}: {error})") from error


def _spec(raw: Mapping[str, Any]) -> Spec:
    spec = Spec(
        model=_model(raw["model"]),
        replicas=int(raw.get("replicas", DEFAULT_REPLICAS)),
        resources=_resources(raw.get("resources")),
        server=_server(raw.get("server") or {}),
        service_account_name=raw.get("serviceAccountName"),
        router=_router(raw.get("router") or {}),
        rollout=parse_rollout(raw.get("rollout"), by_router=raw.get("runtime") is not None),
        traffic=parse_traffic(raw.get("traffic") or {}),
        variants=tuple(_variant(each) for each in raw.get("variants") or ()),
        revision_history_limit=int(raw.get("revisionHistoryLimit", 0)),
        monitor=None if raw.get("monitor") is None else _monitor(raw["monitor"]),
        prediction_log=None if raw.get("predictionLog") is None else _prediction_log(raw["predictionLog"]),
        template=dict(raw.get("template") or {}),
        autoscaling=None if raw.get("autoscaling") is None else _autoscaling(raw["autoscaling"]),
        slo=None if raw.get("slo") is None else parse_slo(raw["slo"]),
        runtime=None if raw.get("runtime") is None else parse_runtime(raw["runtime"]),
        logging=None if raw.get("logging") is None else _logging(raw["logging"]),
        features=None if raw.get("features") is None else parse_features(raw["features"]),
    )
    problem = _problem_of_runtime(spec) or problem_of(spec.template, "spec.template", claims=claims_written(spec))
    problem = problem or problem_of(spec.router.template, "spec.router.template", runs=False)
    if problem is not None:
        raise InvalidObjectError(problem)
    return spec


def _problem_of_runtime(spec: Spec) -> str | None:
    """What needs Modelward's own server, asked of another one; the CRD refuses the same, in its own words."""
    runtime, gates = spec.runtime, spec.rollout.gates
    models = (spec.model, *(each.model for each in spec.variants))
    in_image = any(is_in_image(each.uri) for each in models)
    if runtime is None:
        needs = "spec.model.uri: image:// is of a container of your own; add spec.runtime.container"
        return needs if in_image else None
    if (runtime.name is None) == (runtime.container is None):
        return "spec.runtime: write a name or a container, and one of them alone"
    tapped = runtime.tap is not None
    needs_tap = {
        "spec.monitor": spec.monitor is not None,
        "spec.predictionLog": spec.prediction_log is not None,
        "spec.rollout.gates.disagreement": gates.disagreement is not None,
    }
    if not tapped and (found := next((field for field, is_asked in needs_tap.items() if is_asked), None)):
        return f"{found}: with spec.runtime it is a tap that tells what the server answers; add spec.runtime.tap, {{}}"
    if tapped and (problem := _problem_of_tap(spec, runtime, in_image=in_image)) is not None:
        return f"spec.runtime.tap: {problem}"
    asked = {
        "spec.server": spec.server != Server(),
        "spec.logging": spec.logging is not None,
        "spec.features": spec.features is not None,
        "spec.router.gateway": spec.router.gateway is not None,
        "spec.rollout.gates.refusals": gates.refusals is not None,
        "spec.model.format": any(each.format != "auto" for each in models),
        "spec.model.uri of image://": runtime.container is None and in_image,
    }
    found = next((field for field, is_asked in asked.items() if is_asked), None)
    if found is None:
        return None
    return f"{found}: it is not there with spec.runtime (docs/runtimes.md); take one of them out"


def _problem_of_tap(spec: Spec, runtime: Runtime, *, in_image: bool) -> str | None:
    """Of what CRD and operator know without presets."""
    if runtime.container is not None and runtime.container.protocol not in TAPPED:
        return f"of protocol {runtime.container.protocol} nothing is known; it reads {' and '.join(TAPPED)}"
    if in_image:
        return "of a model in its image nothing is downloaded, which is what makes the key that the pod is known by"
    template = spec.template.get("spec") or {}
    sidecars = [*(template.get("containers") or ()), *(template.get("initContainers") or ())]
    ports = [port for each in sidecars for port in each.get("ports") or ()]
    if any(each.get("name") == MODELWARD.containers.tap for each in sidecars):
        return f"spec.template has a container {MODELWARD.containers.tap}, which is the tap's name"
    ours = MODELWARD.ports
    own = (ours.tap, ours.metrics, ours.behind, ours.behind_grpc)
    if any(each.get("containerPort") in own or each.get("name") in TAP_PORTS for each in ports):
        return f"spec.template has a port of the tap's: {', '.join(map(str, own))}, {', '.join(TAP_PORTS)}"
    return None


def claims_written(spec: Spec) -> tuple[str, ...]:
    """Names of the claims that the operator's own containers write to."""
    models, log = (spec.model, *(each.model for each in spec.variants)), spec.prediction_log
    found = [each.cache.claim for each in models if each.cache is not None]
    address = urlsplit(log.uri if log is not None else "")
    return tuple(dict.fromkeys([*found, *([address.netloc] if address.scheme == "pvc" else ())]))


def _variant(raw: Mapping[str, Any]) -> Variant:
    return Variant(
        name=str(raw["name"]),
        model=_model(raw["model"]),
        weight=int(raw.get("weight", 0)),
        mirror_percent=int(raw.get("mirrorPercent", 0)),
        replicas=raw.get("replicas"),
    )


def _model(raw: Mapping[str, Any]) -> Model:
    secret, signature, cache = raw.get("credentialsSecret"), raw.get("signature"), raw.get("cache")
    return Model(
        uri=str(raw["uri"]),
        format=str(raw.get("format", "auto")),
        registry=raw.get("registry"),
        digest=raw.get("digest"),
        optimise=str(raw.get("optimise", "Auto")),
        credentials_secret=SecretReference(name=str(secret["name"])) if secret else None,
        signature=None if signature is None else Signature(public_key=str(signature["publicKey"])),
        cache=None if cache is None else SharedCache(str(cache["claim"]), cache.get("size")),
    )


def _server(raw: Mapping[str, Any]) -> Server:
    batching = raw.get("batching") or {}
    return Server(
        timeout=raw.get("timeout"),
        max_request_size=raw.get("maxRequestSize"),
        max_rows=raw.get("maxRows"),
        max_waiting=raw.get("maxWaiting"),
        batching=Batching(max_rows=batching.get("maxRows"), max_delay=batching.get("maxDelay")),
        allow_origins=tuple(map(str, raw.get("allowOrigins") or ())),
    )


def _monitor(raw: Mapping[str, Any]) -> Monitor:
    window = raw.get("window") or {}
    return Monitor(
        sampling_fraction=str(raw.get("samplingFraction", "100%")),
        learn_rows=int(raw.get("learnRows", 5000)),
        top_features=int(raw.get("topFeatures", 10)),
        window=MonitorWindow(str(window.get("duration", "1h")), int(window.get("minSamples", 500))),
        resources=_resources(raw.get("resources")),
    )


def _prediction_log(raw: Mapping[str, Any]) -> PredictionLog:
    secret, key, columns = raw.get("credentialsSecret"), raw.get("hashKeySecret"), raw.get("columns") or {}
    return PredictionLog(
        uri=str(raw["uri"]),
        credentials_secret=SecretReference(str(secret["name"])) if secret else None,
        fraction=str(raw.get("fraction", PredictionLog.fraction)),
        interval=str(raw.get("interval", PredictionLog.interval)),
        disk_limit=raw.get("diskLimit", PredictionLog.disk_limit),
        retention=raw.get("retention"),
        columns=LogColumns(
            exclude=tuple(map(str, columns.get("exclude") or ())),
            hash=tuple(map(str, columns.get("hash") or ())),
            truncate=tuple(
                Truncated(str(each["name"]), int(each["characters"])) for each in columns.get("truncate") or ()
            ),
        ),
        hash_key_secret=KeyReference(str(key["name"]), str(key.get("key", KeyReference.key))) if key else None,
    )


def parse_slo(raw: Mapping[str, Any]) -> Slo:
    """`spec.slo`. Raises KeyError, TypeError for what the CRD would have refused."""
    availability, latency = raw.get("availability"), raw.get("latency")
    return Slo(
        availability=None if availability is None else str(availability),
        latency=None if latency is None else LatencyObjective(str(latency["threshold"]), str(latency["objective"])),
    )


def _logging(raw: Mapping[str, Any]) -> Logging:
    level, share = raw.get("level"), raw.get("accessLogShare")
    return Logging(None if level is None else str(level), None if share is None else str(share))


def _router(raw: Mapping[str, Any]) -> Router:
    gateway, tls = raw.get("gateway"), raw.get("tls")
    return Router(
        replicas=int(raw.get("replicas", DEFAULT_ROUTER_REPLICAS)),
        resources=_resources(raw.get("resources")),
        gateway=None if gateway is None else parse_gateway(gateway),
        tls=None if tls is None else Tls(str(tls["secretName"])),
        service=parse_service(raw.get("service") or {}),
        template=dict(raw.get("template") or {}),
    )


def _autoscaling(raw: Mapping[str, Any]) -> Autoscaling:
    percent = raw.get("cpuUtilization")
    return Autoscaling(
        max_replicas=int(raw["maxReplicas"]),
        min_replicas=int(raw.get("minReplicas", Autoscaling.min_replicas)),
        cpu_utilization=None if percent is None else int(percent),
        metrics=tuple(raw.get("metrics") or ()),
        behavior=dict(raw.get("behavior") or {}),
    )


def parse_service(raw: Mapping[str, Any]) -> RouterService:
    """`spec.router.service`, whose fields but annotations a Service's spec has, too."""
    return RouterService(
        type=str(raw.get("type", RouterService.type)),
        annotations=dict(raw.get("annotations") or {}),
        load_balancer_class=raw.get("loadBalancerClass"),
        load_balancer_source_ranges=tuple(map(str, raw.get("loadBalancerSourceRanges") or ())),
        external_traffic_policy=raw.get("externalTrafficPolicy"),
        ip_family_policy=raw.get("ipFamilyPolicy"),
        ip_families=tuple(map(str, raw.get("ipFamilies") or ())),
    )


def parse_gateway(raw: Mapping[str, Any]) -> Gateway:
    """`spec.router.gateway`, whose fields an HTTPRoute's spec has, too."""
    return Gateway(
        parent_refs=tuple(
            ParentReference(str(each["name"]), each.get("namespace"), each.get("sectionName"))
            for each in raw["parentRefs"]
        ),
        hostnames=tuple(raw.get("hostnames") or ()),
    )
