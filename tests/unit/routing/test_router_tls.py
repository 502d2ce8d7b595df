"""When clients are led to pods that speak TLS: what runs goes on until every pod of the new kind is ready."""

from dataclasses import replace
from typing import Any

import pytest

from builders import PLATFORM, container, observed, owner, pod, revision, router, workload
from modelward.api.modeldeployment import Gateway, ModelDeployment, ParentReference, Router, Tls
from modelward.facts import CertificateFacts, Clock, RouteTable
from modelward.reconcilers.modeldeployment.events import certificate_events
from modelward.reconcilers.modeldeployment.plan import plan
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.revisions import deployment as render_revision
from modelward.rollouts.decision import Decision
from modelward.routing import network_policies as network
from modelward.routing.envoy import objects as render_router
from modelward.routing.routers import before, clients_speak_tls, wanted

PLAIN = owner()
SECURE = owner(router=Router(tls=Tls("fraud-tls")))
OTHER = owner(router=Router(tls=Tls("other")))
A = render_revision.name_of(PLAIN)


def service(of: ModelDeployment) -> dict[str, Any]:
    return render_router.service(of, tls=of.spec.router.tls is not None)


def deployment(of: ModelDeployment) -> dict[str, Any]:
    return render_router.deployment(of, PLATFORM)


@pytest.mark.parametrize(
    ("spec", "serves", "runs", "complete", "speak"),
    [
        (SECURE, None, None, False, True),  # nobody has clients to lose
        (PLAIN, None, None, False, False),
        (SECURE, PLAIN, PLAIN, True, False),  # the Deployment is still to be changed
        (SECURE, PLAIN, SECURE, False, False),  # pods come up, or never will: the Secret is missing
        (SECURE, PLAIN, None, False, False),
        (SECURE, PLAIN, SECURE, True, True),
        (SECURE, SECURE, SECURE, False, True),
        (OTHER, SECURE, SECURE, True, True),
        (OTHER, PLAIN, SECURE, True, False),
        (PLAIN, SECURE, SECURE, True, True),
        (PLAIN, SECURE, PLAIN, False, True),
        (PLAIN, SECURE, PLAIN, True, False),
    ],
)
def test_clients_follow_when_all_pods_do(
    spec: ModelDeployment, serves: ModelDeployment | None, runs: ModelDeployment | None, complete: bool, speak: bool
) -> None:
    there = (service(serves) if serves else None, deployment(runs) if runs else None)
    assert clients_speak_tls(spec, *there, complete=complete) is speak


@pytest.mark.parametrize(("url", "speak"), [("http://fraud.ml.svc", False), ("https://fraud.ml.svc", True)])
def test_a_service_that_somebody_deleted_comes_back_as_it_was(url: str, speak: bool) -> None:
    for spec in (PLAIN, SECURE):
        known = replace(spec, status={"url": url})
        assert clients_speak_tls(known, None, deployment(SECURE), complete=False) is speak
    assert clients_speak_tls(replace(SECURE, status={"url": url}), None, deployment(SECURE), complete=True)


@pytest.mark.parametrize("tls", [False, True])
def test_the_service_and_status_tell_what_clients_are_led_to(tls: bool) -> None:
    """Not what spec asks for, which the pods may not do yet."""
    seen = replace(router(A), tls=tls)
    facts = observed(A, revision(A), router=seen)
    (made,) = [
        each for each in plan(SECURE, facts, PLATFORM, live=lambda *_: None).applies
        if each["kind"] == "Service" and each["metadata"]["name"] == SECURE.name
    ]  # fmt: skip
    ports = {
        each["name"]: (each["port"], each["targetPort"], each.get("appProtocol")) for each in made["spec"]["ports"]
    }
    status = build_status(SECURE, facts, Decision(RouteTable(A), {A: 1}), "v1", None, "2026-01-01T00:00:00Z")
    if tls:
        assert ports == {"https": (443, "https", "https"), "grpc": (9000, "https", "https")}
        assert status["url"] == "https://fraud.ml.svc"
    else:
        assert ports == {"http": (80, "http", None), "grpc": (9000, "http", "kubernetes.io/h2c")}
        assert status["url"] == "http://fraud.ml.svc"
    assert status["grpcAddress"] == "fraud.ml.svc:9000"


