"""The NetworkPolicies as the API server stores them."""

import json
from dataclasses import replace

from builders import PLATFORM, owner
from modelward.kube.diff import differs, stamped
from modelward.kube.resources import NETWORK_POLICIES
from modelward.routing import network_policies as network
from nodeless.cluster import Cluster


def test_what_the_api_server_stores_is_what_was_meant(cluster: Cluster, namespace: str) -> None:
    who = replace(owner(), namespace=namespace)
    made = list(network.policies(who, replace(PLATFORM, operator_namespace="modelward-system"), by_gateway=False))
    assert len(made) == 2
    for each in map(stamped, made):
        cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=json.dumps(each))
        name = each["metadata"]["name"]
        assert not differs(each, cluster.request("GET", NETWORK_POLICIES.path(namespace, name)))
