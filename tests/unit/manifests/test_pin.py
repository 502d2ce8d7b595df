"""What is installed by digest is installed by digest alone, as kustomize itself builds it."""

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from libyaml import documents
from localcluster import binaries
from manifests import pin

DIGESTS = {role: f"sha256:{number * 64}" for number, role in zip("abcd", pin.ROLES, strict=True)}
PINNED = {
    "operator": f"registry.example.com:5000/ml/operator@{DIGESTS['operator']}",
    "inference": f"registry.example.com/ml/inference:0.1.0@{DIGESTS['inference']}",
    "router": f"docker.io/envoyproxy/envoy@{DIGESTS['router']}",
    "evaluate": f"registry.example.com/ml/evaluate@{DIGESTS['evaluate']}",
}


@pytest.fixture(scope="session")
def kubectl(in_sight: Callable[[], AbstractContextManager[None]]) -> Path:
    with in_sight():
        return Path(binaries.kubectl())


def built(kubectl: Path, folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return documents(done.stdout)


def operators_image(objects: list[dict[str, Any]]) -> str:
    (found,) = [each for each in objects if each["kind"] == "Deployment"]
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def arguments(**changes: str) -> list[str]:
    return [part for role, image in {**PINNED, **changes}.items() for part in (f"--{role}", image)]


def test_every_image_is_pinned_as_kustomize_builds_it(tmp_path: Path, kubectl: Path) -> None:
    assert pin.main([str(tmp_path / "pinned"), *arguments()]) == 0
    objects = built(kubectl, tmp_path / "pinned")
    assert operators_image(objects) == PINNED["operator"]
    (settings,) = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    assert settings["MODELWARD_SERVER_IMAGE"] == PINNED["inference"]
    assert settings["MODELWARD_ROUTER_IMAGE"] == PINNED["router"]
    assert settings["MODELWARD_EVALUATE_IMAGE"] == PINNED["evaluate"]
    assert settings["MODELWARD_MAX_MODEL_SIZE"] == "10Gi"
    assert {each["metadata"]["namespace"] for each in objects if each["kind"] == "Deployment"} == {"modelward-system"}


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("modelward.local/operator:1234", "modelward.local/operator:1234"),
        ("localhost:5000/operator:1e3", "localhost:5000/operator:1e3"),
        ("localhost:5000/operator", "localhost:5000/operator:latest"),
        (f"operator:1@{DIGESTS['operator']}", f"operator@{DIGESTS['operator']}"),
    ],
)
def test_tags_are_taken_too(tmp_path: Path, kubectl: Path, reference: str, image: str) -> None:
    text = pin.installation(tmp_path, {**PINNED, "operator": reference})
    (tmp_path / "kustomization.yaml").write_text(text)
    assert operators_image(built(kubectl, tmp_path)) == image


@pytest.mark.parametrize("role", pin.ROLES)
@pytest.mark.parametrize("reference", ["", "a:1", "a@sha256:00", "a@sha256:" + "A" * 64, "a b@sha256:" + "0" * 64])
def test_what_is_not_pinned_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str, reference: str
) -> None:
    assert pin.main([str(tmp_path / "pinned"), *arguments(**{role: reference})]) == 1
    assert capsys.readouterr().err.startswith(
        f"--{role}: {json.dumps(reference).replace(chr(34), chr(39))} names no digest"
    )
    assert not (tmp_path / "pinned").exists()
