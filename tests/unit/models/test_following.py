"""What is made of what a registry says: when it counts, and when what is known stays."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.modeldeployment import Model, SecretReference
from modelward.api.modelregistry import ConfigMapReference, Mlflow, ModelRegistry, SageMaker, Spec
from modelward.models.following import WAITING, Following, NoRegistry, Said, Trouble, following_of
from modelward.models.resolved import Resolved, recorded, resolved_model, show
from modelward.registries.choice import chosen

ALIAS, PINNED, GROUP = "models:/fraud@champion", "models:/fraud/3", "sagemaker://fraud"
THIRD = Resolved("mlflow-artifacts:/1/models/m-3/artifacts", "3", "champion", created=5.0, lineage={"runId": "r"})
FOURTH = replace(THIRD, uri="mlflow-artifacts:/1/models/m-4/artifacts", version="4")
DOWN = Trouble("Unreachable", "It can't be reached")


def registry(name: str = "mlflow", url: str = "http://mlflow:5000", **spec: Any) -> ModelRegistry:
    return ModelRegistry("ml", name, f"uid-{name}", 1, Spec(**({"mlflow": Mlflow(url)} | spec)))


def status(reference: str = ALIAS, found: Resolved = THIRD, at: float = 100.0) -> dict[str, Any]:
    """As it is stored after a first answer."""
    said = Said(registry().address, found)
    resolution = following_of(reference, {}, registry(), said, at).resolution
    assert resolution is not None
    return {"model": {"uri": found.uri, "lineage": dict(found.lineage), "reference": show(resolution)}}


def follow(said: Said | None, reference: str = ALIAS, stored: Any = None, **more: Any) -> Following:
    one = more.get("registry", registry())
    return following_of(reference, status(reference) if stored is None else stored, one, said, 200.0)


def said(found: Resolved | None = THIRD, trouble: Trouble | None = None) -> Said:
    return Said(registry().address, found, trouble)


def test_what_is_stored_is_what_was_resolved() -> None:
    found = recorded(status())
    assert found is not None
    assert (found.resolved, found.since, found.reference) == (THIRD, 100.0, ALIAS)
    assert recorded({}) is recorded({"model": {"reference": {"uri": 1}}}) is recorded({"model": None}) is None


def test_an_alias_that_moved_is_another_version_since_now() -> None:
    same, moved = follow(said()), follow(said(FOURTH))
    assert same.resolution is not None
    assert moved.resolution is not None
    assert (same.resolution.since, same.resolution.resolved.version) == (100.0, "3")
    assert (moved.resolution.since, moved.resolution.resolved.version, moved.trouble) == (200.0, "4", None)


@pytest.mark.parametrize("answer", [None, said(None, DOWN), said(THIRD, DOWN)])
def test_while_the_registry_says_nothing_what_is_stored_stays(answer: Said | None) -> None:
    found = follow(answer)
    assert found.usable
    assert found.resolution is not None
    assert (found.resolution.resolved.version, found.resolution.since) == ("3", 100.0)
    assert found.trouble == (answer.trouble if answer else None)


def test_what_nobody_ever_resolved_is_waited_for_and_then_told() -> None:
    first, then = follow(None, stored={}), follow(said(None, DOWN), stored={})
    assert (first.usable, first.trouble and first.trouble.reason) == (False, WAITING)
    assert (then.usable, then.trouble) == (False, DOWN)
    other = follow(None, "models:/fraud@other", stored=status())
    assert (other.usable, other.resolution) == (False, None)


def test_another_address_counts_once_it_has_said_something() -> None:
    """It may hold other models under the same names."""
    elsewhere = registry(url="http://new:5000")
    before = follow(None, registry=elsewhere)
    assert not before.usable
    assert before.resolution is not None, "so that what runs is known to be of this reference"
    after = follow(Said(elsewhere.address, THIRD), registry=elsewhere)
    assert after.usable
    assert after.resolution is not None
    assert (after.resolution.address, after.resolution.since) == (elsewhere.address, 100.0)


def test_without_a_registry_nothing_is_made_anew() -> None:
    found = follow(None, registry=NoRegistry("RegistryMissing", "There is none"))
    assert (found.usable, found.trouble and found.trouble.reason) == (False, "RegistryMissing")
    assert found.resolution is not None


def test_a_pinned_version_never_moves() -> None:
    found = follow(said(FOURTH), PINNED)
    assert (found.usable, found.trouble and found.trouble.reason) == (True, "PinnedSourceChanged")
    assert found.resolution is not None
    assert found.resolution.resolved.uri == THIRD.uri


def test_a_package_whose_approval_is_taken_back_goes_on() -> None:
    second = replace(THIRD, uri="s3://models/fraud/2", version="2")
    back, on = follow(said(second), GROUP), follow(said(FOURTH), GROUP)
    assert (back.trouble and back.trouble.reason, back.resolution and back.resolution.resolved.version) == (
        "NoLongerApproved", "3",
    )  # fmt: skip
    assert (on.trouble, on.resolution and on.resolution.resolved.version) == (None, "4")
    alias = follow(said(second), ALIAS)
    assert alias.resolution is not None
    assert alias.resolution.resolved.version == "2", "an alias goes where somebody sets it"


def test_pods_get_what_their_download_needs_and_no_more() -> None:
    one = registry(credentials_secret=SecretReference("login"), ca_bundle=ConfigMapReference("ca"))
    resolution = follow(said()).resolution
    assert resolution is not None
    asked = Model(ALIAS, format="skops", registry="mlflow")
    made = resolved_model(asked, resolution, one)
    assert (made.uri, made.version, made.format, made.registry) == (THIRD.uri, "3", "skops", None)
    assert (made.access.tracking_uri, made.access.secret, made.access.ca_bundle) == (
        "http://mlflow:5000",
        "login",
        "ca",
    )
    in_s3 = replace(resolution, resolved=replace(THIRD, uri="s3://models/fraud/3"))
    assert resolved_model(asked, in_s3, one).access.secret is None, "a tracking server's login is nothing to a store"
    aws = ModelRegistry(
        "ml", "aws", "u", 1, Spec(sage_maker=SageMaker("eu-west-1"), credentials_secret=SecretReference("k"))
    )
    given = resolved_model(asked, in_s3, aws).access
    assert (given.secret, given.region) == ("k", "eu-west-1")
    own = replace(asked, credentials_secret=SecretReference("mine"))
    assert resolved_model(own, in_s3, aws).access.secret is None


@pytest.mark.parametrize(
    ("model", "registries", "reason"),
    [
        (Model(ALIAS), (), "RegistryMissing"),
        (Model(ALIAS), (registry("a"), registry("b")), "RegistryAmbiguous"),
        (Model(ALIAS, registry="c"), (registry("a"),), "RegistryMissing"),
        (Model(GROUP, registry="a"), (registry("a"),), "WrongRegistry"),
        (Model(GROUP), (registry("a"),), "RegistryMissing"),
        (Model("models:/fraud"), (registry("a"),), "NoReference"),
    ],
)
def test_why_there_is_no_registry_to_ask(model: Model, registries: tuple[ModelRegistry, ...], reason: str) -> None:
    found = chosen(model, registries)
    assert isinstance(found, NoRegistry)
    assert found.reason == reason


def test_the_registry_is_the_one_that_is_named_or_the_only_one_that_fits() -> None:
    aws = ModelRegistry("ml", "aws", "u", 1, Spec(sage_maker=SageMaker("eu-west-1")))
    assert chosen(Model(ALIAS), (aws, registry("a"))) == registry("a")
    assert chosen(Model(ALIAS, registry="b"), (registry("a"), registry("b"))) == registry("b")
