"""A data set is scored by several pods, one of which is killed meanwhile: each row once, and as scikit-learn says."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples.demo import objects
from examples.demo.cluster import forwarded, publish, s3_client
from examples.demo.model import Trained, columns

from localcluster.clients import kubectl

from .model import Model, until

BUNDLE = "digits/1/digits.tar"
FILES = 12
ROWS = 20_000
"""Of each file: as much as pods are at for some seconds."""

PIXEL = 28
"""Column of pixel_3_4, whose values are of all sizes."""

LONG = 600.0
SMALL = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
Document = dict[str, Any]


class Batch:
    """A BatchInference of the test's own, over the namespace's store."""

    def __init__(self, model: Model) -> None:
        self.namespace, self.name, self.model = model.namespace, model.name, model.name

    def apply(self, folder: str, **spec: Any) -> None:
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "BatchInference",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "model": {"modelDeployment": self.model}, "input": {"uri": f"s3://batches/{folder}/in/"},
                "output": {"uri": f"s3://batches/{folder}/out/"}, "keys": ["id"], "resources": SMALL,
                "credentialsSecret": {"name": "s3-credentials"}, **spec,
            },
        }  # fmt: skip
        kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def status(self) -> Document:
        found: Document = objects.get("batchinferences", self.namespace, self.name).get("status", {})
        return found

    def pods(self) -> list[Document]:
        return objects.find_all("pods", self.namespace, f"modelward.io/batch={self.name}")

    def describe(self) -> str:
        told = [kubectl("describe", "bi", self.name, "-n", self.namespace, check=False)]
        for pod in self.pods():
            name = pod["metadata"]["name"]
            told.append(kubectl("logs", name, "-n", self.namespace, "-c", "score", "--tail=50", check=False))
        return "\n".join(told)


@pytest.fixture
def batch(model: Model, request: pytest.FixtureRequest) -> Iterator[Batch]:
    model.apply(BUNDLE)
    model.settle()
    made = Batch(model)
    yield made
    if request.session.testsfailed:
        print(made.describe())
    kubectl("delete", "bi", made.name, "-n", made.namespace, "--ignore-not-found", "--wait=false")


def parquet(rows: Any, first: int) -> bytes:
    """`rows`: [n, 64]; their ids begin with `first`."""
    named: dict[str, Any] = {"id": np.arange(first, first + len(rows), dtype=np.int64), **columns(rows)}
    target = io.BytesIO()
    pq.write_table(pa.table(named), target, row_group_size=5_000)
    return target.getvalue()


def tiled(trained: Trained, count: int) -> Any:
    """The held-out rows, over and over."""
    return trained.rows[np.arange(count) % len(trained.rows)]


def written(batch: Batch, folder: str, run: str) -> tuple[list[str], pa.Table]:
    """Keys of the run's files, and its predictions."""
    prefix = f"{folder}/out/{run}/"
    with forwarded(batch.namespace, "s3", 7070) as address:
        client = s3_client(address)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="batches", Prefix=prefix)
        keys = [each["Key"].removeprefix(prefix) for page in pages for each in page.get("Contents", ())]
        parts = [key for key in keys if key.startswith("part-")]
        read = (client.get_object(Bucket="batches", Key=prefix + key)["Body"].read() for key in parts)
        return keys, pa.concat_tables([pq.read_table(io.BytesIO(content)) for content in read])


def in_double(trained: Trained) -> Any:
    """The held-out rows as the model takes them: of rows in single precision scikit-learn's scaler is one, too."""
    return trained.rows.astype(np.float64)


def is_clear(trained: Trained) -> Any:
    """Of each held-out row, whether one class has more votes than any other: a small forest's ties fall otherwise in
    ONNX's single precision."""
    votes = np.sort(trained.estimator.predict_proba(in_double(trained)), axis=1)
    found = votes[:, -1] - votes[:, -2] > 1e-6
    assert found.mean() > 0.95
    return found


def is_scoring(pod: Document) -> bool:
    told = pod.get("status", {}).get("containerStatuses", ())
    return any(each["name"] == "score" and "running" in each.get("state", {}) for each in told)


