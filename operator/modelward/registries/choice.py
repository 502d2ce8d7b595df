"""Which ModelRegistry of the namespace a ModelDeployment's reference is resolved by. Pure."""

from collections.abc import Iterable

from modelward.api.modeldeployment import Model
from modelward.api.modelregistry import MLFLOW, ModelRegistry
from modelward.models.following import NoRegistry
from modelward.models.references import NoReferenceError, kind_of, parse


def chosen(model: Model, registries: Iterable[ModelRegistry]) -> ModelRegistry | NoRegistry:
    """`registries`: of the namespace, those that are not being deleted."""
    kind = kind_of(model.uri)
    try:
        parse(model.uri)
    except NoReferenceError as error:
        return NoRegistry("NoReference", f"spec.model.uri: {error}")
    known = sorted(registries, key=lambda each: each.name)
    if model.registry is not None:
        named = next((each for each in known if each.name == model.registry), None)
        if named is None:
            return NoRegistry(
                "RegistryMissing",
                f"There is no ModelRegistry {model.registry} in this namespace, which spec.model.registry names. "
                f"Create "
                "it, or correct the name",
            )
        if named.serves != kind:
            return NoRegistry(
                "WrongRegistry",
                f"ModelRegistry {named.name} is for {named.serves}, and {model.uri} is of {kind}. Name another one in "
                "spec.model.registry",
            )
        return named
    fitting = [each for each in known if each.serves == kind]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(each.name for each in fitting[:5])
        return NoRegistry(
            "RegistryAmbiguous",
            f"There are several ModelRegistries for {kind} in this namespace ({names}). Name one in "
            f"spec.model.registry",
        )
    field = "spec.mlflow.url" if kind == MLFLOW else "spec.sageMaker.region"
    return NoRegistry(
        "RegistryMissing",
        f"{model.uri} needs a ModelRegistry for {kind} in this namespace, and there is none. Create one with {field}",
    )
