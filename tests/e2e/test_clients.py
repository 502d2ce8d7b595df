"""Ordinary clients, unchanged and with their defaults, through the router."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from examples.demo.cluster import forwarded
from examples.demo.model import Trained

from modelward.api.names import GRPC_PORT

from .model import Model

KSERVE = Path(__file__).with_name("kserve_clients.py")


@pytest.fixture(scope="module")
def served(namespace: str) -> Model:
    """The pickled model, compiled when it was fetched."""
    made = Model(namespace, "clients")
    made.apply("digits/1/model.joblib")
    made.settle()
    return made


def test_status_and_metadata_say_what_is_served(served: Model) -> None:
    stable = served.get()["status"]["stable"]
    assert (stable["format"], stable["form"]) == ("sklearn", "Compiled")
    assert stable["digest"].startswith("sha256:")
    assert "fallback" not in stable
    with served.client() as client:
        properties = client.get_model_metadata(served.name)["properties"]
    assert properties["digest"] == stable["digest"]
    assert json.loads(properties["compilation"])["form"] == "compiled"


def test_a_bundle_of_the_training_script(model: Model, trained: Trained) -> None:
    model.apply("digits/1/digits.tar")
    stable = model.settle()["status"]["stable"]
    assert (stable["format"], stable["form"]) == ("bundle", "Compiled")
    with model.client() as client:
        properties = client.get_model_metadata(model.name)["properties"]
    assert json.loads(properties["compilation"])["parity"]["origin"] == "training"
    assert json.loads(properties["classes"]) == list(range(10))
    assert json.loads(properties["trained_with"])["scikit-learn"]


def test_triton_over_rest(served: Model, trained: Trained) -> None:
    with served.client() as client:
        assert client.is_server_ready()
        given = client.get_model_metadata(served.name)
        tensor = triton.InferInput(given["inputs"][0]["name"], list(trained.rows.shape), "FP32")
        tensor.set_data_from_numpy(trained.rows)
        answer = client.infer(served.name, [tensor]).as_numpy(given["outputs"][0]["name"])
    assert np.mean(answer == trained.predictions) > 0.99


def test_triton_over_asyncio(served: Model, trained: Trained) -> None:
    async def ask(address: str) -> np.ndarray:
        async with triton_aio.InferenceServerClient(address) as client:
            given = await client.get_model_metadata(served.name)
            tensor = triton_aio.InferInput(given["inputs"][0]["name"], list(trained.rows.shape), "FP32")
            tensor.set_data_from_numpy(trained.rows)
            answer = await client.infer(served.name, [tensor])
            return answer.as_numpy(given["outputs"][0]["name"])

    with forwarded(served.namespace, served.name, 80) as address:
        answer = asyncio.run(ask(address))
    assert np.mean(answer == trained.predictions) > 0.99


def test_triton_over_grpc(served: Model, trained: Trained) -> None:
    with (
        forwarded(served.namespace, served.name, GRPC_PORT) as address,
        triton_grpc.InferenceServerClient(address) as client,
    ):
        assert client.is_server_live()
        assert client.is_model_ready(served.name)
        given = client.get_model_metadata(served.name)
        tensor = triton_grpc.InferInput(given.inputs[0].name, list(trained.rows.shape), "FP32")
        tensor.set_data_from_numpy(trained.rows)
        answer = client.infer(served.name, [tensor]).as_numpy(given.outputs[0].name)
    assert np.mean(answer == trained.predictions) > 0.99


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_kserve(served: Model, trained: Trained, protocol: str) -> None:
    """In a process of its own: its protobuf types have the names of Triton's."""
    rows = trained.rows[:20]
    with forwarded(served.namespace, served.name, 80 if protocol == "rest" else GRPC_PORT) as address:
        result = subprocess.run(
            [sys.executable, KSERVE, protocol, address, served.name], input=json.dumps(rows.tolist()),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    answer = np.array(json.loads(result.stdout.splitlines()[-1]))
    assert np.mean(answer == trained.predictions[:20]) > 0.9


def test_the_original_is_served_where_that_is_asked_for(model: Model, trained: Trained) -> None:
    model.apply("digits/1/model.joblib", model={"optimise": "Off"})
    stable = model.settle()["status"]["stable"]
    assert stable["form"] == "Original"
    with model.client() as client:
        tensor = triton.InferInput("input", list(trained.rows.shape), "FP32")
        tensor.set_data_from_numpy(trained.rows)
        answer = client.infer(model.name, [tensor]).as_numpy("predict")
    # The server computes in double precision, and a small forest's ties fall otherwise in single.
    assert np.array_equal(answer, trained.estimator.predict(trained.rows.astype(np.float64)))


def test_the_settings_of_the_server_reach_it(model: Model, trained: Trained) -> None:
    model.apply("digits/1/model.onnx", server={"maxRows": 5, "timeout": "20s", "batching": {"maxDelay": "1ms"}})
    model.settle()
    with model.client() as client:
        given = client.get_model_metadata(model.name)["inputs"][0]["name"]
        tensor = triton.InferInput(given, [6, 64], "FP32")
        tensor.set_data_from_numpy(trained.rows[:6])
        with pytest.raises(triton.InferenceServerException, match="takes 5 at a time"):
            client.infer(model.name, [tensor])
