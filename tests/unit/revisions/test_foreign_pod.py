"""Pods of another server than ours: what they have, what they have not, and what of spec makes another revision."""

from dataclasses import replace
from typing import Any

import pytest

from builders import PLATFORM, container, observed, owner, pod, revision, router, workload
from modelward.api import names
from modelward.api.asked import as_asked, asked_of
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Model, ModelDeployment, Resources, Spec, parse_pods
from modelward.api.runtime import OwnContainer, Runtime, Variable
from modelward.facts import RuntimeFacts
from modelward.models import consent
from modelward.reconcilers.modeldeployment.assessment import problem_of
from modelward.reconcilers.modeldeployment.made import Made
from modelward.reconcilers.modeldeployment.plan import cause_of
from modelward.revisions import deployment as render
from modelward.revisions.deployment import UnknownRuntimeError
from modelward.revisions.observed import observe
from modelward.revisions.observed.artifact import Artifact, artifacts_of
from modelward.revisions.pods import foreign_pod
from modelward.revisions.record import record
from modelward.runtime_files import presets

PLATFORM_WITH = replace(PLATFORM, runtimes=presets(None))
PINNED = Model("s3://models/fraud/3/model.onnx", digest="sha256:" + "0" * 64)
OWN = OwnContainer("team/fraud:1", args=("--port", "$(PORT)"), ready_path="/healthz")
TRITON = RuntimeFacts("triton", "v2", "/v2/health/ready", "/v2/health/live")


def asked(runtime: Runtime = Runtime(container=OWN), model: Model = PINNED, **spec: Any) -> ModelDeployment:  # noqa: B008
    return owner(model=model, runtime=runtime, **spec)


def template(made: ModelDeployment) -> dict[str, Any]:
    found = render.shape(made, PLATFORM_WITH, "fraud-0123456789").template
    assert isinstance(found, dict)
    return found


def server(made: ModelDeployment) -> dict[str, Any]:
    (found,) = template(made)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def env(made: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in made["env"]}


def test_the_download_alone_stands_before_it_and_nothing_counts() -> None:
    built = template(asked())["spec"]
    assert [each["name"] for each in built["initContainers"]] == ["download"]
    assert [each["name"] for each in built["containers"]] == ["server"]
    assert built["initContainers"][0]["image"] == PLATFORM.server_image
    assert {each["name"] for each in built["volumes"]} == {"artifact", "tmp-download", "tmp-server"}


def test_it_gets_what_a_pod_of_ones_own_would_get_and_no_more() -> None:
    """No login of the store, no key of the operator's or of the pod, no token; and no guard is off."""
    from modelward.api.modeldeployment import SecretReference

    model = replace(PINNED, credentials_secret=SecretReference("s3"))
    built = template(asked(model=model))["spec"]
    (made,) = built["containers"]
    assert "envFrom" not in made
    assert "envFrom" in built["initContainers"][0]
    assert all("valueFrom" not in each for each in made["env"])
    assert {each["name"] for each in made["volumeMounts"]} == {"artifact", "tmp-server"}
    assert next(each for each in made["volumeMounts"] if each["name"] == "artifact")["readOnly"]
    assert built["automountServiceAccountToken"] is False
    assert built["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
    }  # fmt: skip


