"""What the router's Envoy does with a request: clusters (CDS) and routes (RDS), which it rereads from files.

Reference: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api. Routes carry the configuration's version in a
virtual host of their own, so that "is it live?" is answered by the very configuration that is asked about.

Each revision has its own clusters; `instead` clusters, which are the stable in its place; `arm` clusters, by which
clients' requests reach it while it is not the stable one, and which lead to what is instead of it where no connection
to it comes about, so that a candidate that dies loses no request; a `check` cluster, which leads to it where the arm
does, for the question whether it can be reached; and `aside` clusters for what is nobody's request: copies, previews.
The counters of a rollout's evidence are the stable's own and the candidate's arm's, without what was answered instead.

Every revision has all of them all the time: Envoy takes up clusters and routes in any order, and a route must never
lead to a cluster that is only just being made, or already gone.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from modelward.api.traffic import Traffic, chosen_by_more_than_chance
from modelward.facts import RouteTable
from modelward.net.untrusted import in_header
from modelward.routing import arms
from modelward.routing.envoy import reachable
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds
from modelward.values.hashing import content_hash

CLUSTERS_FILE: Final = "clusters.json"
ROUTES_FILE: Final = "routes.json"

INTERNAL_DOMAIN: Final = "modelward.internal"
CONFIG_HOST: Final = f"config.{INTERNAL_DOMAIN}"
"""Virtual host that answers with the version of the configuration that is live."""

INSIDE_HEADER: Final = "x-modelward-inside"
INSIDE_VALUE: Final = "1"
"""What the inside listener adds and the clients' one takes away: these hosts lead nowhere without it."""

USERS_HEADER: Final = "x-modelward-users"
"""Request header, for the pods: where a request names its user, who stays on one side; see the server's
telemetry/users.py. Whatever a client sends of that name is overwritten."""

STREAM_IDLE_SECONDS: Final = 300
"""How long a request may stand still, where it may not take longer anyway."""

REVISION_HEADER: Final = "x-modelward-revision"
"""Response header: which revision answered. Servers say the same of themselves."""

VERSION_HEADER: Final = "x-modelward-model-version"
"""Response header: the version of the model that answered, as its registry has it; of a model that is in none: none."""

UPSTREAM_IDLE_TIMEOUT: Final = "30s"
"""Shorter than the server's keep-alive, so that Envoy never sends into a connection that is being closed."""

REQUESTS_PER_CONNECTION: Final = 100
CONNECTION_AGE: Final = "2s"
"""Connections are opened anew after so many requests, or that long: to whichever pod kube-proxy chooses then. So load
reaches every pod, new ones included, of quick models and of slow ones. Each port of the router is spent for a minute
by a connection that it closed: with 100 requests on each, 28,000 ports are enough for 47,000 requests a second."""

CALLS_PER_CONNECTION: Final = 1
"""Of gRPC, at a time. With more, all that is on its way would be with one pod for each of Envoy's threads."""

MAX_CONCURRENCY: Final = 10_000
"""Envoy's circuit breakers default to 1024, which a burst reaches; the server's own queue is the limit that counts."""

Json = dict[str, Any]

_EJECTION: Final[Json] = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_percent": 100,
}
"""A revision that refuses three connections in a row is not tried for 5 s, where there is another. What it answers,
errors too, is no reason: that is for the gates to judge. Single pods are left out by Kubernetes, when not ready."""

_LEFT_OUT_ALONE: Final[Json] = {
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    "outlier_detection": {**_EJECTION, "max_ejection_time": _EJECTION["base_ejection_time"]},
}
"""Not tried even where there is nothing else: it is known at once that it can't be reached. Never for longer than 5 s:
and soon that it can."""

_METADATA: Final = "modelward"
"""Of each endpoint: the revision behind it, and its version."""

_OVERWRITE: Final = "OVERWRITE_IF_EXISTS_OR_ADD"

