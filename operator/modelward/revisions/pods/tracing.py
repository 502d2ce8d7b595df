"""Traces of the pods: what OpenTelemetry's own variables tell a model's server, or the tap before another one, and
its monitor. Only where the
installation has a collector: without one, pods are what they were."""

from typing import Final
from urllib.parse import quote

from modelward.api.modeldeployment import ModelDeployment
from modelward.platform import Platform
from modelward_telemetry.tracer import ENDPOINT

SAMPLER: Final = "parentbased_traceidratio"
"""Who began a trace decides; of those that begin at a server, a share is kept."""


def variables(owner: ModelDeployment, platform: Platform) -> dict[str, str]:
    """Of the server's container, or the tap's, and of the monitor's. They are the platform's, so that a change makes
    new pods and no new revision."""
    if not platform.otlp_endpoint:
        return {}
    return {
        ENDPOINT: platform.otlp_endpoint,
        "OTEL_TRACES_SAMPLER": SAMPLER,
        "OTEL_TRACES_SAMPLER_ARG": f"{platform.trace_share:.6f}".rstrip("0").rstrip("."),
        "OTEL_RESOURCE_ATTRIBUTES": f"k8s.namespace.name={quote(owner.namespace)}",
    }
