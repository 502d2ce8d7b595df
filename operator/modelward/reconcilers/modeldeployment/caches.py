"""Looks at the claims that models name for their cache, beside the reconciles, and makes the namespace's key.

One look for each claim, however many models name it. Failure: what is known of a claim stays while the API server can't
be asked; a claim that may not be looked at is none. Without a key artifacts are kept, and no bundles.
"""

import base64
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from modelward.api import names
from modelward.kube.cache import Key
from modelward.kube.client import Api, ApiError
from modelward.kube.poller import PendingError, Poller, Question
from modelward.kube.resources import PERSISTENT_VOLUME_CLAIMS, SECRETS
from modelward.revisions.health.cache_claims import Trouble, judged, judged_key
from modelward.revisions.pods.cache_mounts import KEY, KEY_NAME

KIND: Final = "cache"
"""Of the poller's questions."""

EVERY, AGAIN = 60.0, 5.0
"""Seconds between two looks, and where something is wrong: somebody may be about to mend it."""

DISTRUST: Final = 3600.0
"""Seconds for which a claim is left out that kept a pod from beginning."""

KEY_BYTES: Final = 48


@dataclass(frozen=True)
class Known:
    """`unusable`: why the claim is not to be mounted; `trouble`: what else is wrong."""

    unusable: Trouble | None = None
    trouble: Trouble | None = None


class Claims(Protocol):
    """What a reconcile asks."""

    def look(self, owner: Key, claims: Collection[str]) -> tuple[dict[str, Known], float | None]: ...

    def distrust(self, namespace: str, claim: str, trouble: Trouble) -> None: ...

    def forget(self, owner: Key) -> None: ...


class CacheClaims:
    """`clock`: monotonic seconds; `every`: seconds between two looks where all is well."""

    def __init__(self, api: Api, poller: Poller, clock: Callable[[], float], every: float = EVERY) -> None:
        self._api = api
        self._poller = poller
        self._clock = clock
        self._at_rest = every
        self._known: dict[tuple[str, str], tuple[float, Known]] = {}
        self._asked: dict[Key, frozenset[str]] = {}
        self._distrust: dict[tuple[str, str], tuple[float, Known]] = {}

    def look(self, owner: Key, claims: Collection[str]) -> tuple[dict[str, Known], float | None]:
        """What is known of the claims, and the seconds until one is looked at again; None: a look is under way.

        Raises PendingError where nobody knows yet, or nobody has asked for long: pods must not be made anew because an
        operator has just begun.
        """
        before = self._asked.pop(owner, frozenset())
        for gone in before - set(claims):
            self._poller.drop(Question(KIND, owner, gone))
        if claims:
            self._asked[owner] = frozenset(claims)
        found: dict[str, Known] = {}
        waits: list[float] = []
        for claim in claims:
            question = Question(KIND, owner, claim)
            look = partial(self._look, owner.namespace, claim)
            left = self._poller.ask(question, look, self._every(owner, claim))
            known = self._known.get((owner.namespace, claim))
            if known is None or (claim not in before and self._clock() - known[0] > EVERY):
                raise PendingError
            found[claim] = self._distrusted(owner.namespace, claim) or known[1]
            waits += [] if left is None else [left]
        return found, min(waits, default=None)

    def distrust(self, namespace: str, claim: str, trouble: Trouble) -> None:
        """Leave the claim out for a while: it is as it should be, and pods that mount it don't begin."""
        if self._distrusted(namespace, claim) is None:
            self._distrust[namespace, claim] = (self._clock() + DISTRUST, Known(trouble))

    def _distrusted(self, namespace: str, claim: str) -> Known | None:
        until, known = self._distrust.get((namespace, claim), (float("-inf"), None))
        return known if self._clock() < until else None

    def forget(self, owner: Key) -> None:
        """It is gone, or another installation's."""
        for claim in self._asked.pop(owner, ()):
            self._poller.drop(Question(KIND, owner, claim))

    def _every(self, owner: Key, claim: str) -> float:
        known = self._known.get((owner.namespace, claim))
        return self._at_rest if known is not None and known[1] == Known() else AGAIN

    async def _look(self, namespace: str, claim: str) -> None:
        before = self._known.get((namespace, claim))
        fresh = self._at_rest / 2 if before is not None and before[1] == Known() else AGAIN / 2
        if before is not None and self._clock() - before[0] < fresh:
            return  # another model has just asked
        self._known[namespace, claim] = (self._clock(), await self._judged(namespace, claim))

    async def _judged(self, namespace: str, claim: str) -> Known:
        try:
            body = await self._api.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim)
        except ApiError as error:
            if error.status != 403:
                raise
            return Known(
                Trouble(
                    "ClaimForbidden",
                    f"The operator may not get PersistentVolumeClaim {claim} (spec.model.cache.claim), so that nobody "
                    "mounts it. Give its account the rule for persistentvolumeclaims of manifests/base/rbac.yaml",
                )
            )
        unusable = judged(claim, body)
        return Known(unusable) if unusable is not None else Known(trouble=await self._key(namespace))

    async def _key(self, namespace: str) -> Trouble | None:
        """Make the namespace's key where there is none."""
        try:
            found = await self._api.get(SECRETS, namespace, KEY_NAME)
        except ApiError as error:
            if error.status != 403:
                raise
            found = None  # an installation that reads no Secrets may make one all the same
        if found is not None:
            return judged_key(found)
        try:
            await self._api.create(SECRETS, namespace, _secret(namespace))
        except ApiError as error:
            if error.status == 409:  # it is there; or is being deleted, and the next look tells
                return None
            if not error.is_refusal:
                raise
            return Trouble(
                "CacheKeyForbidden",
                f"The operator may not make Secret {KEY_NAME} ({error.message.rstrip('.')}), so that each pod compiles "
                "its model itself. Give its account the rules of manifests/base/rbac.yaml, or make the Secret with an "
                f"entry `{KEY}` of 32 random bytes or more",
            )
        return None


def _secret(namespace: str) -> dict[str, object]:
    """Nobody changes it; who deletes it gets another one, and what was kept under the old one is made anew."""
    labels = {
        names.LABEL_NAME: "modelward-cache",
        names.LABEL_PART_OF: "modelward",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    metadata = {"name": KEY_NAME, "namespace": namespace, "labels": labels}
    text = base64.b64encode(secrets.token_bytes(KEY_BYTES))  # as text: a key is read without white space at its ends
    data = {KEY: base64.b64encode(text).decode()}
    return {
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "immutable": True, "data": data,
    }  # fmt: skip
