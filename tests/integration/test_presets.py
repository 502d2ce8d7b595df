"""Presets of `spec.runtime` held against the real servers: Triton (2.51, of PyTriton's wheel) and MLServer.

As processes, by what the presets say; tests/e2e/test_presets.py has them in pods. The other presets are held against
documentation alone (tests/unit/runtimes/test_presets.py).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import urllib3

from modelward.runtime_files import presets
from presetserver import models
from presetserver.server import NAME, PresetServer, missing_library

BY_NAME = {each.name: each for each in presets(None)}
BIAS = 3.0
PAGE = Path(__file__).parents[2] / "docs/runtimes.md"


@pytest.fixture(scope="module")
def triton(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[PresetServer]:
    if (library := missing_library()) is not None:
        pytest.skip(f"{library} is not here, which Triton's Python backend needs; tests/e2e/test_presets.py has it")
    with in_sight(), PresetServer("triton", models.triton_repository(BIAS), "fraud-3.tar") as made:
        yield made


@pytest.fixture(scope="module")
def mlserver(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[PresetServer]:
    """One file under a name of its own, and the implementation by a variable, as the example has it."""
    variables = {"MLSERVER_MODEL_IMPLEMENTATION": models.SKLEARN}
    with in_sight(), PresetServer("mlserver", models.sklearn_file(BIAS), "fraud-3.joblib", **variables) as made:
        yield made


@pytest.fixture(params=["triton", "mlserver"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def ask(address: str, path: str, **body: Any) -> urllib3.BaseHTTPResponse:
    """A GET, with `json` a POST. On a connection that is closed: Triton's end waits for those that are not."""
    with urllib3.PoolManager() as pool:
        return pool.request("POST" if body else "GET", f"http://{address}{path}", retries=False, **body)


def status(address: str, path: str) -> int:
    return ask(address, path).status


def given(kind: Any, **how: bool) -> Any:
    tensor = kind.InferInput("input", [1, models.COLUMNS], "FP32")
    tensor.set_data_from_numpy(np.array([[1.0, 2.0]], dtype=np.float32), **how)
    return tensor


def by_rest(server: PresetServer) -> float:
    """The score of the row 1, 2. As JSON: MLServer has no binary tensors, and answers 422 to them."""
    with tritonclient.http.InferenceServerClient(server.rest) as client:
        answer = client.infer(NAME, [given(tritonclient.http, binary_data=False)])
    return float(answer.as_numpy(answer.get_response()["outputs"][0]["name"])[0][0])


def by_grpc(server: PresetServer) -> float:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        answer = client.infer(NAME, [given(tritonclient.grpc)])
    return float(answer.as_numpy(answer.get_response().outputs[0].name)[0][0])


def refused(server: PresetServer) -> str:
    """What it answers to a row of another width."""
    wide = {"name": "input", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}
    answer = ask(server.rest, f"/v2/models/{NAME}/infer", json={"inputs": [wide]})
    assert answer.status >= 400
    return answer.data.decode()


def test_it_answers_at_its_paths_under_the_models_name_by_rest_and_grpc(server: PresetServer) -> None:
    assert (status(server.rest, server.ready), status(server.rest, server.live)) == (200, 200)
    assert by_rest(server) == pytest.approx(3 + BIAS)
    assert by_grpc(server) == pytest.approx(3 + BIAS)


def documented(preset: str) -> list[str]:
    """The names of metrics that the page has of it."""
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{preset}` |"))
    return [each for each in row.split(" | ")[3].split("`")[1::2] if each.isidentifier()]


def test_metrics_of_the_page_are_where_the_preset_says(server: PresetServer) -> None:
    by_rest(server)
    refused(server)
    told = ask(server.metrics, "/metrics").data.decode()
    names = documented(server.preset)
    assert len(names) >= 2
    assert [each for each in names if f"\n{each}{{" not in told] == []
    assert status(server.rest, "/metrics") == 404


def test_what_the_preset_hides_is_there_so_that_the_router_alone_keeps_clients_from_it(server: PresetServer) -> None:
    hidden = BY_NAME[server.preset].hidden
    assert "/v2/repository" in hidden
    index = ask(server.rest, "/v2/repository/index", json={})
    assert (index.status, [each["name"] for each in index.json()]) == (200, [NAME])
    with grpc.insecure_channel(server.grpc) as channel:
        methods = [each for each in hidden if each.startswith("/inference.GRPCInferenceService/")]
        assert [each for each in methods if code(channel, each) == grpc.StatusCode.UNIMPLEMENTED] == []


def code(channel: Any, path: str) -> grpc.StatusCode:
    """What a call with an empty message comes to."""
    try:
        channel.unary_unary(path)(b"", timeout=30.0)
    except grpc.RpcError as error:
        found: grpc.StatusCode = error.code()
        return found
    return grpc.StatusCode.OK


def test_mlserver_tells_clients_nothing_of_its_code(mlserver: PresetServer) -> None:
    assert "Traceback" not in refused(mlserver)


def test_mlserver_says_ready_whatever_its_model_is_called_and_the_preset_asks_for_the_name(
    mlserver: PresetServer,
) -> None:
    another = mlserver.ready.replace(NAME, "another")
    assert (status(mlserver.rest, another), status(mlserver.rest, "/v2/health/ready")) == (404, 200)