_ANSWERED_BY: Final[list[Json]] = [
    {"header": {"key": header, "value": f'%UPSTREAM_METADATA(["{_METADATA}", "{key}"])%'}, "append_action": _OVERWRITE}
    for header, key in ((REVISION_HEADER, "revision"), (VERSION_HEADER, "version"))
]
"""By the endpoint that was asked last, not by the arm: the stable may have stood in."""

_AGGREGATE: Final = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_PREVIOUS_PRIORITIES: Final = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def revision_host(revision: str) -> str:
    """Virtual host that always leads to `revision`, whatever the weights: for probes and previews."""
    return f"{revision}.{INTERNAL_DOMAIN}"


OWN: Final = ""
ARM: Final = "-arm"
INSTEAD: Final = "-instead"
CHECK: Final = "-check"
ASIDE: Final = "-aside"
"""Kinds of clusters, see above."""


def cluster_of(revision: str, kind: str = OWN, *, grpc: bool = False) -> str:
    """Name of a cluster of `revision`. `grpc`: HTTP/2, and a port of its own."""
    return revision + kind + ("-grpc" if grpc else "")


RETRIED_BODY: Final = 256 << 10
"""Bytes of a body that are kept to be sent again, to the stable where a candidate can't be reached. Envoy keeps them
until the answer comes, not only while it connects, and of larger bodies too: a hundred slow uploads cost 25 MiB."""

RETRY_AFTER: Final = "0.001s"
"""At once, the first time. While Envoy waits before it tries again it goes on reading, and answers 507 where that
becomes more than it keeps; while it connects it reads no further."""

# The default of three retries at a time would refuse the fourth request that an unreachable candidate loses.
_BREAKERS: Final = {
    "thresholds": [
        dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), MAX_CONCURRENCY)
    ]
}


def configuration(
    routes: RouteTable, traffic: Traffic, namespace: str, cluster_domain: str, *, tell_arms: bool = False
) -> dict[str, str]:
    """The files of the router's ConfigMap, by name. `tell_arms`: to the pods, of each request."""
    version = version_of(routes, traffic, namespace, cluster_domain, tell_arms=tell_arms)
    route = _route_configuration(routes, traffic, version, tell_arms)
    resources = {
        CLUSTERS_FILE: {"version_info": version, "resources": _clusters(routes, namespace, cluster_domain)},
        ROUTES_FILE: {"version_info": version, "resources": [route]},
    }
    return {name: json.dumps(content, indent=1) + "\n" for name, content in resources.items()}


def version_of(
    routes: RouteTable, traffic: Traffic, namespace: str, cluster_domain: str, *, tell_arms: bool = False
) -> str:
    """Names the configuration's content: clusters and routes."""
    clusters = _clusters(routes, namespace, cluster_domain)
    return content_hash({"clusters": clusters, "routes": _route_configuration(routes, traffic, "", tell_arms)})


def _clusters(routes: RouteTable, namespace: str, cluster_domain: str) -> list[Json]:
    return [
        cluster
        for revision in routes.revisions
        for cluster in _clusters_of(revision, routes, f"{namespace}.svc.{cluster_domain}.")
    ]


def _clusters_of(revision: str, routes: RouteTable, domain: str) -> Iterator[Json]:
    named, stable = _named(revision, routes), _named(routes.stable, routes)
    kinds = (OWN,) if revision == routes.stable else (OWN, INSTEAD)
    for grpc in (False, True):
        yield _cluster(cluster_of(revision, grpc=grpc), named, domain, grpc)
        yield {**_cluster(cluster_of(revision, ASIDE, grpc=grpc), named, domain, grpc), **_LEFT_OUT_ALONE}
        yield _cluster(cluster_of(revision, INSTEAD, grpc=grpc), stable, domain, grpc)
        ways = [cluster_of(revision, kind, grpc=grpc) for kind in kinds]
        yield _first_of(ways, cluster_of(revision, ARM, grpc=grpc))
    other = () if revision == routes.stable else (cluster_of(routes.stable, ASIDE),)
    yield _first_of([cluster_of(revision), *other], cluster_of(revision, CHECK))


