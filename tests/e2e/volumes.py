"""A PersistentVolumeClaim with files on it, on any one-node cluster."""

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

from localcluster import images, settings
from localcluster.clients import kubectl

SIZE = "64Mi"


@contextlib.contextmanager
def filled(namespace: str, files: dict[str, bytes]) -> Iterator[str]:
    """The name of a claim in `namespace` whose volume holds `files` by path.

    A folder of the node, seen through two volumes: the claim of `namespace`, where pods may not be root, and one of a
    namespace of its own, where a pod writes the files as root.
    """
    name = f"models-{secrets.token_hex(3)}"
    path = str(settings.state_dir() / "volumes" / name)
    kubectl("create", "namespace", name)
    for where in (namespace, name):
        for manifest in _volume_and_claim(where, name, path):
            kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    kubectl("create", "-f", "-", stdin=json.dumps(_writer(name)))
    try:
        kubectl("wait", "pod/writer", "-n", name, "--for=condition=Ready", "--timeout=120s")
        for file, content in files.items():
            script = f"mkdir -p $(dirname /data/{file}) && base64 -d > /data/{file} && chmod -R a+rX /data"
            text = base64.b64encode(content).decode()
            kubectl("exec", "-i", "writer", "-n", name, "--", "sh", "-c", script, stdin=text)
        yield name
        kubectl("exec", "writer", "-n", name, "--", "sh", "-c", "rm -rf /data/*")
    finally:
        kubectl("delete", "namespace", name, "--wait=false", check=False)
        kubectl("delete", "pvc", name, "-n", namespace, "--wait=false", check=False)
        kubectl("delete", "pv", f"{name}-{namespace}", f"{name}-{name}", "--wait=false", check=False)


def _volume_and_claim(namespace: str, name: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    volume = f"{name}-{namespace}"
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**common, "capacity": {"storage": SIZE}, "hostPath": {"path": path, "type": "DirectoryOrCreate"}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**common, "volumeName": volume, "resources": {"requests": {"storage": SIZE}}},
        },
    )


def _writer(name: str) -> dict[str, Any]:
    container = {
        "name": "writer",
        "image": images.ensure(["inference"])["inference"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "600"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer", "namespace": name}, "spec": spec}


@contextlib.contextmanager
def local(namespace: str) -> Iterator[str]:
    """The name of a claim in `namespace` for many pods, of a `local` volume (see `_folder`)."""
    with _folder("cache") as (name, place):
        volume, claim = _volume_and_claim(namespace, name, "")
        del volume["spec"]["hostPath"]
        volume["spec"] |= place
        try:
            for manifest in (volume, claim):
                kubectl("create", "-f", "-", stdin=json.dumps(manifest))
            yield name
        finally:
            kubectl("delete", "pvc", name, "-n", namespace, "--wait=false", check=False)
            kubectl("delete", "pv", f"{name}-{namespace}", "--wait=false", check=False)


@contextlib.contextmanager
def default_class() -> Iterator[str]:
    """The name of a default storage class that has one volume, of a GiB for one pod (see `_folder`)."""
    with _folder("standard") as (name, place):
        # As the classes do that give folders of a node (k3s and kind have such a one): the group of one pod is not set
        # where another pod has the volume already.
        kubectl("exec", "writer", "-n", name, "--", "chmod", "777", "/data")
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        made: list[dict[str, Any]] = [
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name, "annotations": annotations},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{name}-default"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": name,
                    "capacity": {"storage": "1Gi"},
                    **place,
                },
            },
        ]
        try:
            for manifest in made:
                kubectl("create", "-f", "-", stdin=json.dumps(manifest))
            yield name
        finally:
            kubectl("delete", "storageclass", name, check=False)
            kubectl("delete", "pv", f"{name}-default", "--wait=false", check=False)


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name, and what a `local` volume's spec says of a new folder of the node. It belongs to root, as many drivers
    make it, and to the pods' group once the kubelet has given it to them. Not a hostPath, which it leaves alone."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    path = str(settings.state_dir() / "volumes" / name)
    kubectl("create", "namespace", name)
    try:
        for manifest in _volume_and_claim(name, name, path):
            kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        kubectl("create", "-f", "-", stdin=json.dumps(_writer(name)))
        kubectl("wait", "pod/writer", "-n", name, "--for=condition=Ready", "--timeout=120s")  # the folder is there now
        node = kubectl("get", "pod", "writer", "-n", name, "-o", "jsonpath={.spec.nodeName}").strip()
        host = kubectl("get", "node", node, "-o", r"jsonpath={.metadata.labels.kubernetes\.io/hostname}").strip()
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]}]
        affinity = {"required": {"nodeSelectorTerms": terms}}
        yield name, {"local": {"path": path}, "nodeAffinity": affinity}
        kubectl("exec", "writer", "-n", name, "--", "sh", "-c", "rm -rf /data/*")
    finally:
        kubectl("delete", "namespace", name, "--wait=false", check=False)
        kubectl("delete", "pv", f"{name}-{name}", "--wait=false", check=False)
