"""What the operator takes a server for is what our image is, and it is told in one place."""

import re
from pathlib import Path

import pytest

import modelward
from builders import PLATFORM, owner
from modelward.api.modeldeployment import Monitor
from modelward.revisions import deployment
from modelward.runtimes.runtime import MODELWARD
from modelward_inference.serve import endpoints
from modelward_inference.telemetry import metrics

SOURCE = Path(modelward.__file__).parent
TOLD = (
    str(MODELWARD.ports.monitor), MODELWARD.ready, MODELWARD.live, MODELWARD.samples, MODELWARD.metrics.requests,
    MODELWARD.metrics.refused, "GRPCInferenceService",
)  # fmt: skip


@pytest.mark.parametrize("text", TOLD)
def test_it_is_told_in_one_place(text: str) -> None:
    found = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if text in path.read_text()]
    assert found == ["runtimes/runtime.py"]


def test_the_image_has_the_paths_and_metrics() -> None:
    assert (metrics.REQUEST_SECONDS._name, metrics.REFUSED._name) == (
        MODELWARD.metrics.requests, MODELWARD.metrics.refused,
    )  # fmt: skip
    written = Path(endpoints.__file__).read_text()
    for path in (MODELWARD.ready, MODELWARD.live, MODELWARD.metrics.path):
        assert f'"{path}"' in written
    assert MODELWARD.samples == f"{endpoints.PRIVATE_PREFIX}samples"
    assert MODELWARD.users == f"{endpoints.PRIVATE_PREFIX}users"
    assert MODELWARD.private == endpoints.PRIVATE_PREFIX


def test_pods_are_made_of_it() -> None:
    made = deployment.deployment(owner(monitor=Monitor()), PLATFORM, "fraud-0123456789", 1)
    pod = made["spec"]["template"]["spec"]
    names = [each["name"] for each in (*pod["initContainers"], *pod["containers"])]
    containers, ports = MODELWARD.containers, MODELWARD.ports
    assert names == [containers.download, containers.compile, containers.monitor, containers.server]
    told = {each["name"]: each["containerPort"] for each in pod["containers"][0]["ports"]}
    assert told == {"http": ports.http, "grpc": ports.grpc}
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == MODELWARD.ready


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/metrics", True), ("/metrics/x", True), ("/modelward/samples", True), ("/modelward/", True),
        ("/metricsx", False), ("/v2/models/m/infer", False), ("/modelwardx/", False),
    ],
)  # fmt: skip
def test_what_stays_inside(path: str, inside: bool) -> None:
    assert bool(re.fullmatch(MODELWARD.inside, path)) == inside
