"""The triggers of pipelines in other systems, by the kind of their runs.

A trigger is added by a file with a PipelineTrigger, a spec in api/triggers.py and in the CRD, a line here and in
start.py, and its rows in the contract suite (tests/unit/retraining/contract).
"""

from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from modelward.kube.client import Api
from modelward.kube.poller import Poller
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.airflow import AirflowTrigger
from modelward.retraining.triggers.argo import ArgoTrigger
from modelward.retraining.triggers.github import GithubTrigger
from modelward.retraining.triggers.jenkins import JenkinsTrigger
from modelward.retraining.triggers.kubeflow import KubeflowTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing
from modelward.retraining.triggers.pipeline import PipelineTrigger, TellsModel
from modelward.retraining.triggers.polled import EVERY, PolledTrigger
from modelward.retraining.triggers.prefect import PrefectTrigger

GITHUB_EVERY: Final = 30.0
"""Seconds between two questions how a run goes: GitHub takes 5000 an hour from one token, for all models together."""


def pipelines(
    api: Api,
    session: aiohttp.ClientSession,
    hosts: Sequence[str],
    plain: Sequence[str],
    registry: TellsModel,
    now: Callable[[], float],
) -> dict[str, PipelineTrigger]:
    """`session`: a guarded one; `hosts`, `plain`: as Outgoing has them; `now`: seconds since the epoch."""
    outgoing, logins = Outgoing(session, hosts, plain), Logins(api)
    return {
        runs.AIRFLOW: AirflowTrigger(outgoing, logins, registry),
        runs.PREFECT: PrefectTrigger(outgoing, logins, registry),
        runs.GITHUB: GithubTrigger(outgoing, logins, registry, now),
        runs.JENKINS: JenkinsTrigger(outgoing, logins, registry, now),
        runs.ARGO: ArgoTrigger(api, registry),
        runs.KUBEFLOW: KubeflowTrigger(outgoing, logins, registry, now),
    }


def polled(triggers: dict[str, PipelineTrigger], poller: Poller) -> dict[str, PolledTrigger]:
    """The same, each asked beside the reconciles."""
    every = {runs.GITHUB: GITHUB_EVERY}
    return {kind: PolledTrigger(each, poller, kind.lower(), every.get(kind, EVERY)) for kind, each in triggers.items()}
