"""A tap before another server: what the pod gets by it, what it changes for the server, and where there can be none."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from builders import PLATFORM, container, observed, owner, pod, revision, router, workload
from modelward.api.asked import as_asked, asked_of
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Model, ModelDeployment, Monitor, PredictionLog, Resources, parse_pods
from modelward.api.runtime import OwnContainer, Runtime, Tap
from modelward.facts import RuntimeFacts
from modelward.reconcilers.modeldeployment.assessment import problem_of
from modelward.revisions import deployment as render
from modelward.revisions.deployment import UnknownRuntimeError
from modelward.revisions.observed import observe
from modelward.revisions.pods import foreign_pod
from modelward.revisions.record import record
from modelward.runtime_files import presets

PLATFORM_WITH = replace(PLATFORM, runtimes=presets(None))
PINNED = Model("s3://models/fraud/3/model.onnx", digest="sha256:" + "0" * 64)
REVISION = "fraud-0123456789"
TRITON = Runtime(name="triton", tap=Tap())


def asked(runtime: Runtime = TRITON, **spec: Any) -> ModelDeployment:
    return owner(model=PINNED, runtime=runtime, **spec)


def pod_of(made: ModelDeployment) -> dict[str, Any]:
    found = render.shape(made, PLATFORM_WITH, REVISION).template
    assert isinstance(found, dict)
    return found


def containers(made: ModelDeployment) -> dict[str, dict[str, Any]]:
    spec = pod_of(made)["spec"]
    return {each["name"]: each for kind in ("initContainers", "containers") for each in spec[kind]}


def env(made: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in made["env"]}


def mounts(made: dict[str, Any]) -> set[str]:
    return {each["name"] for each in made["volumeMounts"]}


def test_the_monitor_and_the_tap_begin_before_the_server_and_end_after_it() -> None:
    found = containers(asked(monitor=Monitor()))
    assert list(found) == ["download", "monitor", "modelward-tap", "server"]
    assert {found[each]["restartPolicy"] for each in ("monitor", "modelward-tap")} == {"Always"}
    assert found["modelward-tap"]["image"] == PLATFORM.server_image
    assert found["modelward-tap"]["args"] == ["tap"]
    assert list(containers(asked())) == ["download", "modelward-tap", "server"], "a monitor is there if it is asked for"


def test_requests_go_to_the_tap_and_from_there_to_the_server() -> None:
    found = containers(asked(monitor=Monitor(sampling_fraction="25%")))
    tap, server = env(found["modelward-tap"]), env(found["server"])
    assert (tap["PORT"], tap["TAP_SERVER_PORT"], tap["TAP_PORT"]) == ("8080", server["PORT"], "8082")
    assert (server["PORT"], server["GRPC_PORT"], server["METRICS_PORT"]) == ("8090", "8091", "8083")
    assert (tap["GRPC_PORT"], tap["TAP_GRPC_SERVER_PORT"]) == ("9000", server["GRPC_PORT"])
    assert (tap["MODEL_NAME"], tap["MODEL_REVISION"]) == ("fraud", REVISION)
    assert (tap["CAPTURE_SOCKET"], tap["CAPTURE_SAMPLING"]) == ("/monitor/capture.sock", "0.25")
    # A Service finds its port by its name, in the server's container.
    ports = {each["name"]: each["containerPort"] for each in found["server"]["ports"]}
    assert ports == {
        "http": 8080, "behind-tap": 8090, "grpc": 9000, "behind-tap-grpc": 8091, "runtime-metrics": 8083,
    }  # fmt: skip
    service = render.service(asked(), REVISION)["spec"]["ports"]
    assert {each["targetPort"] for each in service} <= set(ports)


@pytest.mark.parametrize(
    ("runtime", "speaks"),
    [
        (Runtime(name="mlserver", tap=Tap()), True),
        (Runtime(container=OwnContainer("team/fraud:1", protocol="v2", grpc=True), tap=Tap()), True),
        (Runtime(name="tensorflow-serving", tap=Tap()), False),
        (Runtime(container=OwnContainer("team/fraud:1", protocol="v2"), tap=Tap()), None),
    ],
)
def test_grpc_goes_through_the_tap_where_it_is_of_v2(runtime: Runtime, speaks: bool | None) -> None:
    """`speaks`: what the tap reads; None: no gRPC at all."""
    found = containers(asked(runtime))
    tap, server = env(found["modelward-tap"]), found["server"]
    ports = {each["name"]: each["containerPort"] for each in server["ports"]}
    assert tap.get("GRPC_PORT") == ("9000" if speaks else None)
    assert env(server)["GRPC_PORT"] == ("8091" if speaks else "9000")
    assert (ports.get("grpc"), "behind-tap-grpc" in ports) == (None if speaks is None else 9000, bool(speaks))


def test_traces_are_the_taps_and_the_monitors_and_not_the_servers() -> None:
    """The server is not ours: what it makes of OpenTelemetry's variables is its own."""
    traced = replace(PLATFORM_WITH, otlp_endpoint="http://collector:4318", trace_share=0.05)
    template = render.shape(asked(monitor=Monitor()), traced, REVISION).template
    spec = template["spec"]
    found = {each["name"]: env(each) for kind in ("initContainers", "containers") for each in spec[kind]}
    told = {name: each.get("OTEL_EXPORTER_OTLP_ENDPOINT") for name, each in found.items()}
    collector = "http://collector:4318"
    assert told == {"download": None, "monitor": collector, "modelward-tap": collector, "server": None}
    assert not any("OTEL" in name for name in env(containers(asked())["modelward-tap"]))


