"""A collector of the installation changes pods; what a revision is called knows no platform."""

from dataclasses import replace

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Monitor
from modelward.revisions import deployment
from modelward.routing.envoy import objects

TRACED = replace(PLATFORM, otlp_endpoint="http://collector:4318", trace_share=0.05)


def variables(platform: object, container: str) -> dict[str, str]:
    spec = deployment._pod_spec(owner(monitor=Monitor()), platform, owner().spec.model, "fraud-0123456789")  # type: ignore[arg-type]
    (found,) = [each for each in (*spec["containers"], *spec["initContainers"]) if each["name"] == container]
    return {each["name"]: each.get("value", "") for each in found["env"] if "OTEL" in each["name"]}


@pytest.mark.parametrize("container", ["server", "monitor"])
def test_pods_are_told_by_opentelemetrys_own_variables_and_without_a_collector_nothing(container: str) -> None:
    assert variables(PLATFORM, container) == {}
    assert variables(TRACED, container) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.05", "OTEL_RESOURCE_ATTRIBUTES": "k8s.namespace.name=ml",
    }  # fmt: skip


def test_a_collector_makes_other_pods_of_the_router() -> None:
    assert objects.template_of(owner(), PLATFORM) != objects.template_of(owner(), TRACED)


def test_a_variable_of_the_users_goes_before_the_installations() -> None:
    own = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://ours:4318"}
    template = {"spec": {"containers": [{"name": "server", "env": [own]}]}}
    made = deployment.shape(owner(template=template), TRACED, "fraud-0123456789").template
    (server,) = [each for each in made["spec"]["containers"] if each["name"] == "server"]
    assert [each for each in server["env"] if each["name"] == own["name"]] == [own]
