"""The API asked without kubectl: what is sent, and to whom; what each failure is called."""

from pathlib import Path

import pytest

from modelward_cli.direct import Direct, in_pod
from modelward_cli.kubectl import (
    MODELS,
    ConflictError,
    KubectlError,
    NoClusterError,
    NotAllowedError,
    NotFoundError,
)

from .apiserver import TOKEN, ApiServer
from .models import model


def test_objects_are_listed_and_got(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    cluster = server.cluster()
    assert [each["metadata"]["name"] for each in cluster.listed(MODELS)] == ["fraud"]
    assert cluster.got(MODELS, "fraud") == model()
    with pytest.raises(NotFoundError, match='"froud" not found'):
        cluster.got(MODELS, "froud")


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "a?x=1", "", "A", "--all"])
def test_a_name_is_no_path(server: ApiServer, name: str) -> None:
    with pytest.raises(NotFoundError, match="is no name of an object"):
        server.cluster().got(MODELS, name)
    assert not server.requests


@pytest.mark.parametrize("namespace", ["../kube-system", "a/b", "a b", "ML"])
def test_a_namespace_is_no_path(server: ApiServer, namespace: str) -> None:
    with pytest.raises(KubectlError, match="is no name of an object"):
        Direct(server.url, namespace, TOKEN)


def test_it_speaks_of_modelwards_kinds_alone(server: ApiServer) -> None:
    with pytest.raises(KubectlError, match="kubectl alone"):
        server.cluster().listed("secrets")
    assert not server.requests


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "https://user:pw@host", "ftp://host", "host:6443", "https://"]
)
def test_a_token_goes_by_tls_alone(address: str) -> None:
    with pytest.raises(KubectlError, match="has to be https://"):
        Direct(address, "ml", TOKEN)


def test_a_token_follows_no_redirect(server: ApiServer) -> None:
    server.location = "https://elsewhere.example.com/"
    with pytest.raises(KubectlError, match="HTTP 307"):
        server.cluster().listed(MODELS)
    assert len(server.requests) == 1


def test_another_servers_certificate_is_not_believed(server: ApiServer) -> None:
    with pytest.raises(NoClusterError, match="CERTIFICATE_VERIFY_FAILED"):
        Direct(server.url, "ml", TOKEN).listed(MODELS)
    assert not server.requests, "the token was not sent"
    with pytest.raises(KubectlError, match="is no PEM"):
        Direct(server.url, "ml", TOKEN, certificate_authority="nonsense").listed(MODELS)


@pytest.mark.parametrize("token", ["", " \n", "a\r\nHost: elsewhere", "ü"])
def test_what_is_no_token_is_not_sent(server: ApiServer, token: str) -> None:
    with pytest.raises(NotAllowedError, match="the token is empty, or holds what is no token"):
        server.cluster(token).listed(MODELS)
    assert not server.requests


def test_no_error_and_no_repr_shows_the_token(server: ApiServer) -> None:
    wrong = server.cluster("another-t0k3n")
    with pytest.raises(NotAllowedError) as caught:
        wrong.listed(MODELS)
    assert "expired" in str(caught.value)
    assert "another-t0k3n" not in str(caught.value) + repr(wrong)


@pytest.mark.parametrize(
    ("code", "content", "kind"),
    [
        (403, b'{"message": "forbidden: no patch"}', NotAllowedError),
        (409, b'{"reason": "Conflict", "message": "the object has been modified"}', ConflictError),
        (404, b"404 page not found", KubectlError),
        (422, b'{"message": "spec.model.uri: write s3://"}', KubectlError),
        (503, b"overloaded", NoClusterError),
        (500, b"[]", NoClusterError),
        (200, b"no json", KubectlError),
        (200, b"[]", KubectlError),
        (200, b"{}", KubectlError),
    ],
)
def test_each_failure_has_its_class_and_words(
    server: ApiServer, code: int, content: bytes, kind: type[KubectlError]
) -> None:
    server.broken = [(code, content)]
    with pytest.raises(KubectlError) as caught:
        server.cluster().listed(MODELS)
    assert type(caught.value) is kind


def test_where_nobody_listens_it_says_so() -> None:
    with pytest.raises(NoClusterError, match="does not answer"):
        Direct("https://127.0.0.1:1", "ml", TOKEN).listed(MODELS)


def test_in_a_pod_the_token_is_read_each_time(server: ApiServer, tmp_path: Path) -> None:
    for name, content in (("namespace", "ml\n"), ("ca.crt", server.authority), ("token", "old")):
        (tmp_path / name).write_text(content)
    host, port = server.url.removeprefix("https://").split(":")
    cluster = in_pod(None, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, tmp_path)
    with pytest.raises(NotAllowedError):
        cluster.listed(MODELS)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert cluster.listed(MODELS) == []
    (tmp_path / "token").unlink()
    with pytest.raises(NotAllowedError, match="can't be read"):
        cluster.listed(MODELS)
    with pytest.raises(KubectlError, match="this is no pod"):
        in_pod(None, {}, tmp_path)
