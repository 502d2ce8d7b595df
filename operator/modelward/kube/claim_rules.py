"""Which installation of the operator works on a namespace, where there are several in a cluster. Pure.

An installation for some namespaces claims each of them; one for all namespaces claims all that nobody has claimed by
name. A claim lasts until somebody deletes it: an installation that is down for an upgrade must not lose its models to
another, which would move every pod to its own images and settings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Claim:
    """`since`: RFC 3339, when the API server took it; `uid` settles the order of two of one second. `namespace`: where
    it lies. `holder`: the installation, by the namespace of its operator. `settled`: the holder has waited until the
    last write of whoever had it before had arrived."""

    since: str
    uid: str
    namespace: str
    name: str
    holder: str
    of_all: bool = False
    settled: bool = field(default=False, compare=False)

    @property
    def authentic(self) -> bool:
        """A claim of all namespaces lies in its installation's own."""
        return not self.of_all or self.namespace == self.holder


def claim_on(namespace: str, claims: Iterable[Claim]) -> Claim | None:
    """The claim that counts: the namespace's own, else the oldest of all namespaces; None: nobody's."""
    counting = sorted((each for each in claims if each.authentic), key=lambda each: (each.of_all, each))
    return next((each for each in counting if each.of_all or each.namespace == namespace), None)


def refusal(namespace: str, claim: Claim | None, installation: str) -> str | None:
    """Why `installation` leaves the namespace alone, in a sentence; None where it works on it."""
    if claim is not None and claim.holder == installation:
        return None
    if claim is None:
        return f"namespace {namespace} is not claimed yet, and is left alone until it is"
    what = "every namespace that nobody else has" if claim.of_all else "it"
    return (
        f"namespace {namespace} is left alone: the installation in namespace {claim.holder or '(none)'} has claimed "
        f"{what}, since {claim.since}. Where that one does not work there any more, delete its claim: "
        f"kubectl delete lease {claim.name} -n {claim.namespace}"
    )