def test_what_may_be_said_of_a_container() -> None:
    own = replace(
        OWN, command=("python",), env=(Variable("LEVEL", "info"),), grpc=True, metrics="separate", run_as_user=1001,
        read_only_root_filesystem=False, live_path="/livez",
    )  # fmt: skip
    made = server(asked(Runtime(container=own), resources=Resources(limits={"memory": "2Gi"})))
    assert (made["image"], made["command"], made["args"]) == ("team/fraud:1", ["python"], ["--port", "$(PORT)"])
    told = env(made)
    assert told["LEVEL"] == "info"
    assert (told["PORT"], told["GRPC_PORT"], told["METRICS_PORT"]) == ("8080", "9000", "8081")
    assert (told["MODELS_DIR"], told["MODEL_DIR"]) == ("/artifact/models", "/artifact/models/fraud")
    assert (told["MODEL_NAME"], told["MODEL_REVISION"]) == ("fraud", "fraud-0123456789")
    assert {each["name"] for each in made["ports"]} == {"http", "grpc", "monitor"}
    assert made["securityContext"]["runAsUser"] == 1001
    assert made["securityContext"]["readOnlyRootFilesystem"] is False
    assert made["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert made["resources"]["limits"] == {"memory": "2Gi"}
    # Kubernetes puts a variable in where it stands before the one that names it.
    names_of = [each["name"] for each in made["env"]]
    assert names_of.index("PORT") < names_of.index("LEVEL")


def test_a_model_in_the_image_is_not_downloaded() -> None:
    built = template(asked(model=Model("image://")))["spec"]
    assert "initContainers" not in built
    assert {each["name"] for each in built["volumes"]} == {"tmp-server"}
    assert not {"MODEL_DIR", "MODELS_DIR"} & env(built["containers"][0]).keys()


def test_files_are_only_laid_out_where_somebody_vouches_for_them() -> None:
    def allowed(model: Model, formats: tuple[str, ...]) -> str:
        platform = replace(PLATFORM_WITH, allowed_formats=formats)
        built = render.shape(asked(model=model), platform, "fraud-0123456789").template["spec"]
        return env(built["initContainers"][0])["MODEL_ALLOWED_FORMATS"]

    unpinned = replace(PINNED, digest=None)
    assert allowed(PINNED, consent.SAFE) == "files"
    assert allowed(unpinned, (*consent.SAFE, "sklearn")) == ""
    assert allowed(unpinned, (*consent.SAFE, "files")) == "files"
    assert consent.of_label("files.sklearn") == ("sklearn", "files")
    # Nothing of it reaches pods of our own server, whose images know no such word.
    assert "files" not in consent.allowed("s3://m/a.joblib", "auto", None, ("files", "sklearn"))


CHANGES: dict[str, ModelDeployment] = {
    "another image": asked(Runtime(container=replace(OWN, image="team/fraud:2"))),
    "another argument": asked(Runtime(container=replace(OWN, args=("--port", "$(PORT)", "--fast")))),
    "another variable": asked(Runtime(container=replace(OWN, env=(Variable("A", "1"),)))),
    "a preset": asked(Runtime(name="triton")),
    "a preset's further argument": asked(Runtime(name="triton", args=("--log-verbose=1",))),
    "our own server": owner(model=PINNED),
}


def test_a_change_of_the_runtime_is_another_revision() -> None:
    found = [render.name_of(each) for each in (asked(), *CHANGES.values())]
    assert len(set(found)) == len(found)


def test_what_the_installation_changes_of_a_preset_is_none() -> None:
    """Pods are made anew for it as for a newer image of ours, in an update that is paced."""
    made = asked(Runtime(name="triton"))
    changed = replace(PLATFORM_WITH, runtimes=tuple(
        each if each.name != "triton" else each.with_args(("--new",)) for each in PLATFORM_WITH.runtimes
    ))  # fmt: skip
    before, after = (render.shape(made, each, "fraud-0123456789") for each in (PLATFORM_WITH, changed))
    assert before.template != after.template


def test_the_template_is_merged_into_it() -> None:
    wanted = {
        "spec": {
            "containers": [
                {
                    "name": "server", "image": "mirror/tritonserver:1",
                    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}}],
                    "startupProbe": {"failureThreshold": 3600},
                }
            ],
            "initContainers": [
                {"name": "compile", "resources": {"limits": {"memory": "1Gi"}}},
                {"name": "download", "resources": {"limits": {"memory": "3Gi"}}},
            ],
        }
    }  # fmt: skip
    built = template(asked(Runtime(name="triton"), template=wanted))["spec"]
    (made,) = built["containers"]
    assert made["image"] == "mirror/tritonserver:1"
    assert made["env"][-1]["name"] == "TOKEN"
    assert made["startupProbe"]["failureThreshold"] == 3600
    assert [each["name"] for each in built["initContainers"]] == ["download"], (
        "what is said of a step that is not there"
    )
    assert built["initContainers"][0]["resources"]["limits"] == {"memory": "3Gi"}


def test_what_is_kept_of_a_revision_tells_how_it_is_spoken_to() -> None:
    made = asked()
    shape = render.shape(made, PLATFORM_WITH, "fraud-0123456789")
    body = record(made, "fraud-0123456789", shape)
    (found,) = observe.revisions_of(made, (), (body,), (), ()).values()
    assert found.runtime == RuntimeFacts("container", "path", "/healthz", "/healthz")
    ours = owner()
    body = record(ours, "fraud-0123456789", render.shape(ours, PLATFORM_WITH, "fraud-0123456789"))
    (found,) = observe.revisions_of(ours, (), (body,), (), ()).values()
    assert found.runtime is None


UNREADABLE = (
    "", "{", "null", '{"name": "x"}', '{"name":"x","protocol":"v2","ready":"x","live":"/"}',
    '{"name":"x","protocol":"v2","ready":"/a b","live":"/"}',
    '{"name":"x","protocol":"v2","ready":"/a","live":"/","hidden":["/admin/"]}',
)  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_somebody_else_wrote_there_is_taken_for_nothing(text: str) -> None:
    assert foreign_pod.load(text) is None


def test_what_was_asked_can_be_read_again() -> None:
    for made in (asked(), *CHANGES.values()):
        kept = asked_of(made.spec, made.spec.model)
        assert as_asked(replace(made.spec, runtime=None), kept) == made.spec


