"""Specs of ModelDeployments, and what the API server says of these and of other kinds."""

from typing import Any

from .cluster import Cluster

S3 = "s3://models/fraud/3/model.onnx"
DIGEST = "sha256:" + "0123456789abcdef" * 4

Object = dict[str, Any]


def model(uri: str = S3, **fields: Any) -> Object:
    return {"model": {"uri": uri, **fields}}


def with_model(**fields: Any) -> Object:
    return {**model(), **fields}


def create(cluster: Cluster, spec: Object, name: str = "fraud", kind: str = "ModelDeployment") -> tuple[bool, str]:
    """Whether it is taken, and what the API server says. Nothing is made."""
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }  # fmt: skip
    return cluster.create(body, "default", dry_run=True)


def check_refused(cluster: Cluster, bad: tuple[Object, str], kind: str = "ModelDeployment") -> None:
    """A spec, with the sentence that is said of it."""
    spec, sentence = bad
    taken, answer = create(cluster, spec, kind=kind)
    assert not taken, f"it is taken, and was to be refused: {sentence}"
    assert sentence in answer, answer


def check_taken(cluster: Cluster, good: Object, kind: str = "ModelDeployment") -> None:
    taken, answer = create(cluster, good, kind=kind)
    assert taken, answer
