"""What every registry answers, and how it fails.

A registry is added by a class with these methods in a file of its own, a spec in api/modelregistry.py, and a line in
access.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelward.models.references import Reference
from modelward.models.resolved import Resolved
from modelward.models.write_back import Step


class RegistryError(Exception):
    """The reference means nothing now. `reason`: one CamelCase word; the message is a sentence with the cause and the
    cure, without times and counts (it ends up in conditions). `answered`: the registry itself said so, so it is there;
    `retry_after`: seconds for which it does not want to be asked again."""

    def __init__(self, reason: str, message: str, *, answered: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.answered = answered
        self.retry_after = retry_after


@dataclass(frozen=True)
class Login:
    """What a registry is asked with: entries of the Secret, and certificates (PEM) that are trusted besides."""

    secret: Mapping[str, str] = field(default_factory=dict)
    certificates: str | None = None


class Registry(Protocol):
    """One registry, as one look uses it."""

    async def resolve(self, reference: Reference, known: Resolved | None) -> Resolved:
        """What `reference` means now. `known`: what it meant before: what can't have changed is not asked again.

        Raises RegistryError.
        """
        ...

    async def write(self, step: Step) -> None:
        """Do it, or find that it is done. Raises RegistryError."""
        ...

    async def check(self) -> None:
        """Whether the registry answers this login. Raises RegistryError."""
        ...
