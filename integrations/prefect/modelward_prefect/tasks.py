"""What a flow does with a model. Each is idempotent: a task that is tried again does nothing twice.

What fails raises modelward_cli's KubectlError, whose message names cause and cure; a cluster that did not answer, and a
batch that failed, are worth another try (`retries=…`), the rest is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prefect import get_run_logger, runtime, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from modelward_cli.fleet.read import model as read_model
from modelward_cli.kubectl import BATCHES, KubectlError, NoClusterError
from modelward_cli.pipeline import watching
from modelward_cli.pipeline.batches import Batch, BatchFailedError, Run, attempt, is_done, name_for, run_of
from modelward_cli.pipeline.deploying import Version, deploy
from modelward_cli.pipeline.rollouts import Progress, is_promoted, progress
from modelward_cli.pipeline.waiting import until
from modelward_prefect.block import ModelwardCluster


class DriftedError(KubectlError):
    """With each policy's reason."""


class WorseError(KubectlError):
    """With each rule that is broken."""


def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """A `retry_condition_fn`."""
    try:
        state.result()
    except (NoClusterError, BatchFailedError):
        return True
    except Exception:  # noqa: BLE001 - whatever the task raised; only its class counts
        return False
    return False


@task(retries=3, retry_delay_seconds=10, retry_condition_fn=worth_another_try)
def deploy_version(
    cluster: ModelwardCluster, model: str, uri: str, digest: str | None = None, *, take_over: bool = False
) -> dict[str, Any]:
    """Has spec.model say `uri` and `digest`. Returns model, namespace, version, before, generation, changed.
    `take_over`: also where something else (Argo CD, Flux, kubectl) wrote these fields last."""
    deployed = deploy(cluster.cluster(), model, Version(uri, digest), take_over=take_over)
    word = "asks for" if deployed.changed else "asked already for"
    get_run_logger().info("%s/%s %s %s", deployed.namespace, model, word, deployed.version)
    return asdict(deployed)


@task
def wait_for_rollout(
    cluster: ModelwardCluster, model: str, uri: str | None = None, digest: str | None = None, *,
    when_paused: str = "fail", timeout: float = 86400.0, every: float = 10.0,
) -> dict[str, Any]:  # fmt: skip
    """Until the version is promoted: state, message, and rollout with the evidence of each gate.

    Without `uri`: until whatever spec asks for is.

    Raises NotPromotedError with the reason when it is rolled back, aborted, paused (unless `when_paused` is wait) or
    stuck, or somebody has asked for another version; TooLateError after `timeout` seconds.
    """
    asked, wanted = cluster.cluster(), Version(uri, digest) if uri else None

    def look() -> Progress:
        return progress(read_model(asked, model), wanted)

    def is_over(now: Progress) -> bool:
        return is_promoted(now, when_paused=when_paused)

    ended = until(look, is_over, lambda now: now.message, timeout, every, said=get_run_logger().info)
    return {"state": ended.state.value, "message": ended.message, "rollout": ended.rollout}


@task(retries=3, retry_delay_seconds=10, retry_condition_fn=worth_another_try)
def read_drift(cluster: ModelwardCluster, name: str, *, fail_if_drifted: bool = False) -> dict[str, Any]:
    """What a DriftPolicy, or a model's policies and monitor, say: found, bad, known, notes."""
    reading = watching.drift(cluster.cluster(), name)
    if fail_if_drifted and reading.bad:
        raise DriftedError("; ".join(reading.bad))
    return _told(reading)


@task(retries=3, retry_delay_seconds=10, retry_condition_fn=worth_another_try)
def read_quality(cluster: ModelwardCluster, name: str, *, fail_if_worse: bool = False) -> dict[str, Any]:
    """The same of what outcomes say."""
    reading = watching.quality(cluster.cluster(), name)
    if fail_if_worse and reading.bad:
        raise WorseError("; ".join(reading.bad))
    return _told(reading)


def _told(reading: watching.Reading) -> dict[str, Any]:
    for each in (*reading.bad, *reading.notes):
        get_run_logger().info("%s", each)
    return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(reading).items()}


@task
def run_batch(
    cluster: ModelwardCluster, model: str, input_uri: str, output_uri: str, keys: Sequence[str], *,
    batch: str | None = None, more: Mapping[str, Any] | None = None, timeout: float = 6 * 3600.0, every: float = 15.0,
) -> dict[str, Any]:  # fmt: skip
    """Scores `input_uri` by the model's stable revision to `output_uri`, and waits for the end: name, message, status.

    The batch is named by the flow run and its output, so that a run that is tried again finds the one that it started.
    `more`: other fields of the BatchInference's spec. After `timeout` seconds TooLateError; the batch goes on.
    """
    asked = cluster.cluster()
    name = batch or name_for(model, f"{runtime.flow_run.id or runtime.task_run.id} {output_uri}")
    wanted = Batch(name, model, input_uri, output_uri, tuple(keys), dict(more or {}))
    name = str(attempt(asked, wanted)["metadata"]["name"])
    get_run_logger().info("the BatchInference %s", name)

    def look() -> Run:
        return run_of(asked.got(BATCHES, name))

    ended = until(look, is_done, lambda now: now.message, timeout, every, said=get_run_logger().info)
    return {"name": name, "message": ended.message, "status": ended.status}
