"""The one place where a ModelDeployment gets the model that it is to serve; all else reads `spec.model` of it.

What a registry says is taken from what was heard of it last; where that is nothing (an operator that starts anew, a
registry that can't be reached), from what status recorded. So a registry that is down changes nothing of what runs.
"""

from dataclasses import replace
from typing import Protocol

from modelward.api import modeldeployment, modelregistry
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Model, ModelDeployment
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.resources import MODEL_REGISTRIES, RETRAINING_RUNS
from modelward.models.following import Following, Said, Trouble, following_of
from modelward.models.references import kind_of
from modelward.models.resolved import resolved_model
from modelward.registries.choice import chosen
from modelward.retraining.effective import Accepted, Effective, effective_model


class Knows(Protocol):
    """What registries said, as Registries.said tells it."""

    def said(self, registry: ModelRegistry, reference: str) -> Said | None: ...


def is_reference(body: Object) -> bool:
    """Whether a ModelDeployment names what a registry has to resolve."""
    return kind_of(str(((body.get("spec") or {}).get("model") or {}).get("uri") or "")) is not None


def registries_of(cache: Cache, namespace: str) -> list[ModelRegistry]:
    """Those of a namespace that can be read and stay."""
    found = []
    for body in cache.of_namespace(MODEL_REGISTRIES, namespace):
        try:
            found.append(modelregistry.parse(body))
        except InvalidObjectError:
            continue  # its own reconcile tells of that
    return [each for each in found if not each.deleting]


def registry_named(cache: Cache, namespace: str, name: str) -> ModelRegistry | None:
    """The one of that name, where it can be read and stays."""
    body = cache.get(MODEL_REGISTRIES, namespace, name)
    try:
        found = None if body is None else modelregistry.parse(body)
    except InvalidObjectError:
        return None
    return None if found is None or found.deleting else found


def as_served(
    body: Object, cache: Cache, knows: Knows | None = None, now: float = 0.0
) -> tuple[ModelDeployment, Effective, Following | None]:
    """The ModelDeployment with the effective model in its spec, whose that is, and how it stands with its registry.

    `now`: seconds since the epoch. Raises InvalidObjectError. Where nothing is known of a reference, spec.model stays
    what it is, and no pods may be made from it: `Following.usable` says so.
    """
    owner = modeldeployment.parse(body)
    runs = cache.children(Key(owner.namespace, owner.name), RETRAINING_RUNS)
    if kind_of(owner.spec.model.uri) is None:
        effective = effective_model(body, runs)
        return _serving(owner, effective, owner.spec.model), effective, None
    registries = registries_of(cache, owner.namespace)
    registry = chosen(owner.spec.model, registries)
    reference, asked = owner.spec.model.uri, registry if isinstance(registry, ModelRegistry) else None
    said = knows.said(asked, reference) if knows is not None and asked is not None else None
    following = following_of(reference, owner.status, registry, said, now)
    effective = effective_model(body, runs, following.resolution)
    if effective.by is not None:
        return _by_run(owner, effective, effective.by, asked, following)
    if not following.usable or following.resolution is None or asked is None:
        return owner, effective, replace(following, usable=False)
    model = resolved_model(owner.spec.model, following.resolution, asked)
    return replace(owner, spec=replace(owner.spec, model=model)), effective, following


def _by_run(
    owner: ModelDeployment, effective: Effective, by: Accepted, registry: ModelRegistry | None, following: Following
) -> tuple[ModelDeployment, Effective, Following]:
    """A retraining run's model: an address, or a version of the registry, from where pods download it."""
    if by.registration is None:
        return _serving(owner, effective, owner.spec.model), effective, replace(following, usable=True)
    resolution = None if registry is None else by.resolution(registry)
    if registry is None or resolution is None:
        # As for spec's own reference: no pod gets a login for an address that it was not resolved at.
        moved = Trouble(
            "RegistryMoved",
            f"The run {by.run} brought {by.registration.uri} of the registry at {by.registration.address}, which no "
            "ModelRegistry has any more that spec.model names. Correct it, or run anew",
        )
        return owner, effective, replace(following, usable=False, trouble=following.trouble or moved)
    model = resolved_model(replace(owner.spec.model, digest=by.model.digest), resolution, registry)
    return replace(owner, spec=replace(owner.spec, model=model)), effective, replace(following, usable=True)


def _serving(owner: ModelDeployment, effective: Effective, asked: Model) -> ModelDeployment:
    if effective.by is None:
        return owner
    model = replace(asked, uri=effective.model.uri, digest=effective.model.digest)
    return replace(owner, spec=replace(owner.spec, model=model))
