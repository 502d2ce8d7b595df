"""The presets, each as its pod is rendered, held against what that system's own documentation says of its options.

Triton and MLServer are run for real besides, as processes (tests/integration/test_presets.py) and in pods
(tests/e2e/test_presets.py); the others here alone.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tritonclient.grpc import service_pb2

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Model, ModelDeployment, parse
from modelward.api.runtime import Runtime
from modelward.platform import Platform
from modelward.revisions import deployment as revision
from modelward.rollouts.gates.query import render
from modelward.rollouts.gates.query_scope import scoped
from modelward.runtime_files import OURS, presets
from modelward.runtimes.preset import VARIABLES, PresetError, read
from modelward.runtimes.runtime import MODELWARD
from modelward.setting_values import SettingsError
from modelward_inference.fetch.layout import Layout

ALL = {each.name: each for each in presets(None)}
WHOLE: Platform = Platform(**{**vars(PLATFORM), "runtimes": tuple(ALL.values())})
URI = "s3://models/fraud/3/model.onnx"


def asked(name: str, uri: str = URI, args: tuple[str, ...] = ()) -> ModelDeployment:
    return owner(model=Model(uri, digest="sha256:" + "0" * 64), runtime=Runtime(name=name, args=args))


def pod(name: str, uri: str = URI, args: tuple[str, ...] = ()) -> dict[str, Any]:
    made = revision.deployment(asked(name, uri, args), WHOLE, "fraud-0123456789", 1)
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def expanded(container: dict[str, Any]) -> list[str]:
    """Command and arguments as the kubelet makes them: variables that were defined before are put in."""
    known: dict[str, str] = {}

    def put_in(text: str) -> str:
        for name, value in known.items():
            text = text.replace(f"$({name})", value)
        return text

    for each in container["env"]:
        known[each["name"]] = put_in(each["value"])
    return [put_in(each) for each in (*container.get("command", ()), *container.get("args", ()))]


def variables(container: dict[str, Any]) -> dict[str, str]:
    known: dict[str, str] = {}
    for each in container["env"]:
        text = each["value"]
        for name, value in known.items():
            text = text.replace(f"$({name})", value)
        known[each["name"]] = text
    return known


def test_these_are_there() -> None:
    assert sorted(ALL) == ["mlserver", "openvino", "tensorflow-serving", "torchserve", "triton", "vllm"]
    assert {path.stem for path in OURS.iterdir()} == set(ALL)


RUNS = {
    "triton": [
        "tritonserver", "--model-repository=/artifact/models", "--model-control-mode=none", "--http-port=8080",
        "--grpc-port=9000", "--metrics-port=8081",
    ],
    "mlserver": ["mlserver", "start", "/artifact/models/fraud"],
    "openvino": [
        "--model_name=fraud", "--model_path=/artifact/models/fraud", "--port=9000", "--rest_port=8080",
        "--metrics_enable", "--file_system_poll_wait_seconds=0",
    ],
    "vllm": [
        "vllm", "serve", "/artifact/models/fraud", "--served-model-name", "fraud", "--host", "0.0.0.0", "--port",
        "8080",
    ],
}  # fmt: skip
"""As one program with its arguments."""

SHELLS = {
    "tensorflow-serving": [
        "exec tensorflow_model_server ", "--port=9000 ", "--rest_api_port=8080 ", "--model_name=fraud ",
        "--model_base_path=/artifact/models/fraud ", "--monitoring_config_file=/tmp/monitoring.config ",
        'prometheus_config { enable: true, path: "/metrics" }',
    ],
    "torchserve": [
        "exec torchserve --start --foreground --disable-token-auth ", "inference_address=http://0.0.0.0:8080 ",
        "management_address=http://127.0.0.1:8091 ", "metrics_address=http://0.0.0.0:8081 ",
        "grpc_inference_address=0.0.0.0 ", "grpc_inference_port=9000 ", "metrics_mode=prometheus ",
        "--model-store /artifact/models/fraud ", "--models fraud=fraud.mar ",
    ],
}  # fmt: skip
"""What is in the line of a shell, which writes a file of settings first."""


@pytest.mark.parametrize("name", RUNS)
def test_what_is_run(name: str) -> None:
    assert expanded(pod(name)["containers"][0]) == RUNS[name]


@pytest.mark.parametrize("name", SHELLS)
def test_what_a_shell_runs_and_arguments_reach_the_server_behind_it(name: str) -> None:
    shell, dash, line, first, *more = expanded(pod(name, args=("--more=1", "two words"))["containers"][0])
    assert (shell, dash) == ("sh", "-c")
    for piece in SHELLS[name]:
        assert piece in f"{line} "
    # `sh -c LINE a b`: a is $0 there, and the rest $@.
    assert line.endswith('"$0" "$@"')
    assert first.startswith("--")
    assert more == ["--more=1", "two words"]


READY = {
    "triton": ("/v2/health/ready", "/v2/health/live"),
    "mlserver": ("/v2/models/fraud/ready", "/v2/health/live"),
    "openvino": ("/v2/health/ready", "/v2/health/live"),
    "tensorflow-serving": ("/v1/models/fraud", "/v1/models/fraud"),
    "torchserve": ("/ping", "/ping"),
    "vllm": ("/health", "/health"),
}


@pytest.mark.parametrize("name", READY)
def test_by_which_paths_it_is_ready_and_lives(name: str) -> None:
    server = pod(name)["containers"][0]
    probes = [server[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")]
    assert [each["path"] for each in probes] == [READY[name][0], READY[name][0], READY[name][1]]
    assert {each["port"] for each in probes} == {"http"}


PORTS = {
    "triton": {"http": 8080, "grpc": 9000, "monitor": 8081},
    "mlserver": {"http": 8080, "grpc": 9000, "monitor": 8081},
    "torchserve": {"http": 8080, "grpc": 9000, "monitor": 8081},
    "openvino": {"http": 8080, "grpc": 9000},
    "tensorflow-serving": {"http": 8080, "grpc": 9000},
    "vllm": {"http": 8080},
}


@pytest.mark.parametrize("name", PORTS)
def test_ports_are_those_that_services_and_policies_know(name: str) -> None:
    ports = pod(name)["containers"][0]["ports"]
    assert {each["name"]: each["containerPort"] for each in ports} == PORTS[name]
    assert set(PORTS[name].values()) <= {MODELWARD.ports.http, MODELWARD.ports.grpc, MODELWARD.ports.monitor}


def test_mlserver_is_told_by_variables() -> None:
    told = variables(pod("mlserver")["containers"][0])
    wanted = {
        "MLSERVER_HTTP_PORT": "8080", "MLSERVER_GRPC_PORT": "9000", "MLSERVER_METRICS_PORT": "8081",
        "MLSERVER_MODEL_NAME": "fraud", "MLSERVER_MODEL_URI": "/artifact/models/fraud",
        "MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_HOST": "0.0.0.0", "MLSERVER_DEBUG": "false",
    }  # fmt: skip
    assert wanted.items() <= told.items()


PLACES = {
    "triton": ("fraud/1/model.onnx", ["fraud/1/model.onnx"]),
    "openvino": ("fraud/1/model.onnx", ["fraud/1/model.onnx"]),
    "torchserve": ("fraud/fraud.mar", ["fraud/fraud.mar"]),
    "mlserver": ("fraud/model.onnx", ["fraud/model.onnx"]),
    "vllm": ("fraud/iris.onnx", ["fraud/iris.onnx"]),
    "tensorflow-serving": ("fraud/1/iris.onnx", ["fraud/1/iris.onnx"]),
}


@pytest.mark.parametrize("name", PLACES)
def test_where_a_file_goes(name: str) -> None:
    (init,) = pod(name)["initContainers"]
    layout = Layout.from_environment({"MODEL_LAYOUT": variables(init)["MODEL_LAYOUT"]})
    assert layout is not None
    assert layout.places(["iris.onnx"]) == {"iris.onnx": PLACES[name][0]}


def test_where_folders_go() -> None:
    def places(name: str, *files: str) -> set[str]:
        (init,) = pod(name)["initContainers"]
        layout = Layout.from_environment({"MODEL_LAYOUT": variables(init)["MODEL_LAYOUT"]})
        assert layout is not None
        return set(layout.places(files).values())

    saved = ("saved_model.pb", "variables/variables.index")
    assert places("tensorflow-serving", *saved) == {
        "fraud/1/saved_model.pb", "fraud/1/variables/variables.index"
    }  # fmt: skip
    assert places("tensorflow-serving", *(f"7/{each}" for each in saved)) == places("tensorflow-serving", *saved)
    # A model of a repository keeps its versions; a folder that is the model keeps its name.
    assert places("triton", "config.pbtxt", "1/model.onnx") == {"fraud/config.pbtxt", "fraud/1/model.onnx"}
    assert places("triton", "iris/config.pbtxt", "iris/1/model.onnx") == places(
        "triton", "config.pbtxt", "1/model.onnx"
    )
    assert places("triton", "model.savedmodel/saved_model.pb", "model.savedmodel/variables/x") == {
        "fraud/1/model.savedmodel/saved_model.pb", "fraud/1/model.savedmodel/variables/x",
    }  # fmt: skip


def test_no_client_changes_the_server_by_its_own_paths() -> None:
    hidden = {name: set(each.hidden) for name, each in ALL.items()}
    assert {"/v2/repository", "/v2/logging", "/v2/models/*/trace", "/v2/systemsharedmemory"} <= hidden["triton"]
    assert "/inference.GRPCInferenceService/RepositoryModelLoad" in hidden["triton"] & hidden["mlserver"]
    assert "/models" in hidden["torchserve"]
    assert "/v1/config" in hidden["openvino"]
    # Always there, and nothing is answered while it waits for requests to end.
    assert {"/scale_elastic_ep", "/start_profile", "/v1/load_lora_adapter"} <= hidden["vllm"]
    assert "/tensorflow.serving.ModelService/HandleReloadConfigRequest" in hidden["tensorflow-serving"]


ASKED = {
    "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics",
    "ModelInfer", "ModelStreamInfer",
}  # fmt: skip
"""Methods of Triton's service that change nothing."""


