"""A run as a run of Kubeflow Pipelines 2, by its REST API v2beta1, which is known by its name.

Kubeflow takes a second request for a second run, so it is looked for first (pipeline.py). Which model it made is told
by the registry alone: the API has ids of what steps put out, and not their values.

https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from modelward.api.triggers import BY_REGISTRY, Kubeflow
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.run import ASKED, BROKE, WORKING, Outcome
from modelward.retraining.triggers.logins import bearer
from modelward.retraining.triggers.outgoing import Client, Login, NeverError, NotNowError, objects, path
from modelward.retraining.triggers.pipeline import LookedForTrigger, in_text, still_asked
from modelward.retraining.triggers.trigger import Order

FIELD: Final = "spec.retrain.kubeflow"
API: Final = "/apis/v2beta1"
RUN, BRIEFING = "modelward_run", "modelward_briefing"
"""Parameters of the pipeline. The first has to be there: the version that the run registers is known by it."""

EXPERIMENT: Final = "Default"
"""That runs belong to of which nobody says to which, as for Kubeflow's own clients."""

_ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class KubeflowTrigger(LookedForTrigger):
    async def _start(self, order: Order) -> Outcome:
        asked = _kubeflow(order)
        client = await self._client(order, asked)
        pipeline = await _pipeline(client, asked)
        version = await _newest(client, asked, pipeline)
        experiment = await _experiment(client, asked)
        known = await _find(client, order, asked)
        if known is not None:
            return Outcome(WORKING, handle=_handle(client, known))
        if not self._looking.long_enough(order.run.key):
            return Outcome(ASKED)
        assert order.target is not None
        told = {RUN: order.run.name, BRIEFING: in_text(briefing(order.policy, order.target, order.run))}
        declared = _declared(version)
        body: dict[str, Any] = {
            "display_name": order.run.name,
            "pipeline_version_reference": {
                "pipeline_id": pipeline, "pipeline_version_id": str(version["pipeline_version_id"]),
            },
            "runtime_config": {"parameters": {name: value for name, value in told.items() if name in declared}},
        }  # fmt: skip
        if experiment is not None:
            body["experiment_id"] = experiment
        self._looking.again(order.run.key)
        made = (await client.post(f"{API}/runs", body)).object.get("run_id")
        return Outcome(WORKING, handle=_handle(client, made) if _is_id(made) else None)

    async def _poll(self, order: Order) -> Outcome:
        client = await self._client(order, asked := _kubeflow(order))
        known = _known(order) or await _find(client, order, asked)
        if known is None:
            raise NeverError(f"Kubeflow has no run {order.run.name}: somebody deleted it")
        run = (await client.get(_run(known))).object
        handle, state = _handle(client, known), run.get("state")
        if state == "SUCCEEDED":
            return await self._succeeded(order, BY_REGISTRY, _nobody)
        if state in _ENDED:
            return Outcome(BROKE, f"The run of Kubeflow ended as {client.told(state)}{_why(client, run)}")
        waits = "The run is paused in Kubeflow; resume it" if state == "PAUSED" else ""
        return Outcome(WORKING, waits, handle=handle)

    async def _cancel(self, order: Order) -> None:
        client = await self._client(order, asked := _kubeflow(order))
        known = _known(order) or await _find(client, order, asked)
        if known is None:
            if not self._looking.long_enough(order.run.key):
                raise NotNowError(f"Kubeflow shows no run {order.run.name} yet")
            return
        state = (await client.get(_run(known))).object.get("state")
        if state not in _ENDED | {"CANCELING"}:
            await client.send("POST", f"{_run(known)}:terminate")

    async def _client(self, order: Order, asked: Kubeflow) -> Client:
        login = Login()
        if asked.secret_ref is not None:
            login = bearer(await self._logins.entries(order.policy, asked.secret_ref, FIELD), asked.secret_ref)
        return self._outgoing.client(asked.url, f"{FIELD}.url", login)


async def _pipeline(client: Client, asked: Kubeflow) -> str:
    """The id of the pipeline that spec names. Raises NeverError where there is none."""
    if _is_id(asked.pipeline):
        return asked.pipeline
    query = {} if asked.namespace is None else {"namespace": asked.namespace}
    answer = await client.get(f"{API}{path('pipelines', 'names', asked.pipeline)}", query, taken=(404,))
    found = answer.object.get("pipeline_id")
    if answer.status == 404:
        raise NeverError(f"Kubeflow has no pipeline {asked.pipeline} that this login may see; correct {FIELD}")
    if not _is_id(found):
        raise NotNowError("Kubeflow's answer has no id of a pipeline; write the address that /apis is below")
    return found