def _first_of(ways: list[str], name: str) -> Json:
    """Leads to the first of some clusters that can be reached."""
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _BREAKERS,
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": f"type.googleapis.com/{_AGGREGATE}", "clusters": ways},
        },
    }


def _named(revision: str, routes: RouteTable) -> dict[str, str]:
    """What answers are said to come from."""
    version = dict(routes.versions).get(revision)
    return {"revision": revision} | ({"version": in_header(version)} if version else {})


def _cluster(name: str, named: Mapping[str, str], domain: str, grpc: bool) -> Json:
    # The final dot of the domain keeps the resolver from trying every search domain of the pod first.
    address = {
        "address": f"{named['revision']}.{domain}",
        "port_value": MODELWARD.ports.grpc if grpc else MODELWARD.ports.http,
    }
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "2s"},
        "circuit_breakers": _BREAKERS,
        "outlier_detection": _EJECTION,
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": {
                    "idle_timeout": UPSTREAM_IDLE_TIMEOUT,
                    "max_requests_per_connection": REQUESTS_PER_CONNECTION,
                    "max_connection_duration": CONNECTION_AGE,
                },
                "explicit_http_config": (
                    {"http2_protocol_options": {"max_concurrent_streams": CALLS_PER_CONNECTION}}
                    if grpc
                    else {"http_protocol_options": {}}
                ),
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {"address": {"socket_address": address}},
                            "metadata": {"filter_metadata": {_METADATA: dict(named)}},
                        }
                    ]
                }
            ],
        },
    }


def _route_configuration(routes: RouteTable, traffic: Traffic, version: str, tell_arms: bool) -> Json:
    told = arms.told(routes, marks_copies=True) if tell_arms else None
    config = {
        "match": {"prefix": "/", **_inside()},
        "direct_response": {"status": 200, "body": {"inline_string": version}},
    }
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "model",
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [
            {
                "name": "traffic",
                "request_body_buffer_limit": RETRIED_BODY,
                "domains": ["*"],
                "routes": [_with_arms(route, told) for route in _traffic(routes, traffic)],
            },
            *(_own_host(routes, revision, traffic) | _without_arms(told) for revision in routes.revisions),
            {"name": "config", "request_body_buffer_limit": RETRIED_BODY, "domains": [CONFIG_HOST], "routes": [config]},
        ],
    }


def _traffic(routes: RouteTable, traffic: Traffic) -> Iterator[Json]:
    """What clients send, the first match counts."""
    yield from _private(routes)
    yield _grpc_web()
    yield from _outcomes(routes, traffic)
    if routes.arms or routes.matches:
        # It is of nobody's side, whatever a client says of its user.
        untold = {"request_headers_to_remove": [reachable.HEADER, USERS_HEADER]}
        yield from _both(
            reachable.UNREACHABLE, lambda grpc: _to(routes, routes.stable, traffic, grpc, INSTEAD) | untold
        )
    for match in routes.matches:
        header = {"name": match.header, "string_match": {"exact": match.value}}
        yield from _both(
            {"headers": [header]},
            lambda grpc, to=match.revision: {**_to(routes, to, traffic, grpc, ARM), **_of("matched")},
        )
    grpc, http = _both({}, lambda grpc: _split(routes, traffic, grpc))
    yield grpc
    cookie = traffic.sticky_by.cookie if traffic.sticky_by else None
    if cookie and "weighted_clusters" in http["route"]:
        has_it = {"name": "cookie", "string_match": {"safe_regex": {"regex": rf"(.*;)?\s*{re.escape(cookie)}=[^;].*"}}}
        yield {**http, "match": {**http["match"], "headers": [has_it]}}
        http = {**http, "response_headers_to_add": [*http["response_headers_to_add"], _set_cookie(cookie)]}
    yield http


def _with_arms(route: Json, told: str | None) -> Json:
    """A route that tells the pods of the request's arms, and of copies that they are such."""
    if told is None or "route" not in route:
        return route

    def header(value: str) -> Json:
        return {"header": {"key": arms.HEADER, "value": value}, "append_action": _OVERWRITE}

    mirrors = route["route"].get("request_mirror_policies")
    copies = [{**each, "request_headers_mutations": [{"append": header(arms.SHADOW)}]} for each in mirrors or ()]
    action = {**route["route"], **({"request_mirror_policies": copies} if mirrors else {})}
    return {
        **route, "route": action,
        "request_headers_to_add": [*route.get("request_headers_to_add", ()), header(told)],
    }  # fmt: skip


