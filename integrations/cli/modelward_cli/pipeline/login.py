"""How a pipeline reaches its cluster: a server and a token, a kubeconfig, or the service account of its own pod."""

import os
from collections.abc import Mapping

from modelward_cli.cluster import Cluster
from modelward_cli.direct import Direct, in_pod
from modelward_cli.kubectl import Kubectl, KubectlError


def login(
    namespace: str | None, *, server: str | None = None, token: str | None = None, kubeconfig: str | None = None,
    certificate_authority: str | None = None, context: str | None = None, environment: Mapping[str, str] = os.environ,
) -> Cluster:  # fmt: skip
    """`namespace` None: that of the pod, or of kubectl's context. `certificate_authority`: PEM; `kubeconfig`: a path.
    With nothing named: as the pod's service account in a pod, else as kubectl does. Raises KubectlError."""
    if server and (kubeconfig or context):
        raise KubectlError("name a server and a token, or a kubeconfig, not both")
    if (token or certificate_authority) and not server:
        raise KubectlError("a token or a certificate authority is for a server: name its address, too")
    if server:
        if not token:
            raise KubectlError(f"name a bearer token for {server}, for example one by `kubectl create token`")
        if not namespace:
            raise KubectlError("name the namespace of the models: a server has none that is meant by default")
        return Direct(server, namespace, token, certificate_authority=certificate_authority)
    if (
        not kubeconfig
        and not context
        and environment.get("KUBERNETES_SERVICE_HOST")
        and "KUBECONFIG" not in environment
    ):
        return in_pod(namespace, environment)
    return Kubectl(namespace=namespace, context=context, kubeconfig=kubeconfig)