async def _newest(client: Client, asked: Kubeflow, pipeline: str) -> Mapping[str, Any]:
    """The newest version of a pipeline, which has what a run of it needs. Raises NeverError where there is none."""
    query = {"page_size": "1", "sort_by": "created_at desc"}
    answer = await client.get(f"{API}{path('pipelines', pipeline, 'versions')}", query, taken=(404,))
    found = objects(answer.object.get("pipeline_versions"))
    if not found or not _is_id(found[0].get("pipeline_version_id")):
        raise NeverError(f"Kubeflow has no version of the pipeline {asked.pipeline}; upload one")
    if RUN not in _declared(found[0]):
        raise NeverError(
            f"The pipeline {asked.pipeline} has no parameter {RUN}: declare it, and write it into the tag "
            "modelward.run of the version that the run registers, or nobody knows which model it made"
        )
    return found[0]


def _declared(version: Mapping[str, Any]) -> frozenset[str]:
    """Parameters of the pipeline, whose spec stands alone or beside what is of a platform's own."""
    spec = version.get("pipeline_spec")
    if isinstance(spec, Mapping) and isinstance(spec.get("pipeline_spec"), Mapping):
        spec = spec["pipeline_spec"]
    for name in ("root", "inputDefinitions", "parameters"):
        spec = spec.get(name) if isinstance(spec, Mapping) else None
    return frozenset(map(str, spec)) if isinstance(spec, Mapping) else frozenset()


async def _experiment(client: Client, asked: Kubeflow) -> str | None:
    """The id of the experiment that a run is to belong to; None: Kubeflow takes its own. Where it has a namespace for
    each team, it takes no run without one, and reads the namespace of it. Raises NeverError."""
    if asked.experiment is not None or asked.namespace is None:
        return asked.experiment
    query = {"page_size": "1", "namespace": asked.namespace, "filter": _called(EXPERIMENT)}
    for each in objects((await client.get(f"{API}/experiments", query)).object.get("experiments")):
        if each.get("display_name") == EXPERIMENT and _is_id(each.get("experiment_id")):
            return str(each["experiment_id"])
    raise NeverError(
        f"Kubeflow has no experiment {EXPERIMENT} in {asked.namespace} for the run to belong to: create it, or write "
        f"the id of another one into {FIELD}.experiment"
    )


def _called(name: str) -> str:
    """The filter for what has this name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


async def _find(client: Client, order: Order, asked: Kubeflow) -> str | None:
    """The id of the run that has our run's name."""
    query = {"page_size": "10", "sort_by": "created_at desc", "filter": _called(order.run.name)}
    if asked.experiment is not None:
        query["experiment_id"] = asked.experiment
    elif asked.namespace is not None:
        query["namespace"] = asked.namespace
    for each in objects((await client.get(f"{API}/runs", query)).object.get("runs")):
        if each.get("display_name") == order.run.name and _is_id(each.get("run_id")):
            return str(each["run_id"])
    return None


def _why(client: Client, run: Mapping[str, Any]) -> str:
    """What it says of its failure, and the first step that failed."""
    said = _message(run)
    told = f": {client.told(said).rstrip('.')}" if said else ""
    details = run.get("run_details")
    steps = objects(details.get("task_details")) if isinstance(details, Mapping) else []
    for each in steps:
        if each.get("state") == "FAILED" and _message(each):
            return f"{told}. Its step {client.told(each.get('display_name'), 60)}{client.end_of(_message(each))}"
    return told


def _message(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    return str(error.get("message") or "") if isinstance(error, Mapping) else ""


async def _nobody() -> None:
    """The run itself tells nothing."""


def _kubeflow(order: Order) -> Kubeflow:
    return still_asked(order, lambda retrain: retrain.kubeflow, FIELD)


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _run(known: str) -> str:
    return f"{API}{path('runs', known)}"


def _handle(client: Client, known: str) -> str:
    """Where people see it."""
    return f"{client.base}/#/runs/details/{known}"


def _known(order: Order) -> str | None:
    found = (order.run.handle or "").rpartition("/")[2]
    return found if _is_id(found) else None
