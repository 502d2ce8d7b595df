"""What a cluster is to those who ask it: four verbs, by kubectl (kubectl.py) or by the API itself (direct.py)."""

from typing import Any, Final, Protocol

Json = dict[str, Any]

MANAGER: Final = "modelward-deploy"
"""The field manager of what pipelines write: managedFields shows which fields are a pipeline's."""


class Cluster(Protocol):
    """All raise KubectlError, or the subclass that says more."""

    @property
    def namespace(self) -> str | None:
        """None: that of kubectl's context."""

    def listed(self, resource: str, selector: str = "", *, everywhere: bool = False) -> list[Json]:
        """The objects of a kind."""

    def got(self, resource: str, name: str) -> Json:
        """One object. Raises NotFoundError."""

    def applied(self, resource: str, body: Json, *, force: bool = False) -> Json:
        """Server-side: the object as it is then. Raises ConflictError where another manager has one of the fields;
        `force` takes them over."""

    def created(self, resource: str, body: Json) -> Json:
        """The object. Raises ExistsError where its name is taken."""
