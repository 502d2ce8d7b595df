"""A version deployed: once, by two fields, and never against Git."""

from typing import Any

import pytest

from modelward_cli.kubectl import ConflictError, KubectlError, NotFoundError
from modelward_cli.pipeline.deploying import Version, deploy

from .apiserver import ApiServer
from .models import NEW, NEW_PIN, OLD, PIN, model


def spec(server: ApiServer) -> Any:
    return server.objects["modeldeployments", "fraud"]["spec"]


def test_a_version_is_deployed_once(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    first, again = (deploy(server.cluster(), "fraud", Version(NEW, NEW_PIN)) for _ in range(2))
    assert spec(server) == {"model": {"uri": NEW, "digest": NEW_PIN}, "replicas": 2}
    assert (first.changed, first.generation, first.before, first.namespace) == (True, 4, Version(OLD), "ml")
    assert (again.changed, again.generation, again.before) == (False, 4, Version(NEW, NEW_PIN))
    ((method, path, body),) = server.writes()
    assert (method, body["spec"]) == ("PATCH", {"model": {"uri": NEW, "digest": NEW_PIN}}), "and no other field"
    assert "fieldManager=modelward-deploy" in path
    assert "force=false" in path


def test_what_git_owns_is_not_overwritten(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.owners = {"uri": "argocd-controller"}
    with pytest.raises(ConflictError, match=r"written by argocd-controller.* open a pull request"):
        deploy(server.cluster(), "fraud", Version(NEW))
    assert spec(server)["model"] == {"uri": OLD}
    assert deploy(server.cluster(), "fraud", Version(NEW), take_over=True).changed
    assert spec(server)["model"] == {"uri": NEW}
    assert deploy(server.cluster(), "fraud", Version(OLD)).changed, "the field is the pipeline's by now"


def test_a_typing_error_makes_no_model(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    with pytest.raises(NotFoundError, match="did you mean fraud"):
        deploy(server.cluster(), "froud", Version(NEW))
    assert not server.writes()


def test_one_that_is_deleted_meanwhile_is_not_made_anew(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    deploy(server.cluster(), "fraud", Version(NEW))
    ((_, _, body),) = server.writes()
    assert body["metadata"]["uid"] == "u1", "by which the API server refuses it for another object, or none"


@pytest.mark.parametrize(
    ("now", "wanted", "said"),
    [
        (model(OLD, PIN), Version(NEW), "pins the bytes of .* name the digest of the new version"),
        (model(OLD, PIN), Version(OLD), "is pinned by spec.model.digest"),
    ],
)
def test_a_pin_is_never_left_behind(server: ApiServer, now: Any, wanted: Version, said: str) -> None:
    server.holds("modeldeployments", now)
    with pytest.raises(KubectlError, match=said):
        deploy(server.cluster(), "fraud", wanted)
    assert not server.writes()


@pytest.mark.parametrize("uri", ["", "a b", "s3://x\n", "s3://x\x1b[2J"])
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(KubectlError, match="is no address of a model"):
        Version(uri)


@pytest.mark.parametrize("digest", ["", "sha256:1", "1" * 64, "sha256:" + "G" * 64, "sha256:" + "1" * 65])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(KubectlError, match="is no digest"):
        Version(NEW, digest)
