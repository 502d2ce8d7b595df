"""A run as a flow run of a Prefect 3 deployment: the run's key is its idempotency key, so a second start is the first.

https://docs.prefect.io/v3/api-ref/rest-api
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from modelward.api.triggers import Prefect
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError
from modelward.retraining.lifecycle.run import BROKE, WORKING, Outcome
from modelward.retraining.triggers.logins import PASSWORD, TOKEN, USER, Logins, basic, bearer
from modelward.retraining.triggers.outgoing import (
    PAUSED,
    Client,
    Login,
    NeverError,
    NotNowError,
    Outgoing,
    path,
)
from modelward.retraining.triggers.pipeline import PipelineTrigger, TellsModel, still_asked
from modelward.retraining.triggers.trigger import Order

FIELD: Final = "spec.retrain.prefect"

LINES: Final = 20
"""Of a log, its last."""

_FAILED = frozenset({"FAILED", "CRASHED"})
_ENDED = _FAILED | {"COMPLETED", "CANCELLED"}
_ENDING = frozenset({"CANCELLING", "CANCELLED"})
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


class PrefectTrigger(PipelineTrigger):
    def __init__(self, outgoing: Outgoing, logins: Logins, registry: TellsModel) -> None:
        super().__init__(registry)
        self._outgoing = outgoing
        self._logins = logins

    async def _start(self, order: Order) -> Outcome:
        assert order.target is not None
        asked = _prefect(order)
        client = await self._client(order, asked)
        deployment = (await client.get(_deployment(asked), taken=(404,))).object
        if not _ID.fullmatch(str(deployment.get("id"))):
            raise NeverError(f"Prefect has no deployment {asked.deployment}; correct {FIELD}.deployment")
        if deployment.get("paused") is True:
            raise NotNowError(f"The deployment {asked.deployment} is paused in Prefect; resume it", PAUSED, stuck=True)
        told = briefing(order.policy, order.target, order.run)
        body = {"idempotency_key": order.run.key, "name": order.run.name, "parameters": {asked.parameter: told}}
        made = await client.post(f"{path('deployments', str(deployment['id']))}/create_flow_run", body)
        return Outcome(WORKING, handle=f"{client.base}{path('flow_runs', _read_id(made.object))}")

    async def _poll(self, order: Order) -> Outcome:
        asked = _prefect(order)
        client = await self._client(order, asked)
        run = await self._known(client, order)
        if run is None:
            raise NeverError(f"Prefect has no flow run of {order.run.name}: somebody deleted it")
        state = (await client.get(path("flow_runs", run))).object.get("state")
        state = state if isinstance(state, Mapping) else {}
        kind, said = state.get("type"), client.told(state.get("message") or "")
        if kind == "COMPLETED":
            return await self._succeeded(order, asked.result.source, lambda: _told(client, run, asked, state))
        if kind in _FAILED:
            why = f": {said.rstrip('.')}" if said else ""
            return Outcome(BROKE, f"The flow run ended as {kind}{why}{await _end_of_log(client, run)}")
        if kind == "CANCELLED":
            return Outcome(BROKE, "The flow run was cancelled in Prefect")
        return Outcome(WORKING, "The flow run is paused in Prefect; resume it" if kind == "PAUSED" else "")

    async def _cancel(self, order: Order) -> None:
        client = await self._client(order, _prefect(order))
        run = await self._known(client, order)
        if run is None:
            return
        state = (await client.get(path("flow_runs", run))).object.get("state")
        if isinstance(state, Mapping) and state.get("type") in _ENDED | _ENDING:
            return
        answer = await client.post(f"{path('flow_runs', run)}/set_state", {"state": {"type": "CANCELLING"}})
        # One that no worker has taken yet is not cancelling but cancelled, which counts as a refusal of the former.
        made = answer.object.get("state")
        if answer.object.get("status") == "ACCEPT" or (isinstance(made, Mapping) and made.get("type") in _ENDING):
            return
        raise NotNowError(f"Prefect does not cancel the flow run: it answered {client.told(answer.object)}")

    async def _known(self, client: Client, order: Order) -> str | None:
        """The id of the flow run; None: there is none."""
        found = (order.run.handle or "").rpartition("/")[2]
        if _ID.fullmatch(found):
            return found
        asked = {"flow_runs": {"idempotency_key": {"any_": [order.run.key]}}, "limit": 1}
        runs = (await client.post("/flow_runs/filter", asked)).objects
        return _read_id(runs[0]) if runs else None

    async def _client(self, order: Order, asked: Prefect) -> Client:
        login = Login()
        if asked.secret_ref is not None:
            entries = await self._logins.entries(order.policy, asked.secret_ref, FIELD)
            if TOKEN in entries:
                login = bearer(entries, asked.secret_ref)
            else:
                login = basic(entries[USER], entries[PASSWORD], asked.secret_ref)
        return self._outgoing.client(asked.url, f"{FIELD}.url", login)


async def _told(client: Client, run: str, asked: Prefect, state: Mapping[str, Any]) -> Any:
    """The artifact of the run; else what its last state has, where that is plain. Raises ReportError."""
    query = {
        "artifacts": {"key": {"any_": [asked.result.artifact]}, "flow_run_id": {"any_": [run]}},
        "sort": "CREATED_DESC", "limit": 1,
    }  # fmt: skip
    found = [each for each in (await client.post("/artifacts/filter", query)).objects if _is_of(each, run)]
    if found:
        return found[0].get("data")
    data, message = state.get("data"), str(state.get("message") or "")
    if isinstance(data, Mapping) and "modelUri" in data:
        return data
    if message.lstrip().startswith("{"):
        return message
    raise ReportError(
        f"the flow run has no artifact {asked.result.artifact}; let it make one, or return a state whose message is "
        f"such as {EXAMPLE}"
    )


def _is_of(artifact: Mapping[str, Any], run: str) -> bool:
    return str(artifact.get("flow_run_id")).replace("-", "").lower() == run.replace("-", "").lower()


async def _end_of_log(client: Client, run: str) -> str:
    asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_DESC", "limit": LINES}
    try:
        lines = (await client.post("/logs/filter", asked)).objects
    except (NotNowError, NeverError):
        return ""  # that it failed is known; the log is only its why
    return client.end_of("\n".join(str(each.get("message") or "") for each in reversed(lines)))


def _prefect(order: Order) -> Prefect:
    return still_asked(order, lambda retrain: retrain.prefect, FIELD)


def _deployment(asked: Prefect) -> str:
    flow, _, name = asked.deployment.partition("/")
    return path("deployments", "name", flow, name) if name else path("deployments", flow)


def _read_id(document: Mapping[str, Any]) -> str:
    found = str(document.get("id"))
    if not _ID.fullmatch(found):
        raise NotNowError("Prefect's answer has no id of a flow run; write the address of its API, with /api")
    return found
