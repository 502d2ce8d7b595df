"""A run as a Workflow of Argo, made of a WorkflowTemplate: its name is the run's, so the API server refuses a second,
and it goes with the run.

The operator has no watch on Workflows, which most clusters do not have: it asks for the one while its run goes on.
https://argo-workflows.readthedocs.io/en/latest/fields/
"""

import math
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from modelward.api.owners import owner_reference
from modelward.api.triggers import ArgoWorkflow
from modelward.kube.cache import Object
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import WORKFLOWS
from modelward.net.untrusted import bare, quoted
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.progress import deadline_of
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError
from modelward.retraining.lifecycle.run import BROKE, WORKING, Outcome
from modelward.retraining.persistence.run_object import KIND
from modelward.retraining.triggers.job_manifest import labels
from modelward.retraining.triggers.outgoing import LOG_END, REFUSED, NeverError, NotNowError, objects
from modelward.retraining.triggers.pipeline import PipelineTrigger, TellsModel, in_text, still_asked
from modelward.retraining.triggers.trigger import Order

FIELD: Final = "spec.retrain.argoWorkflow"
FORBIDDEN: Final = 403
CONFLICT: Final = 409

TOLD_NODES: Final = 3
"""Failed steps that are told of."""

AnswerT = TypeVar("AnswerT")

_FAILED = frozenset({"Failed", "Error"})


class ArgoTrigger(PipelineTrigger):
    def __init__(self, api: Api, registry: TellsModel) -> None:
        super().__init__(registry)
        self._api = api

    async def _start(self, order: Order) -> Outcome:
        namespace, asked = order.policy.namespace, _argo(order)
        known = await self._find(order)
        if known is None:
            try:
                known = await self._api.create(WORKFLOWS, namespace, manifest(order, asked), strict=True)
            except ApiError as error:
                if error.status == 404 and not await self._api.serves(WORKFLOWS):
                    raise NeverError(
                        f"This cluster has no Argo Workflows ({WORKFLOWS.api_version}), which {FIELD} needs; install it"
                    ) from None
                if error.is_refusal:
                    raise NeverError(f"The API server refuses the Workflow of {FIELD}: {error.message}") from None
                if error.status != CONFLICT:
                    raise
                known = await self._find(order)
        if known is not None and not _is_of(known, order):
            raise NeverError(f"There is a Workflow {order.run.name} that is not of this run; delete it")
        return Outcome(WORKING)

    async def _poll(self, order: Order) -> Outcome:
        asked, workflow = _argo(order), await self._find(order)
        if workflow is None or not _is_of(workflow, order):
            raise NeverError(f"The Workflow {order.run.name} is gone: somebody deleted it")
        status = workflow.get("status") or {}
        phase, said = status.get("phase"), _told(status.get("message") or "")
        if phase == "Succeeded":

            async def told() -> Any:
                return _output(status, asked)

            return await self._succeeded(order, asked.result.source, told)
        if phase in _FAILED:
            return Outcome(BROKE, f"The Workflow ended as {phase}{_why(said, status)}")
        return Outcome(WORKING, said)

    async def _cancel(self, order: Order) -> None:
        workflow = await self._find(order)
        if workflow is None or not _is_of(workflow, order) or _has_ended(workflow):
            return
        try:
            patch = {"metadata": {"uid": workflow["metadata"]["uid"]}, "spec": {"shutdown": "Terminate"}}
            await _allowed(order, self._api.merge(WORKFLOWS, order.policy.namespace, order.run.name, patch))
        except ApiError as error:
            if error.status not in (404, CONFLICT):
                raise

    async def _find(self, order: Order) -> Object | None:
        return await _allowed(order, self._api.get(WORKFLOWS, order.policy.namespace, order.run.name))


async def _allowed(order: Order, asked: Awaitable[AnswerT]) -> AnswerT:
    """What is asked of Workflows that are there, or may be. Raises NotNowError where the operator has no right to it:
    the rule is one that an administrator may take away, and the run is not over for that."""
    try:
        return await asked
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        raise NotNowError(
            f"The operator may not see or stop Workflows in {order.policy.namespace}; give it the rule for workflows "
            f"of manifests/base/rbac.yaml again ({_told(error.message)})",
            REFUSED, stuck=True,
        ) from None  # fmt: skip


def manifest(order: Order, asked: ArgoWorkflow) -> dict[str, Any]:
    """The Workflow. Its template gets what the run is for as parameters; those that it does not use do no harm."""
    assert order.target is not None
    told = briefing(order.policy, order.target, order.run)
    given = {"modelward-run": order.run.name, "modelward-briefing": in_text(told)}
    spec: dict[str, Any] = {
        "workflowTemplateRef": {"name": asked.template},
        "arguments": {"parameters": [{"name": name, "value": value} for name, value in given.items()]},
        "activeDeadlineSeconds": max(1, math.ceil(deadline_of(order.policy))),
    }
    if asked.service_account_name is not None:
        spec["serviceAccountName"] = asked.service_account_name
    return {
        "apiVersion": WORKFLOWS.api_version,
        "kind": WORKFLOWS.kind,
        "metadata": {
            "name": order.run.name,
            "namespace": order.policy.namespace,
            "labels": labels(order.policy, order.target.name, order.run.name),
            "ownerReferences": [owner_reference(KIND, order.run.name, order.run.uid)],
        },
        "spec": spec,
    }


def _is_of(workflow: Object, order: Order) -> bool:
    owners = {each.get("uid") for each in workflow["metadata"].get("ownerReferences") or ()}
    return order.run.uid in owners


def _has_ended(workflow: Object) -> bool:
    return (workflow.get("status") or {}).get("phase") in _FAILED | {"Succeeded"}


def _output(status: Mapping[str, Any], asked: ArgoWorkflow) -> Any:
    """Raises ReportError."""
    outputs = status.get("outputs")
    parameters = objects(outputs.get("parameters")) if isinstance(outputs, Mapping) else []
    for each in parameters:
        if each.get("name") == asked.result.parameter:
            return each.get("value")
    raise ReportError(
        f"the Workflow has no global output parameter {asked.result.parameter} (`globalName`); let it have one such as "
        f"{EXAMPLE}, or correct {FIELD}.result"
    )


def _why(said: str, status: Mapping[str, Any]) -> str:
    """Which steps failed, and how: Argo has the end of a step's log in its message."""
    nodes = status.get("nodes")
    steps = [
        f"{_told(each.get('displayName') or '')}: {_told(each.get('message') or '')}"
        for each in (nodes.values() if isinstance(nodes, Mapping) else ())
        if isinstance(each, Mapping) and each.get("type") == "Pod" and each.get("phase") in _FAILED
    ]
    return "".join(f". {each.rstrip('.')}" for each in (said, *steps[:TOLD_NODES]) if each)


def _told(text: object) -> str:
    return quoted(bare(str(text)[: 8 * LOG_END]), LOG_END)


def _argo(order: Order) -> ArgoWorkflow:
    return still_asked(order, lambda retrain: retrain.argo_workflow, FIELD)
