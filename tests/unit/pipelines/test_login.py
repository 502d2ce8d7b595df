"""Which cluster a pipeline means."""

from typing import Any

import pytest

from modelward_cli.direct import Direct
from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.pipeline.login import login

SERVER = "https://cluster.example.com:6443"


def test_a_server_and_a_token() -> None:
    assert login("ml", server=SERVER, token="t", environment={}) == Direct(SERVER, "ml", "t")


def test_a_kubeconfig_is_kubectls_to_read() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert login("ml", kubeconfig="/k", context="c", environment=pod) == Kubectl(
        namespace="ml", context="c", kubeconfig="/k"
    )
    assert login(None, environment={}) == Kubectl()
    assert login(None, environment={**pod, "KUBECONFIG": "/k"}) == Kubectl()


def test_in_a_pod_its_service_account() -> None:
    with pytest.raises(KubectlError, match="this is no pod with a service account"):
        login(None, environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"server": SERVER, "token": "t", "kubeconfig": "/k"}, "not both"),
        ({"server": SERVER}, "name a bearer token"),
        ({"token": "t"}, "name its address"),
        ({"certificate_authority": "pem"}, "name its address"),
    ],
)
def test_half_a_login_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(KubectlError, match=said):
        login("ml", environment={}, **given)


def test_a_server_needs_a_namespace() -> None:
    with pytest.raises(KubectlError, match="name the namespace"):
        login(None, server=SERVER, token="t", environment={})
