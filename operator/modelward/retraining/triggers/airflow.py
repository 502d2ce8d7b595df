"""A run as a DAG run of Airflow 3, by its REST API v2: its id is made of the run's name, so Airflow refuses a second.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from modelward.api.triggers import Airflow
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError
from modelward.retraining.lifecycle.run import BROKE, WORKING, Outcome
from modelward.retraining.triggers.logins import PASSWORD, TOKEN, USER, Logins
from modelward.retraining.triggers.outgoing import (
    PAUSED,
    REFUSED,
    Client,
    Login,
    NeverError,
    NotNowError,
    Outgoing,
    objects,
    path,
)
from modelward.retraining.triggers.pipeline import KEPT, PipelineTrigger, TellsModel, still_asked
from modelward.retraining.triggers.trigger import Order

FIELD: Final = "spec.retrain.airflow"

_ENDED = frozenset({"success", "failed"})
T = TypeVar("T")


class AirflowTrigger(PipelineTrigger):
    def __init__(self, outgoing: Outgoing, logins: Logins, registry: TellsModel) -> None:
        super().__init__(registry)
        self._outgoing = outgoing
        self._logins = logins
        self._tokens: dict[str, str] = {}
        """By whose they are and what they were got with: a login for each question would be one more each time."""

    async def _start(self, order: Order) -> Outcome:
        asked, told = _airflow(order), briefing(order.policy, _target(order), order.run)

        async def start(client: Client) -> Outcome:
            dag = await client.get(_dag(asked), taken=(404,))
            if dag.status == 404:
                raise NeverError(f"Airflow has no DAG {asked.dag} that this login may see; correct {FIELD}.dag")
            if dag.object.get("is_paused") is True:
                raise NotNowError(f"The DAG {asked.dag} is paused in Airflow; unpause it", PAUSED, stuck=True)
            # Without a logical date, or Airflow refuses two of the same moment, whatever their ids.
            body = {"dag_run_id": _id(order), "logical_date": None, "conf": {"modelward": told}}
            await client.post(f"{_dag(asked)}/dagRuns", body, taken=(409,))
            shown = f"{client.base}{path('dags', asked.dag, 'runs', _id(order))}"
            return Outcome(WORKING, handle=shown)

        return await self._with_login(order, asked, start)

    async def _poll(self, order: Order) -> Outcome:
        asked = _airflow(order)

        async def poll(client: Client) -> Outcome:
            state = (await client.get(_run(order, asked))).object.get("state")
            if state == "success":
                return await self._succeeded(order, asked.result.source, lambda: _xcom(client, order, asked))
            if state == "failed":
                return Outcome(BROKE, await _failure(client, order, asked))
            return Outcome(WORKING)

        return await self._with_login(order, asked, poll)

    async def _cancel(self, order: Order) -> None:
        asked = _airflow(order)

        async def cancel(client: Client) -> None:
            found = await client.get(_run(order, asked))
            if found.object.get("state") not in _ENDED:
                await client.send("PATCH", _run(order, asked), '{"state": "failed"}')

        await self._with_login(order, asked, cancel)

    async def _with_login(self, order: Order, asked: Airflow, ask: Callable[[Client], Awaitable[T]]) -> T:
        entries = await self._logins.entries(order.policy, asked.secret_ref, FIELD)
        where = f"the Secret {asked.secret_ref.name}"
        if TOKEN in entries:
            login = Login(f"Bearer {entries[TOKEN]}", f"the entry {TOKEN} of {where}", (entries[TOKEN],))
            return await ask(self._client(asked, login))
        kept = _name(order, asked, entries)
        token = self._tokens.get(kept)
        if token is not None:
            try:
                return await ask(self._client(asked, _by_token(token, where, entries)))
            except NotNowError as error:
                if error.reason != REFUSED:
                    raise
                self._tokens.pop(kept, None)  # it lasts for a day; a new one tells whether name and password still do
        token = await self._token(asked, entries, where)
        self._tokens[kept] = token
        while len(self._tokens) > KEPT:
            del self._tokens[next(iter(self._tokens))]
        return await ask(self._client(asked, _by_token(token, where, entries)))

    async def _token(self, asked: Airflow, entries: Mapping[str, str], where: str) -> str:
        client = self._client(asked, Login(None, where, (entries[PASSWORD],)))
        answer = await client.post(
            "/auth/token", {USER: entries[USER], PASSWORD: entries[PASSWORD]}, taken=(400, 401, 403, 422)
        )
        token = answer.object.get("access_token")
        if isinstance(token, str) and token.isascii() and token.isprintable():
            return token
        raise NotNowError(
            f"Airflow gives no token for the name and the password of {where} (it answered {answer.status}). Renew "
            "them there",
            REFUSED, stuck=True,
        )  # fmt: skip

    def _client(self, asked: Airflow, login: Login) -> Client:
        return self._outgoing.client(asked.url, f"{FIELD}.url", login)


async def _xcom(client: Client, order: Order, asked: Airflow) -> Any:
    """What the task told. Raises ReportError."""
    entry = path("taskInstances", asked.result.task, "xcomEntries", asked.result.key)
    # As it is stored; and of this run alone: where it has none, Airflow answers with one of a run before.
    query = {"deserialize": "false", "stringify": "false", "include_prior_dates": "false"}
    answer = await client.get(f"{_run(order, asked)}{entry}", query, taken=(404,))
    if answer.status == 404 or answer.object.get("run_id") != _id(order):
        raise ReportError(
            f"its task {asked.result.task} has no XCom {asked.result.key}; let it return such as {EXAMPLE}, or correct "
            f"{FIELD}.result"
        )
    return answer.object.get("value")


async def _failure(client: Client, order: Order, asked: Airflow) -> str:
    told = f"The DAG run {_id(order)} failed"
    try:
        answer = await client.get(f"{_run(order, asked)}/taskInstances", {"state": "failed", "limit": "1"})
        tasks = objects(answer.object.get("task_instances"))
        if not tasks:
            return told
        task, attempt = str(tasks[0].get("task_id")), str(tasks[0].get("try_number") or 1)
        told = f"{told} in its task {client.told(task)}"
        query = {"full_content": "true", "map_index": str(tasks[0].get("map_index", -1))}
        log = await client.get(f"{_run(order, asked)}{path('taskInstances', task, 'logs', attempt)}", query)
        return f"{told}{client.end_of(_lines(log.object.get('content')))}"
    except (NotNowError, NeverError):
        return told  # that it failed is known; the log is only its why


def _lines(content: Any) -> str:
    """Lines of a log as Airflow has them: texts, or objects with an event, and of an exception with what it was. What
    only folds the page that people see is left out: it stands behind the exception."""
    lines = content if isinstance(content, list) else [content or ""]
    shown = [line for each in lines for line in (_lines_of(each) if isinstance(each, Mapping) else [str(each)])]
    return "\n".join(line for line in shown if not line.startswith(("::group::", "::endgroup::")))


def _lines_of(entry: Mapping[str, Any]) -> list[str]:
    # Causes stand behind what they led to.
    raised = [f"{each.get('exc_type')}: {each.get('exc_value')}" for each in objects(entry.get("error_detail"))]
    return [str(entry.get("event", "")), *reversed(raised)]


def _airflow(order: Order) -> Airflow:
    return still_asked(order, lambda retrain: retrain.airflow, FIELD)


def _target(order: Order) -> Any:
    assert order.target is not None
    return order.target


def _id(order: Order) -> str:
    return f"modelward__{order.run.name}"


def _dag(asked: Airflow) -> str:
    return f"/api/v2{path('dags', asked.dag)}"


def _run(order: Order, asked: Airflow) -> str:
    return f"{_dag(asked)}{path('dagRuns', _id(order))}"


def _by_token(token: str, where: str, entries: Mapping[str, str]) -> Login:
    return Login(f"Bearer {token}", where, (token, entries[PASSWORD]))


def _name(order: Order, asked: Airflow, entries: Mapping[str, str]) -> str:
    """Of a token: nobody gets one that was got with another login, or elsewhere."""
    told = "\n".join((order.policy.uid, asked.url, entries[USER], entries[PASSWORD]))
    return hashlib.sha256(told.encode()).hexdigest()
