"""The prediction log in a real S3 store, versitygw: away, back, refused, without its bucket; and cleaned up after."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_evaluate.evaluate import document, evaluate
from modelward_evaluate.spec import load
from modelward_monitor.predictionlog import house, stores
from modelward_monitor.predictionlog.names import counted
from s3store import KEYS, S3Store
from unit.inference.rest_process import Process, ask, serving
from unit.inference.test_capture_served import body as features
from unit.monitor.predictionlog.logs import MOMENT, asked, ids, told, until
from unit.monitor.worlds import MonitorProcess, reference, send, write_bundle

pytestmark = pytest.mark.api

ROWS = 40


class Gateway(S3Store):
    """With the log of a model in it."""

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix="log/")
        return [str(each["Key"]) for page in pages for each in page.get("Contents", ())]

    def rows(self) -> list[str]:
        """Ids of the rows that count."""
        found = []
        for key in counted(self.keys()):
            content = self.client.get_object(Bucket="lake", Key=key)["Body"].read()
            found += pq.read_table(pa.BufferReader(content))["request_id"].to_pylist()
        return sorted(found)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "s3")
    yield made
    made.stop()


def settings(gateway: Gateway, folder: Path, **secret: str) -> dict[str, str]:
    """Environment of a monitor whose Secret is mounted in `folder`."""
    folder.mkdir(exist_ok=True)
    for name, value in {**gateway.environment, **secret}.items():
        (folder / name).write_text(value)
    (folder / "OPERATOR_UNAUTHENTICATED").write_text("true")  # is none of what the log asks for
    return {
        "PREDICTION_LOG_URI": "s3://lake/log", "PREDICTION_LOG_CREDENTIALS_DIR": str(folder), "MODEL_NAMESPACE": "ml",
        "MODEL_REVISION": "m-a", "PREDICTION_LOG_SECONDS": "1",
    }  # fmt: skip


def kind(monitor: MonitorProcess) -> str | None:
    failure = told(monitor)["failure"]
    return failure["kind"] if failure else None


def test_whatever_becomes_of_the_store_every_row_gets_there_once(tmp_path: Path, gateway: Gateway) -> None:
    write_bundle(tmp_path, reference())
    secret = tmp_path / "secret"
    more = settings(gateway, secret, AWS_SECRET_ACCESS_KEY="wrong")
    with MonitorProcess(tmp_path, **more) as monitor:
        send(monitor.socket, asked(1, 10))
        until(lambda: kind(monitor) == "Denied", lambda: monitor.log)
        assert "spec.predictionLog.credentialsSecret" in told(monitor)["failure"]["message"]
        assert "secret-of-root" not in monitor.log
        since = told(monitor)["failure"]["since"]
        # The Secret was corrected; the pod runs on.
        (secret / "AWS_SECRET_ACCESS_KEY").write_text(KEYS["AWS_SECRET_ACCESS_KEY"])
        until(lambda: kind(monitor) == "Missing", lambda: monitor.log)
        assert "there is no bucket lake" in told(monitor)["failure"]["message"]
        assert told(monitor)["failure"]["since"] == since
        gateway.client.create_bucket(Bucket="lake")
        until(lambda: told(monitor)["rows"]["stored"] == 10, lambda: monitor.log)
        assert kind(monitor) is None
        gateway.stop()
        send(monitor.socket, *(asked(number, 10) for number in (2, 3)))
        until(lambda: kind(monitor) == "Away", lambda: monitor.log)
        monitor.kill()
        monitor.start()
        send(monitor.socket, asked(4, 10))
        gateway.start()
        until(lambda: told(monitor)["rows"]["stored"] == 40, lambda: monitor.log)
        assert sum(told(monitor)["lost"].values()) == 0
    assert gateway.rows() == ids(*(asked(number, 10) for number in range(1, 5)))


def test_outcomes_that_were_told_are_in_the_store_once_whoever_was_killed(tmp_path: Path, gateway: Gateway) -> None:
    """A real server asks and is told; store and monitor go and come back meanwhile; the evaluator finds all of it."""
    gateway.client.create_bucket(Bucket="lake")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    with (
        MonitorProcess(bundle, **settings(gateway, tmp_path / "secret")) as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        for number in range(ROWS):
            assert ask(server, features(number), modelward_key=f"order-{number}")[0] == 200
        gateway.stop()
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(_tell, server, number) for number in range(ROWS)]
            for _ in range(2):
                monitor.kill()
                monitor.start()
            assert {each.result() for each in answers} == {202}, monitor.log
        gateway.start()
        until(lambda: told(monitor)["outcomes"]["stored"] == ROWS, lambda: (told(monitor), monitor.log))
        until(lambda: told(monitor)["rows"]["stored"] == ROWS, lambda: (told(monitor), monitor.log))
        assert (told(monitor)["outcomes"]["lost"], told(monitor)["outcomes"]["refused"]) == (0, 0)
    spec = load(json.dumps({
        "predictions": {"path": "s3://lake/log/v1/namespace=ml/model=m"},
        "outcomes": {"path": "s3://lake/log/outcomes/v1/namespace=ml/model=m"},
        "task": {"task": "numbers", "value": "output.sum"}, "now": datetime.now(UTC).isoformat(),
    }))  # fmt: skip
    with mock.patch.dict(os.environ, gateway.environment):
        found = document(evaluate(spec), spec)
    assert found["counts"] == {
        "predictions": ROWS, "matured": ROWS, "withOutcome": ROWS, "assumed": 0, "notForetold": 0, "outcomes": ROWS,
        "unreadable": 0, "future": 0, "unmatched": 0, "late": 0, "duplicate": 0, "contradicting": 0, "undecided": 0,
    }  # fmt: skip
    (values,) = found["values"]
    assert values["metrics"]["mae"]["value"] == 1.0


def _tell(server: Process, number: int) -> int:
    """One more than was foretold."""
    body = json.dumps({"key": f"order-{number}", "value": number + 1}).encode()
    return ask(server, body, "/v2/models/m/outcomes")[0]


def test_small_files_are_joined_and_old_ones_go(
    tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.client.create_bucket(Bucket="lake")
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path, **settings(gateway, tmp_path / "secret")) as monitor:
        for number in (1, 2):
            send(monitor.socket, asked(number, 5))
            until(lambda: told(monitor)["rows"]["stored"] == 5 * number, lambda: monitor.log)  # noqa: B023
        # Its hour ended long ago: the pod's own process joins them with what it does next.
        until(lambda: len(gateway.keys()) == 1, lambda: (gateway.keys(), monitor.log))
    assert gateway.rows() == ids(asked(1, 5), asked(2, 5))
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": gateway.address}.items():
        monkeypatch.setenv(name, value)
    store = stores.S3("lake", "log/")
    assert house.keep(store, "ml", "other", "pod-1", 1, MOMENT + 5 * 86_400, tmp_path) == (0, 0)
    assert house.keep(store, "ml", "m", "pod-1", 9, MOMENT + 5 * 86_400, tmp_path) == (0, 0)
    assert house.keep(store, "ml", "m", "pod-1", 3, MOMENT + 5 * 86_400, tmp_path) == (0, 1)
    assert gateway.keys() == []
