"""Envoy's static configuration: the same for every router. What changes with the traffic is in routes.py.

Reference: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""

import json
from typing import Any, Final

from modelward.routing import latency
from modelward.routing.envoy import reachable, tracing
from modelward.routing.envoy.routes import CLUSTERS_FILE, INSIDE_HEADER, INSIDE_VALUE, ROUTES_FILE, STREAM_IDLE_SECONDS
from modelward.routing.envoy.tracing import Collector
from modelward.values.hashing import HASH_LENGTH

CONFIG_DIR: Final = "/etc/envoy/dynamic"

CERTIFICATE_FILE: Final = "certificate.json"
"""Beside clusters and routes: says where the certificate is (SDS)."""

TLS_DIR: Final = "/etc/envoy/tls"
"""Where the Secret with the certificate is mounted."""

TLS_FILES: Final = ("tls.crt", "tls.key")
"""A certificate chain and its private key, PEM, as Secrets of the type kubernetes.io/tls hold them."""

HTTP_PORT: Final = 8080
INTERNAL_PORT: Final = 9901
"""Gives out /stats/prometheus and /ready, and nothing else of the admin interface."""

ADMIN_PORT: Final = 9902
"""Bound to loopback: only the pod itself reaches it."""

BUFFER: Final = 1 << 16
"""Bytes that wait in a connection. Of a slow upload the router holds that much, and what it may have to send again."""

CLIENTS: Final = "traffic"
"""The clients' listener, and what its statistics are called."""

INSIDE_PORT: Final = 9903
"""Leads to single revisions by their hosts, and tells the configuration's version: for the operator's probe."""

CLIENT_ID_HEADER: Final = "x-client-request-id"
"""Holds the id that the client gave its request. `x-request-id` is the router's own: by it the answers of two revisions
are paired, and who chooses it chooses what is compared."""

ARMS_HEADER: Final = "x-modelward-arms"
"""By which a router may tell pods of a request's arm: no client may, since pods remember it (docs/lineage.md)."""

MAX_CONNECTIONS: Final = 5000
"""Of clients, a router pod; more are closed at once, so that those that are there are served."""

DEFAULT_MEMORY: Final = 256 << 20
"""Bytes that Envoy may use where the container has no limit that says so."""

PROGRAM: Final = 64 << 20
"""Bytes of a container's memory that are no heap: the program itself, stacks, what the allocator keeps for itself. Most
of it are pages of a file, which the kernel takes back where it has to: a small container's heap is half of it."""

REFUSE_FROM: Final = 0.75
SHED_FROM: Final = 0.8
SHED_ALL: Final = 0.9
"""Shares of the heap: from the first on, new requests are refused (503); from the second on, some of those whose bodies
still come are ended, and at the third all."""

HANDSHAKE_TIMEOUT: Final = "10s"
"""For TLS: as long as for a request's headers. A connection that never gets so far is no request that times out."""

_REVISION_OF_CLUSTER: Final = rf"^cluster\.(([^.]+-[0-9a-f]{{{HASH_LENGTH}}})(?:-[a-z]+)*\.)"
"""What of a cluster's statistics is its revision (its kind stands behind it, see routes.py): a label of its own beside
the cluster's name."""

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER_FILTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_GRPC_STATS: Final = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_EARLY: Final = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_HEAP: Final = "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
_CONNECTIONS: Final = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_SDS_RESOURCE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_CERTIFICATE: Final = "certificate"
_STDOUT: Final = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"

_LIMITS: Final = {
    "common_http_protocol_options": {"idle_timeout": "3600s"},
    "http2_protocol_options": {
        "max_concurrent_streams": 100,
        "initial_stream_window_size": 1 << 20,
        "initial_connection_window_size": 4 << 20,
    },
    # HTTP/1.0, and without a host: plain `proxy_pass` of nginx, `ab`, health checkers.
    "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "model"},
    "request_headers_timeout": "10s",
    "request_timeout": "300s",
    "stream_idle_timeout": f"{STREAM_IDLE_SECONDS}s",
}
"""For slow and greedy clients, by https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge, with
windows that let a body of some megabytes through without a pause. Headers with underscores stay: no server here takes
them for others."""