def _without_arms(told: str | None) -> Json:
    """Of a virtual host: what is sent to one revision by its name is of no arm."""
    return {} if told is None else {"request_headers_to_remove": [arms.HEADER]}


def _own_host(routes: RouteTable, revision: str, traffic: Traffic) -> Json:
    # Readiness is asked by the clients' way: that is the one that has to lead there.
    ready = {"match": {"path": MODELWARD.ready, **_inside()}, **_to(routes, revision, traffic, False, CHECK)}
    runtime = dict(routes.runtimes).get(revision)
    if runtime is not None and runtime.ready != MODELWARD.ready:
        # It is asked by one path whoever answers.
        ready["route"] = {**ready["route"], "prefix_rewrite": runtime.ready}
    others = _both(_inside(), lambda grpc: _to(routes, revision, traffic, grpc, ASIDE))
    return {
        "name": revision,
        "request_body_buffer_limit": RETRIED_BODY,
        "domains": [revision_host(revision)],
        "routes": [*_private(routes), ready, *others],
    }


def _inside() -> Json:
    return {"headers": [{"name": INSIDE_HEADER, "string_match": {"exact": INSIDE_VALUE}}]}


def _private(routes: RouteTable) -> Iterator[Json]:
    """What pods tell the operator and Prometheus alone, and what changes another server than ours: whichever revision
    a request would go to."""
    yield _refused({"safe_regex": {"regex": MODELWARD.inside}}, 404, "no such path")
    for path in dict.fromkeys(path for _, runtime in routes.runtimes for path in runtime.hidden):
        yield _refused(_below(path), 404, "no such path")


def _below(path: str) -> Json:
    """The path and all below it; `*` is any one part. A route each, and by a regular expression only where it has to
    be: of one for all of them Envoy says that it is too large, and takes nothing of the configuration."""
    if "*" not in path.split("/"):
        return {"path_separated_prefix": path}
    parts = ("[^/]+" if part == "*" else re.escape(part) for part in path.strip("/").split("/"))
    return {"safe_regex": {"regex": f"/{'/'.join(parts)}(/.*)?"}}


def _outcomes(routes: RouteTable, traffic: Traffic) -> Iterator[Json]:
    """Past the split: copies would tell them twice, and how long a disk takes is no evidence of how a model answers.
    Another server than ours keeps none: there the path is its own."""
    if dict(routes.runtimes).get(routes.stable) is None:
        match = {"safe_regex": {"regex": MODELWARD.outcomes}}
        yield {"match": match, **_to(routes, routes.stable, traffic, grpc=False, kind=ASIDE)}


def _grpc_web() -> Json:
    """Neither gRPC nor REST: the servers know it as little, and would look for a path."""
    form = {"name": "content-type", "string_match": {"prefix": "application/grpc-web", "ignore_case": True}}
    words = "gRPC-web is not spoken here: ask by gRPC (application/grpc), or by REST, which pages can too"
    return _refused({"prefix": "/", "headers": [form]}, 415, words)


def _refused(match: Json, status: int, words: str) -> Json:
    header = {"header": {"key": "content-type", "value": "application/json"}, "append_action": _OVERWRITE}
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps({"error": words})}},
        "response_headers_to_add": [header],
    }


def _both(match: Json, action: Any) -> Iterable[Json]:
    """The route for gRPC and the one for everything else."""
    yield {"match": {"prefix": "/", "grpc": {}, **match}, **action(True)}
    yield {"match": {"prefix": "/", **match}, **action(False)}