def test_a_pod_is_ready_through_the_tap_and_its_server_lives_without() -> None:
    found = containers(asked())
    tap, server = found["modelward-tap"], found["server"]
    ready = server["readinessProbe"]["httpGet"]
    assert tap["readinessProbe"]["httpGet"] == {"path": ready["path"], "port": 8080}
    assert tap["livenessProbe"]["httpGet"] == {"path": "/live", "port": 8082}
    assert {server[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {8090}
    assert "startupProbe" not in tap, "the server would wait for itself"


def test_only_what_is_ours_has_the_key_and_the_monitors_folder() -> None:
    found = containers(asked(monitor=Monitor()))
    assert mounts(found["modelward-tap"]) == {"tmp-modelward-tap", "monitor", "identity", "operator-keys"}
    assert mounts(found["server"]) == {"artifact", "tmp-server"}
    assert "POD_KEY" in env(found["download"])
    assert not {"POD_KEY", "OPERATOR_KEYS", "CAPTURE_SOCKET"} & env(found["server"]).keys()
    volumes = {each["name"] for each in pod_of(asked(monitor=Monitor()))["spec"]["volumes"]}
    used = set().union(*(mounts(each) for each in found.values()))
    assert used == volumes
    skipped = pod_of(asked(monitor=Monitor()))["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert {"server", "modelward-tap", "monitor"} <= set(skipped.split(","))


def test_the_monitor_has_no_bundle_and_learns_from_what_it_sees() -> None:
    log = PredictionLog("s3://logs/fraud")
    made = asked(monitor=Monitor(), prediction_log=log)
    monitor = containers(made)["monitor"]
    assert env(monitor)["MONITOR_SIGNATURE"] == "observed"
    assert env(monitor)["PREDICTION_LOG_URI"] == "s3://logs/fraud"
    assert "bundle" not in mounts(monitor)
    ours = render.shape(owner(monitor=Monitor()), PLATFORM_WITH, REVISION).template["spec"]["initContainers"]
    (own,) = [each for each in ours if each["name"] == "monitor"]
    assert "MONITOR_SIGNATURE" not in env(own)


def test_what_may_be_said_of_it() -> None:
    wanted = Tap("4Mi", Resources(limits={"memory": "1Gi"}))
    made = asked(Runtime(name="triton", tap=wanted), resources=Resources(limits={"cpu": "8"}))
    tap = containers(made)["modelward-tap"]
    assert env(tap)["TAP_BODY_BYTES"] == str(4 << 20)
    assert tap["resources"] == {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}}


def test_it_is_another_revision_and_can_be_read_again() -> None:
    plain, tapped = asked(Runtime(name="triton")), asked()
    larger = asked(Runtime(name="triton", tap=Tap("4Mi", Resources(limits={"cpu": "1"}))))
    assert len({render.name_of(each) for each in (plain, tapped, larger)}) == 3
    for made in (plain, tapped, larger):
        kept = asked_of(made.spec, made.spec.model)
        assert as_asked(replace(made.spec, runtime=None), kept) == made.spec


def test_pods_without_one_are_what_they_were() -> None:
    found = pod_of(asked(Runtime(name="triton")))
    (server,) = found["spec"]["containers"]
    assert {each["name"]: each["containerPort"] for each in server["ports"]} == {
        "http": 8080, "grpc": 9000, "monitor": 8081,
    }  # fmt: skip
    assert server["readinessProbe"]["httpGet"]["port"] == "http"


def test_a_revision_tells_whether_it_has_one() -> None:
    for runtime, tapped in ((TRITON, True), (Runtime(name="triton"), False)):
        made = asked(runtime)
        body = record(made, REVISION, render.shape(made, PLATFORM_WITH, REVISION))
        (found,) = observe.revisions_of(made, (), (body,), (), ()).values()
        assert (found.tapped, found.keeps_answers) == (tapped, tapped)
    ours = owner()
    body = record(ours, REVISION, render.shape(ours, PLATFORM_WITH, REVISION))
    (found,) = observe.revisions_of(ours, (), (body,), (), ()).values()
    assert (found.tapped, found.keeps_answers) == (False, True)


RAW: dict[str, Any] = {"model": {"uri": "s3://m/a"}, "runtime": {"name": "triton"}}
NEEDS_TAP: dict[str, dict[str, Any]] = {
    "spec.monitor": {"monitor": {}},
    "spec.rollout.gates.disagreement": {"rollout": {"gates": {"disagreement": {"max": "1%"}}}},
}


@pytest.mark.parametrize("field", NEEDS_TAP)
def test_what_needs_a_tap_says_so_and_is_there_with_one(field: str) -> None:
    with pytest.raises(InvalidObjectError, match=rf"{field}: .* add spec\.runtime\.tap"):
        parse_pods({**RAW, **NEEDS_TAP[field]})
    spec = parse_pods({**RAW, "runtime": {"name": "triton", "tap": {}}, **NEEDS_TAP[field]})
    assert spec.runtime == TRITON


SIDECAR: dict[str, Any] = {"name": "side", "image": "a"}
IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a protocol of its own": (
        {"runtime": {"container": {"image": "a", "readyPath": "/"}, "tap": {}}}, "of protocol path nothing is known"
    ),
    "a model in its image": (
        {"model": {"uri": "image://"}, "runtime": {"container": {"image": "a", "protocol": "v2"}, "tap": {}}},
        "makes the key that the pod is known by",
    ),
    "a sidecar of its name": (
        {"template": {"spec": {"containers": [{**SIDECAR, "name": "modelward-tap"}]}}}, "which is the tap's name"
    ),
    "a sidecar at its port": (
        {"template": {"spec": {"containers": [{**SIDECAR, "ports": [{"containerPort": 8082}]}]}}}, "a port of the tap's"
    ),
    "a sidecar at the port behind it": (
        {"template": {"spec": {"containers": [{**SIDECAR, "ports": [{"containerPort": 8091}]}]}}}, "a port of the tap's"
    ),
    "refusals": ({"rollout": {"gates": {"refusals": {}}}}, "it is not there with spec.runtime"),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_where_there_can_be_none_it_is_refused_with_the_cause(what: str) -> None:
    raw, said = IMPOSSIBLE[what]
    with pytest.raises(InvalidObjectError, match=said):
        parse_pods({**RAW, "runtime": {"name": "triton", "tap": {}}, **raw})


def test_before_a_preset_that_nobody_can_read_there_is_none() -> None:
    made = asked(Runtime(name="vllm", tap=Tap()))
    found = foreign_pod.unknown(made.spec.runtime, PLATFORM_WITH)
    assert found is not None
    assert found.reason == "RuntimeNotTapped"
    assert "vllm is of the protocol path, and a tap reads v2 and v1" in found.message
    with pytest.raises(UnknownRuntimeError, match="a tap reads v2 and v1"):
        render.shape(made, PLATFORM_WITH, REVISION)
    for name in ("triton", "mlserver", "openvino", "tensorflow-serving"):
        assert foreign_pod.unknown(Runtime(name=name, tap=Tap()), PLATFORM_WITH) is None, name


def test_before_a_preset_that_takes_no_files_there_is_none() -> None:
    """Nothing would make the key without which the tap does not begin."""
    triton = next(each for each in presets(None) if each.name == "triton")
    platform = replace(PLATFORM, runtimes=(msgspec.structs.replace(triton, files=None),))
    found = foreign_pod.unknown(TRITON, platform)
    assert found is not None
    assert (found.reason, "takes no files" in found.message) == ("RuntimeNotTapped", True)
    with pytest.raises(UnknownRuntimeError, match="takes no files"):
        render.shape(asked(), platform, REVISION)
    assert foreign_pod.unknown(Runtime(name="triton"), platform) is None


def test_a_server_that_is_not_ready_is_told_by_the_port_where_it_has_to_listen() -> None:
    running = pod(ready=False, waits_since=1000.0, containers=(container("server", running=True),))
    runtime = RuntimeFacts("triton", "v2", "/v2/health/ready", "/v2/health/live")
    facts = replace(revision("fraud-a", ready=0, pods=(running,)), runtime=runtime, tapped=True)
    problem = problem_of(observed("fraud-a", facts), None)
    assert problem is not None
    assert "does not answer GET /v2/health/ready on port 8090 with 200" in problem.message


def test_a_tap_that_ran_out_of_memory_is_told_with_its_field() -> None:
    killed = container("modelward-tap", exit_code=137, exit_reason="OOMKilled", restarts=9)
    pods = (pod(ready=False, containers=(killed,)),)
    facts = replace(revision("fraud-a", ready=0), workload=workload(ready=0, pods=pods))
    problem = problem_of(observed("fraud-a", facts, router=router("fraud-a")), None)
    assert problem is not None
    assert "was killed while passing requests on" in problem.message
    assert "spec.runtime.tap.resources.limits.memory" in problem.message


def test_a_container_of_ones_own_can_have_one() -> None:
    own = OwnContainer("team/fraud:1", protocol="v1", metrics="http")
    found = containers(asked(Runtime(container=own, tap=Tap())))
    assert found["modelward-tap"]["readinessProbe"]["httpGet"]["path"] == "/v1/models/fraud"