def bootstrap(memory: int = DEFAULT_MEMORY, *, tls: bool = False, collector: Collector | None = None) -> dict[str, Any]:
    """The static part; the same for every router. `memory`: bytes that the container may use; `tls`: clients speak TLS
    with the traffic listener, and nothing else; `collector`: of spans, None: there are none."""
    return {
        "node": {"id": "router", "cluster": "modelward"},
        "admin": {"address": _socket("127.0.0.1", ADMIN_PORT)},
        "dynamic_resources": {"cds_config": _file(CLUSTERS_FILE)},
        # Histograms show what was flushed, and Envoy's default of 5 s would hide a slow candidate for as long.
        "stats_flush_interval": "1s",
        "stats_config": {
            "stats_tags": [{"tag_name": "revision", "regex": _REVISION_OF_CLUSTER}],
            "histogram_bucket_settings": [{"match": {"prefix": "cluster."}, "buckets": list(latency.BOUNDS)}],
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "admin",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "admin",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket("127.0.0.1", ADMIN_PORT)}}]}],
                    },
                },
                *([tracing.cluster(collector)] if collector is not None else ()),
            ],
            "listeners": [_traffic_listener(tls, collector), _internal_listener(), _inside_listener()],
        },
        "overload_manager": _overload_manager(memory),
    }


def _overload_manager(memory: int) -> dict[str, Any]:
    """Rather end some than be killed, with everybody who waits.

    Refusing new requests, which is Envoy's own advice for edge proxies, bounds nothing by itself: each that is there
    may still send as much as is kept of it. So those that go on sending are ended, of HTTP/2 the largest first.
    """
    heap = "envoy.resource_monitors.fixed_heap"

    def above(share: float) -> list[dict[str, Any]]:
        return [{"name": heap, "threshold": {"value": share}}]

    growing = [{"name": heap, "scaled": {"scaling_threshold": SHED_FROM, "saturation_threshold": SHED_ALL}}]
    return {
        # What arrives between two looks comes on top.
        "refresh_interval": "0.05s",
        "resource_monitors": [
            {
                "name": heap,
                "typed_config": {"@type": _HEAP, "max_heap_size_bytes": max(memory - PROGRAM, memory // 2)},
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {"@type": _CONNECTIONS, "max_active_downstream_connections": MAX_CONNECTIONS},
            },
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": above(0.7)},
            {"name": "envoy.overload_actions.disable_http_keepalive", "triggers": above(0.7)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": above(REFUSE_FROM)},
            {"name": "envoy.overload_actions.reset_high_memory_stream", "triggers": growing},
        ],
        # That action ends streams of HTTP/2 alone.
        "loadshed_points": [{"name": "envoy.load_shed_points.http1_server_abort_dispatch", "triggers": growing}],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 14},
    }


def _traffic_listener(tls: bool, collector: Collector | None) -> dict[str, Any]:
    errors_only = {
        "name": "errors",
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "access_log.min_status"}}
            }
        },
        "typed_config": {
            "@type": _STDOUT,
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "client_request_id": f"%REQ({CLIENT_ID_HEADER.upper()})%",
                    "method": "%REQ(:METHOD)%",
                    "path": "%REQ(:PATH)%",
                    "code": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "revision": "%UPSTREAM_CLUSTER%",
                    "duration_ms": "%DURATION%",
                }
            },
        },
    }
    manager = {
        "stat_prefix": CLIENTS,
        "rds": _routes(),
        "access_log": [errors_only],
        "generate_request_id": True,
        # So that who has an answer can ask what made it.
        "always_set_request_id_in_response": True,
        # Before anything else sees them: hosts of single revisions are led to only with a header that no client can
        # send, and whatever id a client sends, the request gets one of the router's own.
        "early_header_mutation_extensions": _early(
            _set(CLIENT_ID_HEADER, "%REQ(X-REQUEST-ID)%"),
            *({"remove": header} for header in ("x-request-id", INSIDE_HEADER, reachable.HEADER, ARMS_HEADER)),
        ),
        **(tracing.manager(collector) if collector is not None else {}),
    }
    listener = _listener(CLIENTS, HTTP_PORT, manager)
    if tls:
        sds = {"name": _CERTIFICATE, "sds_config": _file(CERTIFICATE_FILE)}
        (chain,) = listener["filter_chains"]
        chain |= {
            "transport_socket": _tls({"tls_certificate_sds_secret_configs": [sds]}),
            "transport_socket_connect_timeout": HANDSHAKE_TIMEOUT,
        }
    return listener


