"""Specs of ModelDeployments, and what the API server says of them."""

from typing import Any

from .cluster import Cluster

S3 = "s3://models/fraud/3/model.onnx"
DIGEST = "sha256:" + "0123456789abcdef" * 4

Object = dict[str, Any]


def model(uri: str = S3, **fields: Any) -> Object:
    return {"model": {"uri": uri, **fields}}


def with_model(**fields: Any) -> Object:
    return {**model(), **fields}


def create(cluster: Cluster, spec: Object, name: str = "fraud") -> tuple[bool, str]:
    """Whether it is taken, and what the API server says. Nothing is made."""
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }  # fmt: skip
    return cluster.create(body, "default", dry_run=True)
