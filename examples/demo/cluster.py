"""The demo's hands: kubectl, port-forwards, the S3 store. The e2e tests use them too."""

import contextlib
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcluster import cluster, images
from localcluster.clients import kubectl

HERE = Path(__file__).parent
FORWARD_SECONDS = 30.0


def create_namespace(name: str) -> None:
    """A namespace that enforces the strictest Pod Security level, and lets its models be pickles."""
    manifest = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: {name}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    # Its training scripts pickle: whoever may write to its store is trusted with running code in its pods.
    modelward.io/allowed-formats: sklearn
"""
    kubectl("apply", "-f", "-", stdin=manifest)


def install_store(namespace: str) -> None:
    """The S3 server, ready."""
    manifest = (HERE / "s3.yaml").read_text()
    reference = images.ensure(["s3"])["s3"]
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest.replace("docker.io/modelward/s3:dev", reference))
    kubectl("rollout", "status", "deployment/s3", "-n", namespace, "--timeout=120s")


@contextlib.contextmanager
def forwarded(namespace: str, service: str, port: int) -> Iterator[str]:
    """`127.0.0.1:<port>` that leads to a Service, by kubectl port-forward: works on every cluster."""
    command = [
        str(cluster.kubectl()), f"--kubeconfig={cluster.kubeconfig()}", "port-forward", "-n", namespace,
        f"service/{service}", f":{port}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield f"127.0.0.1:{_local_port(process)}"
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _local_port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    end = time.monotonic() + FORWARD_SECONDS
    said = ""
    while time.monotonic() < end:
        if select.select([process.stdout], [], [], 0.5)[0]:
            line = process.stdout.readline()
            said += line
            found = re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found.group(1))
            if not line and process.poll() is not None:
                break
    raise RuntimeError(f"kubectl port-forward did not start: {said}")


def s3_client(address: str) -> Any:
    """A client of the demo's store."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://{address}",
        aws_access_key_id="demo",
        aws_secret_access_key="demo-secret-key",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 5}),
    )


def publish(namespace: str, bucket: str, files: dict[str, bytes]) -> None:
    """Upload objects by key; the bucket is made where it is missing."""
    with forwarded(namespace, "s3", 7070) as address:
        client = s3_client(address)
        if bucket not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=bucket)
        for key, content in files.items():
            client.put_object(Bucket=bucket, Key=key, Body=content)