def _tls(certificate: dict[str, Any]) -> dict[str, Any]:
    """gRPC and HTTP by one port: clients choose by ALPN."""
    common = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}, "alpn_protocols": ["h2", "http/1.1"]}
    context = {"@type": _TLS, "common_tls_context": {**common, **certificate}}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _certificate() -> dict[str, Any]:
    chain, key = ({"filename": f"{TLS_DIR}/{name}"} for name in TLS_FILES)
    return {"certificate_chain": chain, "private_key": key}


def certificate() -> dict[str, str]:
    """The file that leads to the certificate, by name. A new certificate is taken up when the mount changes, without a
    restart; one that can't be loaded is not, and the one before goes on."""
    watched = {**_certificate(), "watched_directory": {"path": TLS_DIR}}
    secret = {"@type": _SDS_RESOURCE, "name": _CERTIFICATE, "tls_certificate": watched}
    return {CERTIFICATE_FILE: json.dumps({"resources": [secret]}, indent=1) + "\n"}


def certificate_check() -> dict[str, Any]:
    """A configuration that Envoy finds valid (`--mode validate`) where it can load the certificate: a listener whose
    certificate is told by SDS comes up without one, and would close every connection."""
    listener = _listener("check", HTTP_PORT, {"stat_prefix": "check", "route_config": {"name": "check"}})
    listener["filter_chains"][0]["transport_socket"] = _tls({"tls_certificates": [_certificate()]})
    return {"static_resources": {"listeners": [listener]}}


def _inside_listener() -> dict[str, Any]:
    """The same routes as clients', so that what it tells of them is true, and hosts that clients can't name."""
    manager = {
        "stat_prefix": "inside",
        "rds": _routes(),
        "early_header_mutation_extensions": _early(_set(INSIDE_HEADER, INSIDE_VALUE)),
    }
    return _listener("inside", INSIDE_PORT, manager)


def _routes() -> dict[str, Any]:
    return {"route_config_name": "model", "config_source": _file(ROUTES_FILE)}


def _early(*mutations: dict[str, Any]) -> list[dict[str, Any]]:
    typed = {"@type": _EARLY, "mutations": list(mutations)}
    return [{"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": typed}]


def _set(header: str, value: str) -> dict[str, Any]:
    return {"append": {"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def _internal_listener() -> dict[str, Any]:
    routes = [{"match": {"path": path}, "route": {"cluster": "admin"}} for path in ("/stats/prometheus", "/ready")]
    manager = {
        "stat_prefix": "internal",
        "route_config": {"name": "internal", "virtual_hosts": [{"name": "admin", "domains": ["*"], "routes": routes}]},
    }
    return _listener("internal", INTERNAL_PORT, manager)


def _listener(name: str, port: int, manager: dict[str, Any]) -> dict[str, Any]:
    # Failures of gRPC have the HTTP status 200: only this filter counts them.
    grpc = {
        "name": "envoy.filters.http.grpc_stats",
        "typed_config": {"@type": _GRPC_STATS, "stats_for_all_methods": False},
    }
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER_FILTER}}
    # What is refused as bytes must not come back in another spelling: servers decode what Envoy compares as it stands.
    paths = {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }
    config = {"@type": _HTTP, **manager, **paths, **_LIMITS, "http_filters": [grpc, reachable.http_filter(), router]}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}
    built: dict[str, Any] = {
        "name": name,
        "address": _socket("0.0.0.0", port),  # noqa: S104
        "filter_chains": [chain],
        "per_connection_buffer_limit_bytes": BUFFER,
    }
    # However many clients there are, probes and metrics are answered.
    return built if name == CLIENTS else {**built, "ignore_global_conn_limit": True, "bypass_overload_manager": True}


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _file(name: str) -> dict[str, Any]:
    # A ConfigMap mount changes by moving a link in the directory: watching the file itself would see nothing.
    source = {"path": f"{CONFIG_DIR}/{name}", "watched_directory": {"path": CONFIG_DIR}}
    return {"resource_api_version": "V3", "path_config_source": source}
