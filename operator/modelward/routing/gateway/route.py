"""The HTTPRoute that leads to the revisions' Services, for clusters whose Gateways take the place of an own Envoy.

Reference: https://gateway-api.sigs.k8s.io/reference/spec/, the standard channel alone: what is experimental there
(retries, session persistence) is left out. Lists of rules are atomic, so the operator owns the whole route.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from modelward.api import names
from modelward.api.modeldeployment import Gateway, ModelDeployment
from modelward.facts import Arm, Progress, RouteTable
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.routing import arms
from modelward.routing.stored import dump_routes
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds
from modelward.values.hashing import content_hash

API_VERSION: Final = "gateway.networking.k8s.io/v1"
KIND: Final = "HTTPRoute"

_UNITS: Final = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))

Json = dict[str, Any]


def name_of(owner: ModelDeployment) -> str:
    return owner.name


def version_of(owner: ModelDeployment, _platform: Platform, routes: RouteTable) -> str:
    """Names the content of the HTTPRoute that `routes` become."""
    return content_hash(_spec(owner, routes))


def manifests(
    owner: ModelDeployment, platform: Platform, routes: RouteTable, progress: Progress | None
) -> Iterator[Json]:
    """The HTTPRoute alone."""
    yield http_route(owner, platform, routes, progress)


def http_route(
    owner: ModelDeployment, platform: Platform, routes: RouteTable, progress: Progress | None = None
) -> Json:
    """The whole route. Its annotation holds what it stands for, as the ConfigMap's of an own Envoy does."""
    annotations = {names.ANNOTATION_ROUTES: dump_routes(routes, version_of(owner, platform, routes), progress)}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": common.metadata(owner, name_of(owner), names.COMPONENT_ROUTER, annotations=annotations),
        "spec": _spec(owner, routes),
    }


def _spec(owner: ModelDeployment, routes: RouteTable) -> Json:
    gateway = owner.spec.router.gateway
    told = arms.told(routes, marks_copies=False) if owner.spec.monitor is not None else None
    rules = [_with_arms(rule, told) for rule in _rules(routes, owner.spec.traffic.timeout)]
    return {**(_where(gateway) if gateway else {}), "rules": rules}


def _with_arms(rule: Json, told: str | None) -> Json:
    """A rule that tells the pods of the request's arms; its copies have the same headers."""
    if told is None:
        return rule
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": arms.HEADER, "value": told}]}}
    return {**rule, "filters": [header, *rule["filters"]]}


def _where(gateway: Gateway) -> Json:
    parents = [
        {"name": each.name, "namespace": each.namespace, "sectionName": each.section_name}
        for each in gateway.parent_refs
    ]
    refs = [{key: value for key, value in parent.items() if value is not None} for parent in parents]
    return {"parentRefs": refs} | ({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {})


def _rules(routes: RouteTable, timeout: str) -> Iterator[Json]:
    """The split first, wherever headers lead: implementations name what they make of a rule by its number, and what has
    another number is made anew, while requests come. Precedence is not by order: a rule that asks for a header comes
    before one that does not, and only among equals the first counts.
    """
    shares = [(routes.stable, routes.stable_weight), *((arm.revision, arm.weight) for arm in routes.arms)]
    yield from _both((), [share for share in shares if share[1] > 0], routes.arms, timeout)
    for revision, matches in groupby(routes.matches, lambda match: match.revision):
        headers = [{"type": "Exact", "name": match.header, "value": match.value} for match in matches]
        yield from _both(headers, ((revision, 1),), (), timeout)


def _both(
    headers: Sequence[Json], shares: Iterable[tuple[str, int]], arms: Iterable[Arm], timeout: str
) -> Iterator[Json]:
    """A rule for gRPC and one for REST: a backend's port is the rule's."""
    # What clients may ask; everything else, metrics and what pods tell the operator alone, stays inside.
    for paths, port in ((MODELWARD.grpc, MODELWARD.ports.grpc), (MODELWARD.rest, MODELWARD.ports.http)):
        yield {
            "matches": [
                {"path": {"type": kind, "value": value}} | ({"headers": [header]} if header else {})
                for header in headers or (None,)
                for kind, value in paths
            ],
            "filters": [_mirror(arm, port) for arm in arms if arm.mirror > 0],
            # No filters here, not even one that names the revision in answers: with them Envoy Gateway makes a cluster
            # of each backend, and fails what arrives before a new one is ready.
            "backendRefs": [{"name": revision, "port": port, "weight": weight} for revision, weight in shares],
            "timeouts": {"request": duration(timeout)},
        }


def _mirror(arm: Arm, port: int) -> Json:
    backend = {"name": arm.revision, "port": port}
    return {"type": "RequestMirror", "requestMirror": {"backendRef": backend, "percent": arm.mirror}}


def duration(text: str) -> str:
    """A duration of the CRD in the Gateway API's form, which has at most five digits for each unit (GEP-2257)."""
    left, parts = round(seconds(text) * 1000), ""
    for unit, milliseconds in _UNITS:
        count, left = divmod(left, milliseconds)
        parts += f"{count}{unit}" if count else ""
    return parts
