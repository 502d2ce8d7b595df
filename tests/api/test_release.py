"""The one file of a release on an API server that has nothing of ours: taken as a whole, by both ways to apply, and as
often as somebody applies it.

No pods run here, so nothing waits for the operator.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from libyaml import documents
from localcluster import binaries
from localcluster.apiserver import ApiServer
from manifests import pin, release
from nodeless.cluster import Cluster

IMAGES = {
    role: f"registry.example.com/{role}@sha256:{letter * 64}" for role, letter in zip(pin.ROLES, "abcd", strict=True)
}
LARGEST = 256 << 10
"""Bytes of an object's annotations. Plain `kubectl apply` keeps the whole of what it applied in one of them."""


@pytest.fixture(scope="module")
def empty(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Cluster]:
    with in_sight():
        binaries.kubernetes()
    with ApiServer() as server:
        made = Cluster(server)
        yield made
        made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    options = [part for role, image in IMAGES.items() for part in (f"--{role}", image)]
    assert release.main([str(folder), "--kubectl", str(binaries.kubectl()), *options]) == 0
    return folder / release.NAME


def objects(file: Path) -> list[dict[str, Any]]:
    return [each for each in documents(file.read_text()) if each]


def test_it_is_whole_and_every_image_is_named_by_its_digest(file: Path) -> None:
    found = objects(file)
    kinds = [each["kind"] for each in found]
    assert kinds.count("CustomResourceDefinition") == len(list((pin.ROOT / "crds").glob("*.modelward.io.yaml")))
    assert {"Namespace", "ClusterRole", "ValidatingAdmissionPolicyBinding", "Deployment", "NetworkPolicy"} <= {*kinds}
    text = file.read_text()
    assert text.startswith(f"# Modelward {release.version()}: kubectl apply --server-side -f modelward.yaml\n")
    assert all(f"#   {role}: {image}\n" in text for role, image in IMAGES.items())
    installed = json.dumps([each for each in found if each["kind"] in ("Deployment", "ConfigMap")])
    assert all(image in installed for image in IMAGES.values())
    assert "docker.io/" not in installed, "an image that nobody pinned"


def test_an_empty_cluster_takes_it_by_either_way_and_a_second_time_changes_nothing(empty: Cluster, file: Path) -> None:
    count = len(objects(file))
    told = empty.kubectl("apply", "-f", str(file))
    assert told.count(" created\n") == count, told
    told = empty.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
    assert told.count(" serverside-applied\n") == count, told
    before = versions(empty, file)
    empty.kubectl("apply", "--server-side", "-f", str(file))
    assert versions(empty, file) == before
    assert empty.run("get", "modeldeployments", "--all-namespaces").returncode == 0


def versions(empty: Cluster, file: Path) -> dict[str, str]:
    """Of what is there of the file, by kind and name; statuses are nobody's who applies."""
    found = empty.get("-f", str(file))["items"]
    return {
        f"{each['kind']}/{each['metadata']['name']}": str(each["metadata"].get("generation", each["metadata"]["uid"]))
        for each in found
    }


def test_each_object_fits_into_what_plain_apply_keeps_of_it(file: Path, measured: Callable[[str], None]) -> None:
    """Else `kubectl apply -f` without --server-side says "metadata.annotations: Too long" after half of the file."""
    largest = max(objects(file), key=lambda each: len(json.dumps(each, ensure_ascii=False).encode()))
    size = len(json.dumps(largest, ensure_ascii=False, separators=(",", ":")).encode())
    measured(f"the largest object of a release is {size >> 10} KiB of the {LARGEST >> 10} that plain apply can keep")
    assert size < LARGEST, f"{largest['metadata']['name']}: take words out of its descriptions"
