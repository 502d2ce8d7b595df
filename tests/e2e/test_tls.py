"""TLS towards clients with a real kubelet: a Secret that is missing, broken, there, and renewed."""

import json
import secrets
import ssl

import pytest
import urllib3
from examples.demo.cluster import forwarded

import certificates
from certificates import Certificate
from localcluster.clients import kubectl

from .model import Model, until


def write(namespace: str, name: str, made: Certificate) -> None:
    data = {file: content.decode() for file, content in made.files.items()}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    }
    # No field manager's copy of the key in an annotation.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))


def ready_by(model: Model, made: Certificate) -> bool:
    """Whether a client that trusts this certificate alone is answered."""
    trusting = ssl.create_default_context(cadata=made.chain.decode())
    with forwarded(model.namespace, model.name, 443) as address:
        http = urllib3.PoolManager(retries=False, timeout=10.0, ssl_context=trusting)
        try:
            return http.request("GET", f"https://{address}/v2/health/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False


@pytest.mark.timeout(900)
def test_a_secret_that_is_missing_broken_there_and_renewed(model: Model, namespace: str) -> None:
    name = f"tls-{secrets.token_hex(3)}"
    first, second = certificates.made(), certificates.made()
    model.apply()
    model.settle()
    plain = model.get()["status"]["url"]
    model.apply(router={"replicas": 1, "tls": {"secretName": name}})
    until(lambda: model.condition("Stalled")["reason"] == "CertificateMissing", "what is missing", 240.0)
    assert name in model.condition("Stalled")["message"]
    assert model.condition("Servable")["status"] == "True"
    assert model.get()["status"]["url"] == plain
    write(namespace, name, Certificate(first.chain, second.key))
    until(lambda: model.condition("Stalled")["reason"] == "CertificateInvalid", "what is wrong", 400.0)
    write(namespace, name, first)
    until(model.is_settled, "TLS", 400.0)
    until(lambda: ready_by(model, first), "an answer by TLS")
    status = model.get()["status"]
    assert status["url"] == f"https://{model.name}.{namespace}.svc"
    assert status["router"]["certificateExpires"]
    # Not those that end: of a router, its last requests may take a while.
    before = set(model.pod_names(None))
    write(namespace, name, second)
    until(lambda: ready_by(model, second), "the renewed certificate", 240.0)
    assert set(model.pod_names(None)) == before, "nothing was started anew"
    kubectl("delete", "secret", name, "-n", namespace)