def test_pods_have_the_port_that_their_service_asks_for_and_policies_let_it_through() -> None:
    for spec in (PLAIN, SECURE):
        (envoy,) = deployment(spec)["spec"]["template"]["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in envoy["ports"]}
        enforced = replace(PLATFORM, operator_namespace="modelward-system")
        _, policy = network.policies(spec, enforced, by_gateway=False)
        (everybody,) = [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
        for each in service(spec)["spec"]["ports"]:
            assert ports[each["targetPort"]] in {port["port"] for port in everybody["ports"]}
    plain, secure = (
        {each["name"] for each in deployment(spec)["spec"]["template"]["spec"]["containers"][0]["ports"]}
        for spec in (PLAIN, SECURE)
    )
    assert plain - secure == {"http"}
    assert secure - plain == {"https"}


def test_behind_a_gateway_the_former_envoy_goes_on_with_its_certificate() -> None:
    """Spec does not name it any more."""
    behind = owner(router=Router(gateway=Gateway((ParentReference("public"),))))
    made = list(wanted(SECURE).manifests(SECURE, PLATFORM, RouteTable(A), None, tls=True))
    was = before(behind, made)
    assert was is not None
    assert list(wanted(was).manifests(was, PLATFORM, RouteTable(A), None, tls=True)) == made
    assert clients_speak_tls(behind, service(SECURE), deployment(SECURE), complete=False)
    assert not clients_speak_tls(behind, service(PLAIN), deployment(PLAIN), complete=False)


def test_a_router_without_tls_is_as_it_was() -> None:
    """An upgrade of the operator restarts no router."""
    (envoy,) = deployment(PLAIN)["spec"]["template"]["spec"]["containers"]
    assert envoy["command"] == ["envoy"]
    assert "env" not in envoy
    assert list(render_router.config_map(PLAIN, PLATFORM, RouteTable(A))["data"]) == ["clusters.json", "routes.json"]


def test_a_missing_secret_is_the_reason_that_status_tells() -> None:
    (made,) = deployment(SECURE)["spec"]["template"]["spec"]["containers"]
    words = {each["name"]: each["value"] for each in made["env"]}
    ended = container("envoy", exit_code=1, exit_message=words["CERTIFICATE_MISSING"])
    pods = (pod("new", ready=False, containers=(ended,)),)
    facts = observed(A, revision(A), router=replace(router(A), workload=workload(2, 1, settled=False, pods=pods)))
    status = build_status(SECURE, facts, Decision(RouteTable(A), {A: 1}), "v1", None, "2026-01-01T00:00:00Z")
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "CertificateMissing")
    assert "kubectl create secret tls fraud-tls" in stalled["message"]
    servable = next(each for each in status["conditions"] if each["type"] == "Servable")
    assert servable["status"] == "True"


@pytest.mark.parametrize(("now", "over"), [(999.0, False), (1000.0, True), (5000.0, True)])
def test_a_certificate_that_has_expired_needs_a_person(now: float, over: bool) -> None:
    seen = replace(router(A), tls=True, certificate=CertificateFacts(1000.0))
    facts = observed(A, revision(A), router=seen, clock=Clock(now))
    status = build_status(SECURE, facts, Decision(RouteTable(A), {A: 1}), "v1", None, "2026-01-01T00:00:00Z")
    assert status["router"]["certificateExpires"] == "1970-01-01T00:16:40Z"
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"] == "True", stalled["reason"] == "CertificateExpired") == (over, over)
    assert ("spec.router.tls.secretName" in stalled["message"]) is over


def test_a_change_that_could_not_be_loaded_is_an_event_of_each_pod_and_each_change() -> None:
    refused = CertificateFacts(1000.0, {"router-1": 1, "router-2": 3})
    first, second = certificate_events(SECURE, refused)
    assert (first.kind, first.reason) == ("Warning", "CertificateNotTakenUp")
    assert "router-1 could not load what Secret fraud-tls held" in first.message
    again = certificate_events(SECURE, CertificateFacts(1000.0, {"router-1": 2}))
    assert len({each.name("fraud", "u") for each in (first, second, *again)}) == 3
    assert certificate_events(SECURE, CertificateFacts(1000.0)) == certificate_events(PLAIN, refused) == []
    assert certificate_events(SECURE, None) == []
