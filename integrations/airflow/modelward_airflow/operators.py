"""What a DAG does with a model. Each is idempotent: a task that is tried again does nothing twice."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from modelward_airflow.hook import DEFAULT, ModelwardHook, failure
from modelward_cli.kubectl import BATCHES, KubectlError
from modelward_cli.pipeline import watching
from modelward_cli.pipeline.batches import Batch, Run, attempt, is_done, name_for, run_of
from modelward_cli.pipeline.deploying import Version, deploy
from modelward_cli.pipeline.waiting import Clock, until


class _OfModel(BaseOperator):
    """`model`: a ModelDeployment; `namespace` None: the connection's."""

    template_fields: Sequence[str] = ("model", "namespace")
    ui_color: ClassVar[str] = "#dbeafe"

    def __init__(
        self, *, model: str, namespace: str | None = None, modelward_conn_id: str = DEFAULT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.namespace = namespace
        self.modelward_conn_id = modelward_conn_id

    def execute(self, context: Mapping[str, Any]) -> Any:
        try:
            return self._done(context)
        except KubectlError as error:
            raise failure(error) from error

    def _cluster(self) -> Any:
        return ModelwardHook(self.modelward_conn_id, self.namespace or None).get_conn()

    def _done(self, _: Mapping[str, Any]) -> Any:
        raise NotImplementedError


class DeployVersion(_OfModel):
    """Has spec.model say `uri` and `digest`. Returns who deployed what: model, namespace, version, before, generation,
    changed. `take_over`: also where something else (Argo CD, Flux, kubectl) wrote these fields last."""

    template_fields: Sequence[str] = ("model", "namespace", "uri", "digest")

    def __init__(self, *, uri: str, digest: str | None = None, take_over: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.uri = uri
        self.digest = digest
        self.take_over = take_over

    def _done(self, _: Mapping[str, Any]) -> Any:
        version = Version(self.uri, self.digest or None)
        deployed = deploy(self._cluster(), self.model, version, take_over=self.take_over)
        word = "asks for" if deployed.changed else "asked already for"
        self.log.info("%s/%s %s %s", deployed.namespace, deployed.model, word, version)
        return asdict(deployed)


class ReadDrift(_OfModel):
    """What policies and the monitor say of drift: found, bad, known, notes. `model` may be a DriftPolicy, too.
    `fail_if_drifted`: the task fails with the reason."""

    def __init__(self, *, fail_if_drifted: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_if_drifted = fail_if_drifted

    def _done(self, _: Mapping[str, Any]) -> Any:
        return self._read(watching.drift(self._cluster(), self.model), self.fail_if_drifted)

    def _read(self, reading: watching.Reading, fail: bool) -> Any:
        for each in (*reading.bad, *reading.notes):
            self.log.info("%s", each)
        if fail and reading.bad:
            raise AirflowFailException("; ".join(reading.bad))
        return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(reading).items()}


class ReadQuality(ReadDrift):
    """The same of what outcomes say. `fail_if_worse`: than a policy allows."""

    def __init__(self, *, fail_if_worse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_if_worse = fail_if_worse

    def _done(self, _: Mapping[str, Any]) -> Any:
        return self._read(watching.quality(self._cluster(), self.model), self.fail_if_worse)


class RunBatch(_OfModel):
    """Scores `input_uri` by the model's stable revision to `output_uri`, and waits for the end.

    Returns name, message, status. The batch is named by the DAG run, so that a task that is tried again finds the one
    that it started. `more`: other fields of the BatchInference's spec. `timeout`, `every`: seconds; a batch that takes
    longer goes on, the task fails.
    """

    template_fields: Sequence[str] = ("model", "namespace", "input_uri", "output_uri", "batch")

    def __init__(
        self, *, input_uri: str, output_uri: str, keys: Sequence[str], batch: str | None = None,
        more: Mapping[str, Any] | None = None, timeout: float = 6 * 3600.0, every: float = 15.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.keys = list(keys)
        self.batch = batch
        self.more = dict(more or {})
        self.timeout = timeout
        self.every = every
        self.clock = Clock(time.monotonic, time.sleep)

    def _done(self, context: Mapping[str, Any]) -> Any:
        cluster = self._cluster()
        task = context["ti"]
        key = f"{context['run_id']} {task.dag_id} {task.task_id} {task.map_index}"
        name = self.batch or name_for(self.model, key)
        asked = Batch(name, self.model, self.input_uri, self.output_uri, self.keys, self.more)
        name = str(attempt(cluster, asked)["metadata"]["name"])
        self.log.info("the BatchInference %s", name)

        def look() -> Run:
            return run_of(cluster.got(BATCHES, name))

        ended = until(look, is_done, lambda seen: seen.message, self.timeout, self.every, self.clock, self.log.info)
        return {"name": name, "message": ended.message, "status": ended.status}