def test_of_tritons_own_service_clients_reach_what_changes_nothing() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    hidden = {path.rpartition("/")[2] for path in ALL["triton"].hidden if service.full_name in path}
    assert {each.name for each in service.methods} - hidden == ASKED


GOOD = "{name: own, protocol: path, image: 'own:1', ready: /healthz}"

WRONG = {
    "{": "no YAML",
    "[]": "no mapping",
    "{name: own, protocol: v2}": "missing required field `image`",
    "{name: own, protocol: v3, image: a}": "Invalid enum value 'v3'",
    "{name: own, protocol: v2, image: a, hostNetwork: true}": "unknown field `hostNetwork`",
    "{name: own, protocol: v2, image: a, user: root}": "Expected `int | null`, got `str`",
    "{name: Own, protocol: v2, image: a}": "name is 'Own'",
    "{name: own, protocol: v2, image: ' '}": "image is empty",
    "{name: own, protocol: path, image: a}": "ready is not there",
    "{name: own, protocol: v2, image: a, ready: healthz}": "ready is 'healthz'",
    "{name: own, protocol: v2, image: a, live: /../x}": "live is '/../x'",
    "{name: own, protocol: v2, image: a, hidden: ['/a.*|.*']}": "hidden has",
    "{name: own, protocol: v2, image: a, hidden: ['/a/../b']}": "hidden has",
    f"{{name: own, protocol: v2, image: a, hidden: [/*/{'a' * 90}]}}": "it is too long for one with *",
    "{name: own, protocol: v2, image: a, env: {PORT: '1'}}": "env has 'PORT'",
    "{name: own, protocol: v2, image: a, env: {'A B': '1'}}": "env has 'A B'",
    "{name: own, protocol: v2, image: a, user: 0}": "user is 0",
    "{name: own, protocol: v2, image: a, user: 65533}": "user is 65533",
    "{name: own, protocol: v2, image: a, files: {folder: ../x}}": "files.folder is '../x'",
    "{name: own, protocol: v2, image: a, files: {folder: /x}}": "files.folder is '/x'",
    "{name: own, protocol: v2, image: a, files: {file: a/b}}": "files.file is 'a/b'",
    "{name: own, protocol: v2, image: a, files: {whole: {file: ../x, folder: a}}}": "files.whole.file is",
    "{name: own, protocol: v2, image: a, files: {folder: $(MODEL)}}": "files names the variable 'MODEL'",
    "{name: own, protocol: v2, image: a, args: [--port=$(HTTP_PORT)]}": "args names the variable 'HTTP_PORT'",
    "{name: own, protocol: v2, image: a, args: [$(MODEL_DIR)], files: null}": "and files is null",
}  # fmt: skip


