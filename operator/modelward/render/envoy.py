"""Envoy's configuration: a static bootstrap, and the clusters (CDS) and routes (RDS) that it rereads from files.

Reference: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api. Routes carry the configuration's version in a
virtual host of their own, so that "is it live?" is answered by the very configuration that is asked about.
"""

import json
from typing import Any, Final

from modelward.api.names import GRPC_PORT
from modelward.domain.facts import RouteTable
from modelward.domain.revision import content_hash
from modelward.render.revision import HTTP_PORT as SERVER_HTTP_PORT

CONFIG_DIR: Final = "/etc/envoy/dynamic"
CLUSTERS_FILE: Final = "clusters.json"
ROUTES_FILE: Final = "routes.json"

HTTP_PORT: Final = 8080
INTERNAL_PORT: Final = 9901
"""Gives out /stats/prometheus and /ready, and nothing else of the admin interface."""

ADMIN_PORT: Final = 9902
"""Bound to loopback: only the pod itself reaches it."""

INTERNAL_DOMAIN: Final = "modelward.internal"
CONFIG_HOST: Final = f"config.{INTERNAL_DOMAIN}"
"""Virtual host that answers with the version of the configuration that is live."""

REVISION_HEADER: Final = "x-modelward-revision"
"""Response header: which revision answered."""

REQUEST_TIMEOUT: Final = "300s"
"""Longest prediction, and the most that spec.server.timeout may say; Envoy's default of 15 s would cut large batches
off. Envoy tells the server in x-envoy-expected-rq-timeout-ms."""

UPSTREAM_IDLE_TIMEOUT: Final = "30s"
"""Shorter than the server's keep-alive, so that Envoy never sends into a connection that is being closed."""

REQUESTS_PER_CONNECTION: Final = 1000
"""Connections are opened anew after so many requests: new pods of a revision get their share."""

MAX_CONCURRENCY: Final = 10_000
"""Envoy's circuit breakers default to 1024, which a burst reaches; the server's own queue is the limit that counts."""

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER_FILTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STDOUT: Final = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"


def revision_host(revision: str) -> str:
    """Virtual host that always leads to `revision`, whatever the weights: for probes and previews."""
    return f"{revision}.{INTERNAL_DOMAIN}"


def configuration(routes: RouteTable, namespace: str, cluster_domain: str) -> dict[str, str]:
    """The files of the router's ConfigMap, by name."""
    clusters = _clusters(routes, namespace, cluster_domain)
    version = version_of(routes, namespace, cluster_domain)
    resources = {
        CLUSTERS_FILE: {"version_info": version, "resources": clusters},
        ROUTES_FILE: {"version_info": version, "resources": [_route_configuration(routes, version)]},
    }
    return {name: json.dumps(content, indent=1) + "\n" for name, content in resources.items()}


def version_of(routes: RouteTable, namespace: str, cluster_domain: str) -> str:
    """Names the configuration's content: clusters and routes."""
    clusters = _clusters(routes, namespace, cluster_domain)
    return content_hash({"clusters": clusters, "routes": _route_configuration(routes, version="")})


def grpc_cluster(revision: str) -> str:
    """Name of the cluster that gRPC requests for `revision` go to: HTTP/2, and a port of its own."""
    return f"{revision}-grpc"


def _clusters(routes: RouteTable, namespace: str, cluster_domain: str) -> list[dict[str, Any]]:
    http: dict[str, Any] = {"http_protocol_options": {}}
    grpc: dict[str, Any] = {"http2_protocol_options": {}}
    return [
        cluster
        for revision in routes.revisions
        for cluster in (
            _cluster(revision, f"{revision}.{namespace}.svc.{cluster_domain}.", SERVER_HTTP_PORT, http),
            _cluster(grpc_cluster(revision), f"{revision}.{namespace}.svc.{cluster_domain}.", GRPC_PORT, grpc),
        )
    ]


def _cluster(name: str, host: str, port: int, protocol: dict[str, Any]) -> dict[str, Any]:
    # The final dot keeps the resolver from trying every search domain of the pod first.
    address = {"address": host, "port_value": port}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), MAX_CONCURRENCY)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "2s"},
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": {
                    "idle_timeout": UPSTREAM_IDLE_TIMEOUT,
                    "max_requests_per_connection": REQUESTS_PER_CONNECTION,
                },
                "explicit_http_config": protocol,
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}],
        },
    }


def _route_configuration(routes: RouteTable, version: str) -> dict[str, Any]:
    hosts = [_virtual_host(revision, [revision_host(revision)], revision) for revision in routes.revisions]
    config = {
        "name": "config",
        "domains": [CONFIG_HOST],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": version}}}],
    }
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "model",
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [_virtual_host("traffic", ["*"], routes.stable), *hosts, config],
    }


def _virtual_host(name: str, domains: list[str], revision: str) -> dict[str, Any]:
    grpc = {"match": {"prefix": "/", "grpc": {}}, **_route(grpc_cluster(revision), revision)}
    http = {"match": {"prefix": "/"}, **_route(revision, revision)}
    return {"name": name, "domains": domains, "routes": [grpc, http]}


def _route(cluster: str, revision: str) -> dict[str, Any]:
    return {
        "route": {
            "cluster": cluster,
            "timeout": REQUEST_TIMEOUT,
            # Only what the model can't have begun to work on is sent again.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": 3,
                "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
            },
        },
        "response_headers_to_add": [
            {
                "header": {"key": REVISION_HEADER, "value": revision},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def bootstrap() -> dict[str, Any]:
    """The static part; the same for every router."""
    return {
        "node": {"id": "router", "cluster": "modelward"},
        "admin": {"address": _socket("127.0.0.1", ADMIN_PORT)},
        "dynamic_resources": {"cds_config": _file(CLUSTERS_FILE)},
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
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER_FILTER}}
    config = {"@type": _HTTP, **manager, "http_filters": [router]}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}
    return {"name": name, "address": _socket("0.0.0.0", port), "filter_chains": [chain]}  # noqa: S104


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _file(name: str) -> dict[str, Any]:
    # A ConfigMap mount changes by moving a link in the directory: watching the file itself would see nothing.
    source = {"path": f"{CONFIG_DIR}/{name}", "watched_directory": {"path": CONFIG_DIR}}
    return {"resource_api_version": "V3", "path_config_source": source}
