"""What the operator's installation decides for every model: images and the cluster's DNS domain."""

from dataclasses import dataclass
from typing import Final

from modelward.models.consent import SAFE
from modelward.runtimes.preset import Preset

TRACE_SHARE: Final = 0.01
"""Of traces that begin with us: enough to see what is usual, and cheap at any rate of requests."""


@dataclass(frozen=True)
class Platform:
    """Settings of the installation that shape pods.

    `server_image`: the inference image, for fetch and server. `router_image`: Envoy. `cluster_domain`: the DNS domain
    of Services, `cluster.local` nearly everywhere. `allowed_formats`: of models that may be loaded, whoever made them.
    `max_model_size`: bytes of an artifact. `node_credentials`: whether a download may use the node's own role.
    `https_proxy`, `no_proxy`: of downloads; `oci_plain_http`: registries that these ask over http; `ca_config_map`: a
    ConfigMap in each model's namespace whose key `ca.crt` has certificates that downloads trust besides.
    `operator_namespace`: whose operator is let through by the NetworkPolicies; None where none are made.
    `operator_keys`: public keys of the operator, by which pods know it; none where it could not read its own. `caches`:
    claims of the model's namespace that its pods may mount now. `evaluate_image`: of Jobs that join predictions with
    outcomes; empty: there are none. `otlp_endpoint`: an http address that spans are sent to, empty: no
    traces; `trace_share`: of the traces that begin here and are kept, 0 to 1. `runtimes`: other servers than ours that
    `spec.runtime.name` may name.
    """

    server_image: str
    router_image: str
    cluster_domain: str = "cluster.local"
    allowed_formats: tuple[str, ...] = SAFE
    max_model_size: int = 10 << 30
    node_credentials: bool = False
    https_proxy: str = ""
    no_proxy: str = ""
    oci_plain_http: str = ""
    ca_config_map: str = ""
    operator_namespace: str | None = None
    operator_keys: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    evaluate_image: str = ""
    otlp_endpoint: str = ""
    trace_share: float = TRACE_SHARE
    runtimes: tuple[Preset, ...] = ()
