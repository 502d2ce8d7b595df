"""What a user wrote of a model and its pods, as spec has it: the part by which a revision is what it is, and no other.

It is kept beside a revision that spec may not ask for any more, so that its pods can be made anew. Fields left at their
defaults are left out: what a later operator adds changes nothing.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Model, Spec, parse_pods


def asked_of(spec: Spec, model: Model) -> dict[str, Any]:
    """That part of spec, of `model`: spec's own, or that of a variant."""
    found = {
        "model": {"uri": model.uri, **said(model)},
        "resources": said(spec.resources),
        "server": said(spec.server),
        "serviceAccountName": spec.service_account_name,
        "monitor": None if spec.monitor is None else said(spec.monitor),
        "predictionLog": None if spec.prediction_log is None else said(spec.prediction_log),
        "template": dict(spec.template),
        "runtime": None if spec.runtime is None else said(spec.runtime),
        "features": None if spec.features is None else said(spec.features),
    }
    # A monitor with nothing but defaults is one all the same.
    return {name: value for name, value in found.items() if value is not None and (value or name == "monitor")}


def as_asked(spec: Spec, asked: Mapping[str, Any]) -> Spec | None:
    """`spec` with that part as it was; None where it can't be read."""
    try:
        found = parse_pods(asked)
    except InvalidObjectError:
        return None
    return replace(
        spec, model=found.model, resources=found.resources, server=found.server,
        service_account_name=found.service_account_name, monitor=found.monitor, prediction_log=found.prediction_log,
        template=found.template, runtime=found.runtime, features=found.features,
    )  # fmt: skip


def said(value: Any, *, as_field: bool = False) -> Any:
    """The fields of a dataclass that are not left at their defaults, by the names that spec has for them, or with
    `as_field` by their own: then without what shapes no pod (`intent` in its metadata)."""
    if is_dataclass(value):
        shown = ((each.name, getattr(value, each.name), each) for each in fields(value))
        return {
            name if as_field else _camel(name): said(told, as_field=as_field)
            for name, told, each in shown
            if told != _default(each) and (each.metadata.get("intent", True) or not as_field)
        }
    if isinstance(value, tuple):
        return [said(each, as_field=as_field) for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _default(each: "Field[Any]") -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