def test_an_unknown_preset_is_told_with_those_that_there_are() -> None:
    made = asked(Runtime(name="tritn"))
    with pytest.raises(UnknownRuntimeError, match="no runtime 'tritn'; it has mlserver, openvino, tensorflow-serving"):
        render.shape(made, PLATFORM_WITH, "fraud-0123456789")
    # What an earlier revision ran in may be gone: its pods stay as they are recorded.
    facts = replace(
        revision("fraud-a", promoted=1), asked=asked_of(made.spec, made.spec.model), runtime=TRITON
    )  # fmt: skip
    seen = observed("fraud-b", facts, revision("fraud-b"), router=router("fraud-a", "fraud-b"))
    assert "fraud-a" not in Made.of(owner(), seen, PLATFORM_WITH).shapes


REFUSED: dict[str, dict[str, Any]] = {
    "spec.server": {"server": {"maxRows": 5}},
    "spec.logging": {"logging": {"level": "DEBUG"}},
    "spec.router.gateway": {"router": {"gateway": {"parentRefs": [{"name": "g"}]}}},
    "spec.rollout.gates.refusals": {"rollout": {"gates": {"refusals": {}}}},
    "spec.model.format": {"model": {"uri": "s3://m/a", "format": "onnx"}},
    "spec.model.uri of image://": {"model": {"uri": "image://"}},
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_needs_our_own_server_is_refused_by_its_field(field: str) -> None:
    raw = {"model": {"uri": "s3://m/a"}, "runtime": {"name": "triton"}}
    assert parse_pods(raw).runtime == Runtime(name="triton")
    with pytest.raises(InvalidObjectError, match=f"{field}: it is not there with spec.runtime"):
        parse_pods({**raw, **REFUSED[field]})


def test_a_rollout_without_gates_does_not_ask_what_a_model_refused() -> None:
    raw: dict[str, Any] = {"model": {"uri": "s3://m/a"}, "rollout": {}}
    gates = parse_pods({**raw, "runtime": {"name": "triton"}}).rollout.gates
    assert (gates.error_rate is not None, gates.refusals) == (True, None)
    assert parse_pods(raw).rollout.gates.refusals is not None


@pytest.mark.parametrize("runtime", [{}, {"name": "triton", "container": {"image": "a", "readyPath": "/"}}])
def test_one_of_both_is_asked_for(runtime: dict[str, Any]) -> None:
    with pytest.raises(InvalidObjectError, match=r"spec\.runtime: write a name or a container"):
        parse_pods({"model": {"uri": "s3://m/a"}, "runtime": runtime})


def test_image_needs_a_container_of_ones_own() -> None:
    with pytest.raises(InvalidObjectError, match=r"add spec\.runtime\.container"):
        parse_pods({"model": {"uri": "image://"}})


def test_what_was_fetched_is_told_without_a_compile() -> None:
    said = container(
        "download", exit_code=0, exit_message='{"digest": "sha256:1", "format": "files", "model": "files"}'
    )
    told = artifacts_of(workload(pods=(pod(containers=(said, container("server"))),)))
    assert told == (Artifact("sha256:1", "files", "Original"),)
    # Who compiles still has to say what came of it.
    assert artifacts_of(workload(pods=(pod(containers=(said, container("compile"))),))) == ()


def test_a_runtime_that_never_gets_ready_is_named_with_what_to_look_at() -> None:
    running = pod(ready=False, waits_since=1000.0, containers=(container("server", running=True),))
    facts = replace(revision("fraud-a", ready=0, pods=(running,)), runtime=TRITON)
    seen = observed("fraud-a", facts)
    problem = problem_of(seen, None)
    assert problem is not None
    assert problem.reason == "RuntimeNotReady"
    assert "(triton) runs, and does not answer GET /v2/health/ready on port 8080 with 200" in problem.message
    assert cause_of(seen) == problem.message
    assert (problem.may_pass(1899.0), problem.may_pass(1900.0)) == (True, False)
    # Of our own server it is known what it is at.
    assert problem_of(observed("fraud-a", replace(facts, runtime=None)), None) is None
    # What the kubelet says comes first.
    waiting = container("server", waiting_reason="ImagePullBackOff")
    other = replace(facts, workload=workload(ready=0, pods=(pod(ready=False, containers=(waiting,)),)))
    found = problem_of(observed("fraud-a", other), None)
    assert found is not None
    assert found.reason == "ImagePullFailed"


def test_nothing_of_other_models_changes() -> None:
    """Names and templates of what asks for no runtime are what they were."""
    assert "runtime" not in asked_of(Spec(PINNED), PINNED)
    made = render.shape(owner(), PLATFORM_WITH, "fraud-0123456789").template
    assert made == render.shape(owner(), PLATFORM, "fraud-0123456789").template
    assert names.ANNOTATION_RUNTIME not in made["metadata"]["annotations"]
