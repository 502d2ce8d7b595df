"""A real S3 store of a test's own, versitygw: a process on a loopback port that can go away and come back with what it
has."""

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from certificates import Certificate
from localcluster import binaries
from localcluster.loopback import free_port
from localcluster.progress import wait_for

KEYS: Final = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "secret-of-root"}

STARTS: Final = 5
"""Another process may take the port before it does."""


class S3Store:
    """`folder`: of its own; `versions`: whether buckets may keep versions of objects; `certificate`: for TLS.
    It answers when it is made."""

    def __init__(self, folder: Path, *, versions: bool = False, certificate: Certificate | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority, self._tls = folder / "tls.crt", certificate is not None
        for name, content in (certificate.files if certificate else {}).items():
            (folder / name).write_bytes(content)
        self._data, self._versions = folder / "data", folder / "versions" if versions else None
        for each in (self._data, self._versions):
            if each is not None:
                each.mkdir(parents=True)
        for _ in range(STARTS):
            self.port = free_port()
            self.address = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
            with contextlib.suppress(ChildProcessError):
                self.start()
                return
        raise AssertionError("no port was free for the S3 server")

    def start(self) -> None:
        """Again where it was. Raises ChildProcessError where it ends by itself, as it does when its port is taken."""
        versioning = [] if self._versions is None else ["--versioning-dir", str(self._versions)]
        key = self.authority.with_name("tls.key")
        tls = ["--cert", str(self.authority), "--key", str(key)] if self._tls else []
        self._process = subprocess.Popen(
            [binaries.s3_gateway(), "--port", f"127.0.0.1:{self.port}", *tls, "posix", *versioning, str(self._data)],
            env={
                **os.environ, "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
                "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
            },
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("the S3 server", self._answers, 60)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever asks it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.address}

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.address, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
            verify=str(self.authority) if self._tls else None,
        )  # fmt: skip

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise ChildProcessError("the S3 server has ended")
        try:
            told = self.client.list_buckets()
        except Exception:  # noqa: BLE001  it does not listen yet
            return False
        # Not whoever else may have the port.
        return bool("versity" in told["ResponseMetadata"]["HTTPHeaders"].get("server", "").lower())
