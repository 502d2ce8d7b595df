"""A run that reports a reference: its model is what the registry says that means, once it has said so. Pure.

Only a version, never an alias, and only where spec.model names a model in that registry, too: then its author was asked
for the right to the registry, whose login the downloads get. Until the registry answers the run goes on, with what
holds it up, until its deadline.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from modelward.api.modeldeployment import Model
from modelward.api.modelregistry import ModelRegistry
from modelward.models.following import NoRegistry, Said
from modelward.models.references import is_followed, kind_of
from modelward.models.write_back import package_of
from modelward.registries.choice import chosen
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Outcome, Registration

WAITING = "WaitingForRegistry"


def reference_of(outcome: Outcome | None) -> str | None:
    """What a run reported, where only a registry can say what that is."""
    if outcome is None or outcome.state != runs.SUCCEEDED or outcome.report is None:
        return None
    uri = outcome.report.model.uri
    return None if kind_of(uri) is None else uri


def registered(
    outcome: Outcome | None,
    asked: Model,
    registries: Iterable[ModelRegistry],
    about: Callable[[ModelRegistry, str], Said | None],
) -> Outcome | None:
    """`outcome` with the address in the place of the reference that was reported; as it was where there is none.

    `asked`: spec.model of the target; `registries`: of its namespace; `about`: what one is known to say of a reference.
    """
    uri = reference_of(outcome)
    if outcome is None or outcome.report is None or uri is None:
        return outcome
    report = outcome.report
    if is_followed(uri) or kind_of(asked.uri) != kind_of(uri):
        return outcome  # it is told what is wrong with it
    registry = chosen(Model(uri, registry=asked.registry), registries)
    if isinstance(registry, NoRegistry):
        told = registry.message.replace("spec.model.uri", "its report")
        return Outcome(runs.WAITS, f"The run brought {uri}. {told}", delay=registry.reason)
    said = about(registry, uri)
    if said is None:
        told = f"Waiting for ModelRegistry {registry.name} to say what {uri} is, which the run brought"
        return Outcome(runs.WAITS, told, delay=WAITING)
    if said.resolved is None:
        trouble = said.trouble
        told = f"The run brought {uri}. {trouble.message if trouble else ''}"
        return Outcome(runs.WAITS, told, delay=trouble.reason if trouble else WAITING)
    found = said.resolved
    made = replace(
        report,
        model=Artifact(found.uri, report.model.digest or found.digest),
        version=report.version or found.version,
        registration=Registration(
            uri, registry.address, found.version, package_of(found), registry.name, found.lineage
        ),
    )
    return replace(outcome, report=made)