def test_every_row_is_there_once_though_a_pod_is_killed(
    batch: Batch, trained: Trained, measured: Callable[[str], None]
) -> None:
    rows = tiled(trained, FILES * ROWS)
    files = {
        f"{batch.name}/in/{number:02}.parquet": parquet(rows[number * ROWS : (number + 1) * ROWS], number * ROWS)
        for number in range(FILES)
    }
    publish(batch.namespace, "batches", files)
    batch.apply(batch.name, parallelism=2)
    victim = until(lambda: next(filter(is_scoring, batch.pods()), None), "a pod that scores", LONG)
    name = victim["metadata"]["name"]
    kubectl("delete", "pod", name, "-n", batch.namespace, "--force", "--grace-period=0", "--wait=false")
    until(lambda: batch.status().get("phase") in ("Complete", "Failed"), "the end of the run", LONG)
    status = batch.status()
    assert status["phase"] == "Complete", status["conditions"]
    (run,) = status["runs"]
    assert (status["rows"], status["rejected"]) == (FILES * ROWS, 0)
    job = objects.get("jobs", batch.namespace, run["name"])
    assert job["status"]["failed"] >= 1, "it was at work when it was killed"
    keys, table = written(batch, batch.name, run["name"])
    assert "_manifest.json" in keys
    ids = table["id"].to_numpy()
    order = np.argsort(ids)
    assert (ids[order] == np.arange(FILES * ROWS)).all(), "a row is lost, or is there twice"
    which = np.arange(FILES * ROWS) % len(trained.rows)
    answers = table["output.predict"].to_numpy()[order].astype(np.int64)
    clear = is_clear(trained)[which]
    assert (answers == trained.estimator.predict(in_double(trained))[which])[clear].all()
    assert set(table["revision"].to_pylist()) == {run["model"]["revision"]}
    drift = run["drift"]
    assert (drift["verdict"], drift["rows"]) == ("NoDrift", FILES * ROWS), drift["message"]
    measured(f"batch: {status['rows']} rows by two pods, one killed, in {run['seconds']:.0f} s")


def test_rows_unlike_those_of_training_are_told(batch: Batch, trained: Trained) -> None:
    rows = np.array(tiled(trained, 4_000))
    rows[::2, PIXEL] = 16.0
    folder = f"{batch.name}-drift"
    publish(batch.namespace, "batches", {f"{folder}/in/a.parquet": parquet(rows, 0)})
    batch.apply(folder, drift={"rules": {"features": {"outputs": "Ignore"}}})
    until(lambda: batch.status().get("phase") in ("Complete", "Failed"), "the end of the run", LONG)
    status = batch.status()
    assert status["phase"] == "Complete", status["conditions"]
    told = next(each for each in status["conditions"] if each["type"] == "InputDrift")
    assert (told["status"], told["reason"]) == ("True", "Drifted"), told
    (run,) = status["runs"]
    assert (run["drift"]["rows"], run["drift"]["drifted"]) == (4_000, 1), run["drift"]
    assert run["drift"]["features"][0]["name"] in told["message"]
    assert told["message"].endswith("By spec.drift.rules")


def test_rows_without_a_column_are_refused_and_nothing_is_written(batch: Batch, trained: Trained) -> None:
    table = pq.read_table(io.BytesIO(parquet(trained.rows[:10], 0))).drop_columns(["pixel_3_4"])
    target = io.BytesIO()
    pq.write_table(table, target)
    folder = f"{batch.name}-bad"
    publish(batch.namespace, "batches", {f"{folder}/in/a.parquet": target.getvalue()})
    batch.apply(folder)
    until(lambda: batch.status().get("phase") == "Failed", "that it is refused", LONG)
    stalled = next(each for each in batch.status()["conditions"] if each["type"] == "Stalled")
    assert stalled["reason"] == "InputRefused"
    # The model was trained on a matrix: it knows how many columns there are, and not what they are called.
    assert "the model takes 64 columns" in stalled["message"]
    assert "it has 63" in stalled["message"]
    assert len(batch.pods()) == 1, "another pod would be refused the same rows"
