"""What a DAG waits for. A look is stateless, so that `mode="reschedule"` frees the worker between two looks."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from modelward_airflow.hook import DEFAULT, ModelwardHook, failure
from modelward_cli.fleet.read import model as read_model
from modelward_cli.kubectl import KubectlError, NoClusterError
from modelward_cli.pipeline.deploying import Version
from modelward_cli.pipeline.rollouts import is_promoted, progress


class RolloutSensor(BaseSensorOperator):
    """Waits until `uri` (and `digest`) is promoted. Fails, without another try, when it is rolled back, aborted, paused
    or stuck, or somebody has asked for another version; the message is the reason and each gate that failed. Without
    `uri` it waits for whatever spec asks for.

    `when_paused`: fail, or wait for a person. Returns state, message and rollout with the evidence. A cluster that does
    not answer is asked again, until the sensor's own timeout.
    """

    template_fields: Sequence[str] = ("model", "namespace", "uri", "digest")

    def __init__(
        self, *, model: str, uri: str | None = None, digest: str | None = None, namespace: str | None = None,
        when_paused: str = "fail", modelward_conn_id: str = DEFAULT, mode: str = "reschedule",
        poke_interval: float = 30.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(mode=mode, poke_interval=poke_interval, **kwargs)
        if when_paused not in ("fail", "wait"):
            raise ValueError(f"when_paused is {when_paused!r}; write fail or wait")
        self.model = model
        self.uri = uri
        self.digest = digest
        self.namespace = namespace
        self.when_paused = when_paused
        self.modelward_conn_id = modelward_conn_id

    def poke(self, context: Mapping[str, Any]) -> PokeReturnValue:  # noqa: ARG002 - Airflow's name
        wanted = Version(self.uri, self.digest or None) if self.uri else None
        try:
            cluster = ModelwardHook(self.modelward_conn_id, self.namespace or None).get_conn()
            found = progress(read_model(cluster, self.model), wanted)
            done = is_promoted(found, when_paused=self.when_paused)
        except NoClusterError as error:
            self.log.warning("the cluster does not answer: %s", error)
            return PokeReturnValue(is_done=False)
        except KubectlError as error:
            raise failure(error) from error
        self.log.info("%s", found.message)
        told = {"state": found.state.value, "message": found.message, "rollout": found.rollout}
        return PokeReturnValue(is_done=done, xcom_value=told)
