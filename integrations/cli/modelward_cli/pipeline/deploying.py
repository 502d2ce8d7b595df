"""A version named in a ModelDeployment that is there: the same as a commit to its YAML, for who has no GitOps.

Invariant: done twice, it changes nothing the second time; it writes spec.model.uri and spec.model.digest, and no other
field. Where Git, by Argo CD or Flux, owns these fields it is refused: two writers would fight over them.
Failure: KubectlError, or a subclass.
"""

import re
from dataclasses import dataclass
from typing import Final

from modelward_cli.cluster import Cluster, Json
from modelward_cli.fleet.read import model
from modelward_cli.fleet.state import Model, number, table, text
from modelward_cli.kubectl import MODELS, ConflictError, KubectlError

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_OWNER: Final = re.compile(r'conflicts? with "([^"]{1,200})"')


@dataclass(frozen=True)
class Version:
    """What spec.model is to say. `uri`: as spec.model.uri has it; `digest`: sha256:…, None: not pinned."""

    uri: str
    digest: str | None = None

    def __post_init__(self) -> None:
        if not self.uri or not self.uri.isprintable() or " " in self.uri:
            raise KubectlError(f"{self.uri[:80]!r} is no address of a model; for example models:/fraud/8")
        if self.digest is not None and not _DIGEST.fullmatch(self.digest):
            raise KubectlError(
                f"{self.digest[:80]!r} is no digest: sha256: and the 64 hex digits that sha256sum prints"
            )

    def __str__(self) -> str:
        return self.uri if self.digest is None else f"{self.uri} ({self.digest})"


@dataclass(frozen=True)
class Deployed:
    """`generation`: of spec, as it was after the write; `changed`: whether there was anything to write; `before`: what
    spec.model said until then."""

    model: str
    namespace: str
    version: Version
    before: Version
    generation: int | None
    changed: bool


def deploy(cluster: Cluster, name: str, version: Version, *, take_over: bool = False) -> Deployed:
    """`take_over`: also where another manager wrote these fields last."""
    shown = model(cluster, name)
    before = asked(shown)
    if (problem := obstacle(before, version)) is not None:
        raise KubectlError(f"{name}: {problem}")
    after = shown
    if before != version:
        try:
            after = Model(cluster.applied(MODELS, body(shown, version), force=take_over))
        except ConflictError as error:
            raise ConflictError(_conflict(name, str(error))) from None
    generation = number(table(after.body, "metadata"), "generation")
    return Deployed(name, shown.namespace, version, before, generation, before != version)


def asked(shown: Model) -> Version:
    """What spec.model says now."""
    said = table(table(shown.body, "spec"), "model")
    return Version(text(said, "uri") or "nothing", text(said, "digest"))


def obstacle(before: Version, version: Version) -> str | None:
    """Why the one can't follow the other; None: it can."""
    if before.digest and not version.digest and version.uri != before.uri:
        return (
            f"spec.model.digest pins the bytes of {before.uri}, and would refuse those of {version.uri}; name the "
            "digest of the new version, too"
        )
    if before.digest and not version.digest:
        return f"{before.uri} is pinned by spec.model.digest; name that digest, too, or take the pin away by hand"
    return None


def body(shown: Model, version: Version) -> Json:
    """What is applied. By its uid it can't make an object anew that somebody has deleted meanwhile."""
    about = table(shown.body, "metadata")
    said = {"uri": version.uri, **({"digest": version.digest} if version.digest else {})}
    return {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {name: about[name] for name in ("name", "namespace", "uid") if name in about},
        "spec": {"model": said},
    }


def _conflict(name: str, said: str) -> str:
    owners = sorted(set(_OWNER.findall(said)))
    if not owners:
        return said
    return (
        f"{name}: spec.model was written by {' and '.join(owners)}, and is not overwritten. Where Git owns it, by "
        "Argo CD or Flux, open a pull request there (docs/integrations/ci-cd.md): the next sync would undo any other "
        "change. Else take the fields over, once: --take-over, or take_over in a pipeline"
    )
