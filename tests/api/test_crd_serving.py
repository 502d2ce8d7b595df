"""What a ModelDeployment may ask of its pods and its router, and what it may promise: limits, logs and objectives."""

from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import Object, check_refused, check_taken, with_model


def latency_of(**fields: Any) -> Object:
    return with_model(slo={"latency": fields})


BAD: dict[str, tuple[Object, str]] = {
    "a timeout without a unit": (with_model(server={"timeout": "30"}), "write a duration up to 5m"),
    "a timeout of nothing": (with_model(server={"timeout": "0s"}), "write a duration up to 5m"),
    "a timeout beyond the router's": (with_model(server={"timeout": "6m"}), "write a duration up to 5m"),
    "a request size that is none": (with_model(server={"maxRequestSize": "big"}), "write a size from 1Ki"),
    "a tiny request size": (with_model(server={"maxRequestSize": "1"}), "write a size from 1Ki"),
    "no rows": (with_model(server={"maxRows": 0}), "spec.server.maxRows: write 1 or more"),
    "negative waiting": (with_model(server={"maxWaiting": -1}), "spec.server.maxWaiting: write 0"),
    "batches of nothing": (with_model(server={"batching": {"maxRows": 0}}), "write 1 (no batching) or more"),
    "a long delay": (with_model(server={"batching": {"maxDelay": "2s"}}), "write a duration up to 1s"),
    "an origin with a path": (with_model(server={"allowOrigins": ["https://a.example/"]}), "write origins such as"),
    "every origin and one": (with_model(server={"allowOrigins": ["*", "https://a.example"]}), "or * alone"),
    "no replicas": (with_model(replicas=0), "delete the ModelDeployment"),
    "too many replicas": (with_model(replicas=2000), "use several ModelDeployments"),
    "replicas as a text": (with_model(replicas="two"), "must be of type integer"),
    "memory without a unit": (with_model(resources={"limits": {"memory": "512"}}), "did you forget the unit"),
    "memory in thousandths": (with_model(resources={"limits": {"memory": "512m"}}), "did you forget the unit"),
    "a word for a quantity": (with_model(resources={"limits": {"cpu": "much"}}), "write quantities such as 500m"),
    "a negative quantity": (with_model(resources={"limits": {"cpu": "-1"}}), "write quantities such as 500m"),
    "an unknown resource": (with_model(resources={"limits": {"gpu": "1"}}), "such as nvidia.com/gpu"),
    "more requested than allowed": (
        with_model(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}), "larger than its limit",
    ),
    "a bad service account": (with_model(serviceAccountName="My Account"), "write the name of a ServiceAccount"),
    "no router": (with_model(router={"replicas": 0}), "without a router nobody reaches the model"),
    "a service that is none": (
        with_model(router={"service": {"type": "ExternalName"}}), "write ClusterIP, NodePort or",
    ),
    "a load balancer's class without one": (
        with_model(router={"service": {"loadBalancerClass": "x/y"}}), "are of the type LoadBalancer",
    ),
    "a load balancer's sources that are none": (
        with_model(router={"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["everybody"]}}),
        "write ranges such as 10.0.0.0/8",
    ),
    "traffic of nodes without their ports": (
        with_model(router={"service": {"externalTrafficPolicy": "Local"}}), "of the types NodePort and LoadBalancer",
    ),
    "a family that is none": (with_model(router={"service": {"ipFamilies": ["IPv5"]}}), "write IPv4, IPv6 or both"),
    "two families in one stack": (
        with_model(router={"service": {"ipFamilies": ["IPv4", "IPv6"]}}), "two families need ipFamilyPolicy",
    ),
    "an annotation of ours on the service": (
        with_model(router={"service": {"annotations": {"modelward.io/routes": "{}"}}}), "not yours to write",
    ),
    "a template of pods behind a gateway": (
        with_model(router={"template": {}, "gateway": {"parentRefs": [{"name": "public"}]}}),
        "behind a Gateway there are none",
    ),
    "a service behind a gateway": (
        with_model(router={"service": {}, "gateway": {"parentRefs": [{"name": "public"}]}}),
        "behind a Gateway there is none",
    ),
    "too many routers": (with_model(router={"replicas": 101}), "a number from 1 to 100"),
    "a router that asks for too much": (
        with_model(router={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}), "larger than its limit",
    ),
    "TLS behind a gateway": (
        with_model(router={"gateway": {"parentRefs": [{"name": "public"}]}, "tls": {"secretName": "fraud-tls"}}),
        "behind a Gateway it is the Gateway's listener",
    ),
    "TLS without a Secret": (with_model(router={"tls": {}}), "tls.secretName: Required value"),
    "TLS with a path": (with_model(router={"tls": {"secretName": "../x"}}), "write the name of a Secret"),
    "a gateway without a parent": (with_model(router={"gateway": {}}), "gateway.parentRefs: Required value"),
    "logs of nothing": (with_model(logging={}), "spec.logging: write level, accessLogShare or both"),
    "a level of another kind": (with_model(logging={"level": "debug"}), "spec.logging.level: Unsupported value"),
    "a share that is none": (with_model(logging={"accessLogShare": "0.5"}), "accessLogShare: write a percentage"),
    "a share of too much": (with_model(logging={"accessLogShare": "101%"}), "accessLogShare: write a percentage"),
    "an slo of nothing": (with_model(slo={}), "write availability, latency or both"),
    "an slo without failures": (with_model(slo={"availability": "100%"}), "100% leaves no room"),
    "an slo of little": (with_model(slo={"availability": "49.9%"}), "slo.availability: write a percentage from 50%"),
    "an slo that is none": (with_model(slo={"availability": "0.999"}), "slo.availability: write a percentage"),
    "an slo without an objective": (latency_of(threshold="1s"), "spec.slo.latency.objective: Required"),
    "an slo without a threshold": (latency_of(objective="99%"), "spec.slo.latency.threshold: Required"),
    "an slo of hours": (latency_of(threshold="1h", objective="99%"), "latency.threshold: write a duration up to 5m"),
    "an slo of no time": (latency_of(threshold="0ms", objective="99%"), "latency.threshold: write a duration up to 5m"),
    "an slo for all": (latency_of(threshold="1s", objective="100%"), "latency.objective: write a percentage"),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "resources": with_model(
        resources={"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "1500m", "nvidia.com/gpu": 1}}
    ),
    "the same quantity written otherwise": with_model(
        resources={"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}
    ),
    "the server's settings": with_model(
        server={
            "timeout": "500ms",
            "maxRequestSize": 1048576,
            "maxRows": 1000,
            "maxWaiting": 0,
            "batching": {"maxRows": 64, "maxDelay": "0ms"},
            "allowOrigins": ["https://app.example.com", "http://localhost:3000", "http://[::1]:80"],
        }
    ),
    "every web page": with_model(server={"allowOrigins": ["*"]}),
    "a load balancer": with_model(
        router={
            "service": {
                "type": "LoadBalancer",
                "annotations": {"example.com/scheme": "internal"},
                "loadBalancerClass": "example.com/nlb",
                "loadBalancerSourceRanges": ["10.0.0.0/8", "fd00::/8"],
                "externalTrafficPolicy": "Local",
                "ipFamilyPolicy": "PreferDualStack",
                "ipFamilies": ["IPv4", "IPv6"],
            },
        },
    ),
    "with TLS": with_model(router={"tls": {"secretName": "fraud-tls"}}),
    "behind a gateway": with_model(router={"gateway": {"parentRefs": [{"name": "public", "namespace": "infra"}]}}),
    "an objective": with_model(slo={"availability": "99.9%"}),
    "objectives": with_model(slo={"availability": "99.9999%", "latency": {"threshold": "200ms", "objective": "50%"}}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case])
