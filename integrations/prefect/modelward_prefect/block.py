"""The block: how flows reach the cluster."""

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from modelward_cli.cluster import Cluster
from modelward_cli.pipeline.login import login


class ModelwardCluster(Block):
    """A namespace with models that Modelward serves. With nothing set it asks as the service account of the worker's
    pod, or as kubectl does."""

    _block_type_name: ClassVar[str] = "Modelward Cluster"
    _block_type_slug: ClassVar[str] = "modelward-cluster"

    namespace: str | None = Field(None, description="Of the models; else the pod's, or that of kubectl's context.")
    server: str | None = Field(None, description="The API server: https://HOST[:PORT].")
    token: SecretStr | None = Field(None, description="A bearer token for it.")
    certificate_authority: str | None = Field(None, description="PEM; else those that the worker trusts.")
    kubeconfig: str | None = Field(None, description="A path on the worker, for kubectl, in place of server and token.")
    context: str | None = Field(None, description="Of the kubeconfig.")

    def cluster(self) -> Cluster:
        """Raises KubectlError."""
        return login(
            self.namespace, server=self.server, token=self.token.get_secret_value() if self.token else None,
            certificate_authority=self.certificate_authority, kubeconfig=self.kubeconfig, context=self.context,
        )  # fmt: skip
