"""Envoy's static configuration: the same for every router. What changes with the traffic is in envoy_routes.

Reference: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""

from typing import Any, Final

from modelward.domain import latency
from modelward.render.envoy_routes import CLUSTERS_FILE, ROUTES_FILE

CONFIG_DIR: Final = "/etc/envoy/dynamic"

HTTP_PORT: Final = 8080
INTERNAL_PORT: Final = 9901
"""Gives out /stats/prometheus and /ready, and nothing else of the admin interface."""

ADMIN_PORT: Final = 9902
"""Bound to loopback: only the pod itself reaches it."""

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER_FILTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_GRPC_STATS: Final = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_STDOUT: Final = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"


def bootstrap() -> dict[str, Any]:
    """The static part; the same for every router."""
    return {
        "node": {"id": "router", "cluster": "modelward"},
        "admin": {"address": _socket("127.0.0.1", ADMIN_PORT)},
        "dynamic_resources": {"cds_config": _file(CLUSTERS_FILE)},
        # Histograms show what was flushed, and Envoy's default of 5 s would hide a slow candidate for as long.
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"prefix": "cluster."}, "buckets": list(latency.BOUNDS)}]
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
                }
            ],
            "listeners": [_traffic_listener(), _internal_listener()],
        },
    }


def _traffic_listener() -> dict[str, Any]:
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
        "stat_prefix": "traffic",
        "rds": {"route_config_name": "model", "config_source": _file(ROUTES_FILE)},
        "access_log": [errors_only],
        "generate_request_id": True,
        "preserve_external_request_id": True,
    }
    return _listener("traffic", HTTP_PORT, manager)


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
    config = {"@type": _HTTP, **manager, **paths, "http_filters": [grpc, router]}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}
    return {"name": name, "address": _socket("0.0.0.0", port), "filter_chains": [chain]}  # noqa: S104


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _file(name: str) -> dict[str, Any]:
    # A ConfigMap mount changes by moving a link in the directory: watching the file itself would see nothing.
    source = {"path": f"{CONFIG_DIR}/{name}", "watched_directory": {"path": CONFIG_DIR}}
    return {"resource_api_version": "V3", "path_config_source": source}
