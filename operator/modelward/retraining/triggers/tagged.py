"""Which version a run registered: the newest of the model that spec.model names, with the run's name in its tag.

For pipelines that register what they train, and have no way to tell of it. The registry is the one that the
ModelDeployment is resolved by, so nobody's login is used for what its author was not asked a right for.
"""

from typing import Final

from modelward.api import modeldeployment
from modelward.api.invalid import InvalidObjectError
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Cache
from modelward.kube.resources import MODEL_DEPLOYMENTS
from modelward.models.following import NoRegistry
from modelward.models.references import Alias, NoReferenceError, Version, parse
from modelward.registries.access import FAILURES, Access
from modelward.registries.choice import chosen
from modelward.registries.mlflow import MlflowRegistry
from modelward.retraining.lifecycle.report import ReportError
from modelward.retraining.lifecycle.run import Artifact, Report
from modelward.retraining.served import registries_of
from modelward.retraining.triggers.outgoing import NeverError, NotNowError
from modelward.retraining.triggers.trigger import Order

TAG: Final = "modelward.run"


class TaggedVersion:
    """By the registries of the policy's namespace."""

    def __init__(self, cache: Cache, access: Access) -> None:
        self._cache = cache
        self._access = access

    async def report(self, order: Order) -> Report:
        """Raises NotNowError, NeverError, ReportError, ApiError, ApiUnreachableError."""
        name, registry = self._asked(order)
        try:
            opened = await self._access.opened(registry, lambda _bytes: None)
            if not isinstance(opened, MlflowRegistry):
                raise NeverError("Only an MLflow registry is searched for what a run registered; let the run tell")
            version = await opened.tagged(name, TAG, order.run.name)
        except FAILURES as error:
            trouble = self._access.trouble(registry, error, f"{order.policy.namespace}/{order.run.name}")
            raise NotNowError(f"The run ended well; of its model: {trouble.message}", trouble.reason) from None
        if version is None:
            raise ReportError(
                f"no version of {name} in ModelRegistry {registry.name} has the tag {TAG}={order.run.name}; let the "
                "run set it on the version that it registers"
            )
        return Report(Artifact(f"models:/{name}/{version}"), version)

    def _asked(self, order: Order) -> tuple[str, ModelRegistry]:
        body = self._cache.get(MODEL_DEPLOYMENTS, order.policy.namespace, order.run.target)
        try:
            asked = None if body is None else modeldeployment.parse(body).spec.model
            reference = None if asked is None else parse(asked.uri)
        except (InvalidObjectError, NoReferenceError):
            asked = reference = None
        if asked is None or not isinstance(reference, Alias | Version):
            raise NeverError(
                "Its model is to be told by the registry, and spec.model.uri of the ModelDeployment names no model in "
                "one: write models:/NAME@ALIAS there, or let the run tell (result.source: Run)"
            )
        registry = chosen(asked, registries_of(self._cache, order.policy.namespace))
        if isinstance(registry, NoRegistry):
            raise NotNowError(f"The run ended well. {registry.message}", registry.reason)
        return reference.name, registry
