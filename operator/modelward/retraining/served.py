"""The one place where a ModelDeployment gets the model that it is to serve; all else reads `spec.model` of it."""

from dataclasses import replace

from modelward.api import modeldeployment
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.resources import RETRAINING_RUNS
from modelward.retraining.effective import Effective, effective_model


def as_served(body: Object, cache: Cache) -> tuple[ModelDeployment, Effective]:
    """The ModelDeployment with the effective model in its spec, and whose that is. Raises InvalidObjectError."""
    owner = modeldeployment.parse(body)
    effective = effective_model(body, cache.children(Key(owner.namespace, owner.name), RETRAINING_RUNS))
    if effective.by is None:
        return owner, effective
    model = replace(owner.spec.model, uri=effective.model.uri, digest=effective.model.digest)
    return replace(owner, spec=replace(owner.spec, model=model)), effective
