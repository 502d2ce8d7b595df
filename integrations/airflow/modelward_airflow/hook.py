"""The connection: of the type `modelward`.

Host: the API server's address; password: a bearer token; extra: namespace, certificate_authority (PEM), or kubeconfig
(a path on the worker) and context. Where there is no connection of the default name, a worker in the cluster asks as
its own service account.
"""

from typing import Any, ClassVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

from modelward_cli.cluster import Cluster
from modelward_cli.kubectl import ConflictError, ExistsError, KubectlError, NotAllowedError, NotFoundError
from modelward_cli.pipeline.login import login
from modelward_cli.pipeline.rollouts import NotPromotedError

DEFAULT = "modelward_default"

FINAL = (NotPromotedError, NotAllowedError, NotFoundError, ConflictError, ExistsError)
"""What the same task would meet again: it is not retried."""


class ModelwardHook(BaseHook):
    conn_name_attr: ClassVar[str] = "modelward_conn_id"
    default_conn_name: ClassVar[str] = DEFAULT
    conn_type: ClassVar[str] = "modelward"
    hook_name: ClassVar[str] = "Modelward"

    def __init__(self, modelward_conn_id: str = DEFAULT, namespace: str | None = None) -> None:
        super().__init__()
        self._id = modelward_conn_id
        self._namespace = namespace

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        return {
            "hidden_fields": ["schema", "login", "port"],
            "relabeling": {"host": "API server (https://…)", "password": "Bearer token"},
            "placeholders": {"extra": '{"namespace": "ml", "certificate_authority": "-----BEGIN CERTIFICATE-----…"}'},
        }

    def get_conn(self) -> Cluster:
        """Raises KubectlError."""
        try:
            connection = self.get_connection(self._id)
        except AirflowNotFoundException:
            if self._id != DEFAULT:
                raise
            return login(self._namespace)
        extra = connection.extra_dejson
        unknown = set(extra) - {"namespace", "certificate_authority", "kubeconfig", "context"}
        if unknown:
            raise KubectlError(
                f"the connection {self._id} has {', '.join(sorted(unknown))} in its extra; known are namespace, "
                "certificate_authority, kubeconfig and context"
            )
        return login(
            self._namespace or extra.get("namespace"),
            server=connection.host or None,
            token=connection.password or None,
            certificate_authority=extra.get("certificate_authority"),
            kubeconfig=extra.get("kubeconfig"),
            context=extra.get("context"),
        )


def failure(error: KubectlError) -> AirflowException:
    """As Airflow is told: with or without another try."""
    return AirflowFailException(str(error)) if isinstance(error, FINAL) else AirflowException(str(error))
