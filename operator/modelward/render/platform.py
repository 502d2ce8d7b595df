"""What the operator's installation decides for every model: images and the cluster's DNS domain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """Settings of the installation that shape pods.

    `server_image`: the inference image, for fetch and server. `router_image`: Envoy. `cluster_domain`: the DNS domain
    of Services, `cluster.local` nearly everywhere.
    """

    server_image: str
    router_image: str
    cluster_domain: str = "cluster.local"
