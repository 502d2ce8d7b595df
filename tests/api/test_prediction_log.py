"""The prediction log in a real S3 store, versitygw: away, back, refused, without its bucket; and cleaned up after."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from localcluster import binaries
from localcluster.progress import wait_for
from modelward_monitor.predictionlog import house, stores
from modelward_monitor.predictionlog.names import counted
from unit.inference.processes import free_port
from unit.monitor.predictionlog.logs import MOMENT, asked, ids, told, until
from unit.monitor.worlds import MonitorProcess, reference, send, write_bundle

pytestmark = pytest.mark.api

KEYS = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "secret-of-root"}


class Gateway:
    """An S3 server that comes and goes, with what it has."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        (folder / "data").mkdir(parents=True)
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [binaries.s3_gateway(), "--port", f"127.0.0.1:{self.port}", "posix", self._folder / "data"],
            env={
                **os.environ, "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
                "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
            },
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("the S3 server", self._answers, 60)

    def _answers(self) -> bool:
        try:
            self.client.list_buckets()
        except Exception:  # noqa: BLE001  it does not listen yet
            return False
        return True

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.address, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

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
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": gateway.address, **secret}.items():
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
