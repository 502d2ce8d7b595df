"""How the parts are put together, as far as it can be seen without a cluster."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import generate_latest

from modelward import app, settings
from modelward.kube.lease_thread import LeaseThread
from modelward.kube.resources import MODEL_DEPLOYMENTS
from modelward.lineage.outbox import Outbox, Receiver
from modelward.net.body import open_session
from modelward.net.guarded import open_guarded_session
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler
from modelward.reconcilers.lineage import Telling
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.polled import PolledTrigger

ENVIRONMENT = {"MODELWARD_SERVER_IMAGE": "inference:1", "MODELWARD_ROUTER_IMAGE": "envoy:1", "POD_NAMESPACE": "ml"}
MODEL: dict[str, Any] = {
    "metadata": {"namespace": "ml", "name": "fraud", "uid": "u", "resourceVersion": "1"},
    "spec": {"model": {"uri": "s3://models/fraud.onnx"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "stable": {"weight": 100}},
}


async def test_who_stands_by_tells_nothing_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that tell of the same model would make it two in every sum."""
    anything: Any = None
    async with open_session() as session:
        controller, statuses, _ = app.build(settings.load(ENVIRONMENT), anything, session, session, session)
        controller.observe_event(MODEL_DEPLOYMENTS, None, MODEL)
        ready = b'modelward_modeldeployment_ready{name="fraud",namespace="ml"} 1.0'
        assert ready not in generate_latest(statuses())
        monkeypatch.setattr(LeaseThread, "is_held", lambda _: True)
        assert ready in generate_latest(statuses())


async def test_mute_pods_of_one_tenant_take_no_connection_of_another() -> None:
    async with open_session() as session:
        assert session.connector is not None
        assert session.connector.limit == 0


@pytest.mark.parametrize("opened", [open_session, lambda: open_guarded_session(("localhost",))])
async def test_what_one_tenants_system_sets_is_not_sent_with_the_next_ones_request(opened: Any) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        made = web.Response(text="x")
        made.set_cookie("session", "of-one-tenant")
        return made

    application = web.Application()
    application.router.add_get("/", answer)
    async with TestServer(application, host="127.0.0.1") as server, opened() as session:
        for _ in range(2):  # by a name: jars keep nothing that an address sets
            await session.get(f"http://localhost:{server.port}/", allow_redirects=False)
    assert seen == [None, None]


async def test_webhooks_go_by_the_session_that_reaches_no_node() -> None:
    anything: Any = None
    async with open_session() as session, open_guarded_session(()) as elsewhere:
        controller, *_ = app.build(settings.load(ENVIRONMENT), anything, session, session, elsewhere)
    (policies,) = [each for each in controller._reconcilers.values() if isinstance(each, PolicyReconciler)]
    webhook: Any = policies._triggers[runs.WEBHOOK]
    assert webhook._trigger._session is elsewhere


async def test_every_kind_of_run_has_its_trigger() -> None:
    anything: Any = None
    async with open_session() as session:
        controller, *_ = app.build(settings.load(ENVIRONMENT), anything, session, session, session)
    (policies,) = [each for each in controller._reconcilers.values() if isinstance(each, PolicyReconciler)]
    kinds = {runs.JOB, runs.WEBHOOK, runs.AIRFLOW, runs.PREFECT, runs.GITHUB, runs.JENKINS, runs.ARGO, runs.KUBEFLOW}
    assert set(policies._triggers) == kinds
    asked_beside = {kind for kind, each in policies._triggers.items() if isinstance(each, PolledTrigger)}
    assert asked_beside == kinds - {runs.JOB}, "no reconcile waits for another network"


async def test_lineage_is_told_of_models_and_policies_where_there_is_somewhere_to_send_it() -> None:
    anything: Any = None
    async with open_session() as session, Outbox(session, Receiver("http://127.0.0.1:1/")) as outbox:
        with_it, *_ = app.build(settings.load(ENVIRONMENT), anything, session, session, session, outbox)
        without, *_ = app.build(settings.load(ENVIRONMENT), anything, session, session, session)
    tells = {kind for kind, one in with_it._reconcilers.items() if isinstance(one, Telling)}
    assert tells == {"ModelDeployment", "DriftPolicy"}
    assert not any(isinstance(one, Telling) for one in without._reconcilers.values())
