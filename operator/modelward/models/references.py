"""Addresses in spec.model.uri that a registry has to resolve: parsed, and nothing asked. Pure.

A reference that names an alias (`models:/fraud@champion`), or a SageMaker group without a version, is followed: what it
means changes with the registry. Every other one is pinned: what it meant first it means for as long as spec says it.
Forms: https://mlflow.org/docs/latest/ml/model-registry/ and, for packages, SageMaker's `ModelPackageArn`.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from modelward.api.modelregistry import MLFLOW, SAGE_MAKER

_ALIAS: Final = re.compile(r"models:/([^/@]+)@([^/@]+)")
_VERSION: Final = re.compile(r"models:/([^/@]+)/([1-9][0-9]{0,9})")
_LOGGED: Final = re.compile(r"models:/(m-[0-9a-f]{8,64})")
_RUN: Final = re.compile(r"runs:/([0-9a-f]{32})/(.+)")
_GROUP: Final = re.compile(r"sagemaker://([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})(?:/([1-9][0-9]{0,9}))?")
_PACKAGE: Final = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]{1,30}:[0-9]{12}:model-package/"
    r"([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})(?:/([1-9][0-9]{0,9}))?"
)

FORMS: Final = (
    "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID, runs:/RUN/PATH, sagemaker://GROUP, "
    "sagemaker://GROUP/VERSION "
    "or the ARN of a model package"
)


class NoReferenceError(ValueError):
    """What looks like a reference and is none; the message names the forms."""


@dataclass(frozen=True)
class Alias:
    """The version that has `alias` now."""

    name: str
    alias: str


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: str


@dataclass(frozen=True)
class LoggedModel:
    """A model of a tracking server that need not be registered."""

    model_id: str


@dataclass(frozen=True)
class RunModel:
    """What a run logged under `path`."""

    run_id: str
    path: str


@dataclass(frozen=True)
class Package:
    """A version of a SageMaker group; `version`: None: the newest that is approved."""

    group: str
    version: str | None = None
    arn: str | None = None


Reference = Alias | Version | LoggedModel | RunModel | Package


def kind_of(uri: str) -> str | None:
    """MLflow or SageMaker; None for an address that needs no registry."""
    if uri.startswith(("models:", "runs:")):
        return MLFLOW
    return SAGE_MAKER if uri.startswith(("sagemaker:", "arn:")) else None


def is_followed(uri: str) -> bool:
    """Whether what it means may change."""
    try:
        found = parse(uri)
    except NoReferenceError:
        return False
    return isinstance(found, Alias) or (isinstance(found, Package) and found.version is None)


def parse(uri: str) -> Reference:
    """Raises NoReferenceError."""
    if found := _ALIAS.fullmatch(uri):
        return Alias(unquote(found[1]), unquote(found[2]))
    if found := _VERSION.fullmatch(uri):
        return Version(unquote(found[1]), found[2])
    if found := _LOGGED.fullmatch(uri):
        return LoggedModel(found[1])
    if found := _RUN.fullmatch(uri):
        return RunModel(found[1], found[2])
    if found := _GROUP.fullmatch(uri):
        return Package(found[1], found[2])
    if found := _PACKAGE.fullmatch(uri):
        return Package(found[1], found[2], uri)
    raise NoReferenceError(f"{uri} is no reference to a model; write {FORMS}")