def test_a_preset_of_a_few_lines_is_enough() -> None:
    preset = read(GOOD)
    assert (preset.ready_for("fraud"), preset.live_for("fraud")) == ("/healthz", "/healthz")
    assert preset.files is not None
    assert not preset.writable


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_preset_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(PresetError) as refused:
        read(text)
    assert WRONG[text] in str(refused.value)


def test_administrators_add_and_replace_by_files(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(GOOD)
    triton = yaml.safe_load((OURS / "triton.yaml").read_text())
    (tmp_path / "triton.yml").write_text(json.dumps({**triton, "image": "mirror.example.com/tritonserver:1"}))
    (tmp_path / "README.md").write_text("no preset")
    (tmp_path / "..data.yaml").write_text("{")
    found = {each.name: each for each in presets(tmp_path)}
    assert sorted(found) == sorted([*ALL, "own"])
    assert found["triton"].image == "mirror.example.com/tritonserver:1"
    assert presets(tmp_path / "absent") == presets(None)


def test_a_wrong_file_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{name: own}")
    with pytest.raises(SettingsError, match=r"^MODELWARD_RUNTIMES_DIR: .*own\.yaml: .*protocol"):
        presets(tmp_path)
    (tmp_path / "own.yaml").write_text(GOOD)
    (tmp_path / "two.yaml").write_text(GOOD)
    with pytest.raises(SettingsError, match=r"both of the name own; take one away"):
        presets(tmp_path)


def test_variables_are_those_that_pods_have() -> None:
    told = variables(pod("triton")["containers"][0])
    assert set(VARIABLES) <= told.keys()


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("runtime-*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda each: each.stem)
def test_an_example_becomes_a_pod_and_its_queries_have_the_names_of_a_rollout(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    made = parse({**body, "metadata": {**body["metadata"], "namespace": "ml", "uid": "u"}})
    assert revision.shape(made, WHOLE, "fraud-0123456789").template["spec"]["containers"]
    for metric in made.spec.rollout.gates.metrics:
        names = {"candidate": "fraud-a", "stable": "fraud-b", "namespace": "ml", "name": "fraud"}
        assert "fraud-a" in render(metric.query, names)
        assert scoped(render(metric.query, names), "namespace", "ml").count('namespace="ml"') >= 1


def test_the_examples_are_of_these_servers() -> None:
    assert {each.stem.removeprefix("runtime-") for each in EXAMPLES} == {
        "triton", "mlserver", "torchserve", "tensorflow-serving", "fastapi", "tap",
    }  # fmt: skip


def test_the_preset_of_the_page_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs/runtimes.md").read_text()
    block = page[page.index("apiVersion: v1\nkind: ConfigMap") :].split("\n```")[0]
    preset = read(yaml.safe_load(block)["data"]["scorer.yaml"])
    assert (preset.name, preset.live_for("m"), preset.metrics) == ("scorer", "/live", "separate")


def test_the_page_has_every_preset() -> None:
    page = (Path(__file__).parents[3] / "docs/runtimes.md").read_text()
    table = page[page.index("| name | protocol |") :].split("\n\n")[0]
    assert {each.split("`")[1] for each in table.splitlines()[2:] if each.startswith("| `")} == set(ALL)