def _to(routes: RouteTable, revision: str, traffic: Traffic, grpc: bool, kind: str = OWN) -> Json:
    """All of it to one revision."""
    cluster = {"cluster": cluster_of(revision, kind, grpc=grpc)}
    built = {"route": {**cluster, **_action(traffic)}, "response_headers_to_add": _ANSWERED_BY}
    return {**built, **_asked(routes, revision, kind, grpc)}


def _asked(routes: RouteTable, revision: str, kind: str, grpc: bool) -> Json:
    """Aside, for it is nobody's request."""
    if kind != ARM:
        return {}
    runtime = dict(routes.runtimes).get(revision)
    live = MODELWARD.live if runtime is None else runtime.live
    return reachable.asked_first(cluster_of(revision, ASIDE), RETRIED_BODY, grpc=grpc, live=live)


def _split(routes: RouteTable, traffic: Traffic, grpc: bool) -> Json:
    """To the stable and the arms by weight, with copies for those that are mirrored to."""
    weights = [(routes.stable, OWN, routes.stable_weight), *((arm.revision, ARM, arm.weight) for arm in routes.arms)]
    # The stable first: with a hash, a growing candidate then takes users from it and gives none back.
    shares = [each for each in weights if each[2] > 0]
    if len(shares) == 1:
        revision, kind, _ = shares[0]
        built = _to(routes, revision, traffic, grpc, kind)
    else:
        clusters = [
            {"name": cluster_of(name, kind, grpc=grpc), "weight": weight, **_asked(routes, name, kind, grpc)}
            for name, kind, weight in shares
        ]
        weighted: Json = {"clusters": clusters} | ({"use_hash_policy": True} if traffic.sticky_by else {})
        built = {
            "route": {"weighted_clusters": weighted, **_sticky(traffic), **_action(traffic)},
            "response_headers_to_add": _ANSWERED_BY,
        }
    if chosen_by_more_than_chance(traffic):
        built |= _of(_user(traffic))
    mirrors = [_mirror(cluster_of(a.revision, ASIDE, grpc=grpc), a.mirror) for a in routes.arms if a.mirror > 0]
    if mirrors:
        built["route"]["request_mirror_policies"] = mirrors
    return built


def _mirror(cluster: str, percent: int) -> Json:
    fraction = {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}
    return {"cluster": cluster, "runtime_fraction": fraction, "disable_shadow_host_suffix_append": True}


def _user(traffic: Traffic) -> str:
    """Where a request names its user."""
    sticky = traffic.sticky_by
    if sticky is None:
        return "request"
    return f"header:{sticky.header.lower()}" if sticky.header else f"cookie:{sticky.cookie}"


def _of(users: str) -> Json:
    header = {"key": USERS_HEADER, "value": users}
    return {"request_headers_to_add": [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}


def _sticky(traffic: Traffic) -> Json:
    sticky = traffic.sticky_by
    if sticky is None:
        return {}
    if sticky.header:
        return {"hash_policy": [{"header": {"header_name": sticky.header}}]}
    # Who has none is told the request's id for one, and is led by its hash already now: the side stays the same.
    own = {"cookie": {"name": sticky.cookie}, "terminal": True}
    return {"hash_policy": [own, {"header": {"header_name": "x-request-id"}}]}


def _set_cookie(name: str) -> Json:
    header = {"key": "set-cookie", "value": f"{name}=%REQ(X-REQUEST-ID)%; Path=/; HttpOnly"}
    return {"header": header, "append_action": "APPEND_IF_EXISTS_OR_ADD"}


def _action(traffic: Traffic) -> Json:
    longest = seconds(traffic.timeout)
    return {
        "timeout": f"{longest:g}s",
        # A model that thinks longer than a connection may stand still is no slow client.
        **({"idle_timeout": f"{longest:g}s"} if longest > STREAM_IDLE_SECONDS else {}),
        # Only what the model can't have begun to work on is sent again.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": traffic.retries,
            # Not where it was tried already: from an arm to the stable.
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {"@type": f"type.googleapis.com/{_PREVIOUS_PRIORITIES}", "update_frequency": 1},
            },
            "retry_back_off": {"base_interval": RETRY_AFTER, "max_interval": "0.5s"},
        },
    }
