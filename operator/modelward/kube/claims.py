"""Keeps installations of the operator off each other's namespaces: claims, read again and again, and a fence.

A claim is a Lease that is made once and not renewed (kube/claim_rules.py says why). The leader of each installation
reads the claims every LOOK_EVERY seconds and writes to a namespace only while what it read is younger than FRESH;
whoever gets a namespace that may have been another's waits HANDOVER before the first write, and notes on the claim
that it has: the next leader need not wait again, but has to where this one did not come so far. So a claim that an
administrator deletes passes on without two writing at once, whoever of them is slow.

Failure: claims that can't be read are nobody's; nothing is written until they can.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from modelward.api import names
from modelward.kube.claim_rules import Claim, claim_on, refusal
from modelward.kube.client import WRITE_TIMEOUT, Api, ApiError, ApiUnreachableError
from modelward.kube.resources import CLAIMS

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 10.0
"""Seconds between two looks: one request for each watched namespace, or one list for all."""

FRESH: Final = 2.5 * LOOK_EVERY
"""Seconds that a look counts from its beginning: two may fail."""

HANDOVER: Final = FRESH + WRITE_TIMEOUT + 3.0
"""Seconds after which the last write of a former holder has arrived."""

NAME, NAME_OF_ALL = "modelward-claim", "modelward-claim-all"

_CONFLICT = 409


class Claims:
    """`installation`: the namespace of the operator. `namespaces`: that it is for; None: all. `clock`: monotonic."""

    def __init__(
        self,
        api: Api,
        installation: str,
        namespaces: tuple[str, ...] | None,
        clock: Callable[[], float],
        handover: float = HANDOVER,
    ) -> None:
        self._api = api
        self._installation = installation
        self._namespaces = namespaces
        self._clock = clock
        self._handover = handover
        self._claims: tuple[Claim, ...] | None = None
        self._looked_at = float("-inf")
        self._quiet: dict[str | None, float] = {}
        """Until when a namespace (None: each) may still be written to by whoever had it before."""
        self._waited_for: set[str] = set()
        """Uids of our claims that were not settled when they were first seen."""
        self._told: dict[str, str] = {}

    def refusal(self, namespace: str) -> str | None:
        """Why the namespace is left alone, in a sentence; None where it is this installation's."""
        return refusal(namespace, claim_on(namespace, self._claims or ()), self._installation)

    def wait(self, namespace: str) -> float:
        """Seconds until what a former holder has sent has arrived; 0 where there is nothing to wait for."""
        until = max(self._quiet.get(each, 0.0) for each in (namespace, None))
        return max(0.0, until - self._clock())

    def may_write(self, namespace: str) -> bool:
        """The fence."""
        fresh = self._clock() < self._looked_at + FRESH
        return fresh and self.refusal(namespace) is None and self.wait(namespace) == 0.0

    async def look(self, namespaces: tuple[str, ...] | None) -> bool:
        """Read all claims, and make those that are missing. Whether any changed. Raises ApiError, ApiUnreachableError.

        `namespaces`: of those that this installation is for the ones that it may read; None: all.
        """
        asked_at = self._clock()
        found = await (self._look_at_all() if namespaces is None else self._look_at_each(namespaces))
        known, self._claims = self._claims, tuple(sorted(found))
        self._looked_at = asked_at
        if known is not None:
            self._pass_on(known, self._claims)
        await self._settle(self._claims)
        return known != self._claims

    def tell(self, namespaces: set[str]) -> None:
        """Say in the log which of `namespaces` are left alone, once for each change."""
        told = {each: why for each in sorted(namespaces) if (why := self.refusal(each)) is not None}
        for namespace, why in told.items():
            if self._told.get(namespace) != why:
                log.warning("%s", why)
        for namespace in self._told.keys() - told.keys():
            log.info("namespace %s is this installation's now", namespace)
        self._told = told

    @property
    def left_alone(self) -> frozenset[str]:
        """The namespaces that others have claimed, as last told."""
        return frozenset(self._told)

    def _pass_on(self, known: tuple[Claim, ...], claims: tuple[Claim, ...]) -> None:
        """Note of whom a claim went away that counted until now."""
        for gone in {each for each in known if each.holder != self._installation} - set(claims):
            self._quiet[None if gone.of_all else gone.namespace] = self._clock() + self._handover

    async def _look_at_each(self, namespaces: tuple[str, ...]) -> list[Claim]:
        found = await asyncio.gather(*(self._look_at(each) for each in namespaces))
        return [each for each in found if each is not None]

    async def _look_at(self, namespace: str) -> Claim | None:
        """None: there can be no claim (a right is missing, or the namespace is going); others must not wait for it."""
        try:
            while (found := await self._api.get(CLAIMS, namespace, NAME)) is None:
                # Who had it until now may be an installation for all namespaces, of which nothing is seen here.
                if (made := await self._make(namespace, NAME, of_all=False)) is not None:
                    return made
        except ApiError as error:
            if not error.is_refusal:
                raise
            log.warning("namespace %s can't be claimed: %s", namespace, error)
            return None
        return _claim(found)

    async def _look_at_all(self) -> list[Claim]:
        found = await self._list()
        if not any(each.of_all and each.authentic and each.holder == self._installation for each in found):
            await self._make(self._installation, NAME_OF_ALL, of_all=True)
            # Listed again: of two that make theirs at once, each sees the other's now.
            found = await self._list()
        return found

    async def _settle(self, claims: tuple[Claim, ...]) -> None:
        """Wait for what may still be on its way to what is newly ours, then note that it was waited for."""
        alone = self._namespaces is None and all(each.holder == self._installation for each in claims)
        for claim in claims:
            if claim.holder != self._installation or claim.settled or not claim.authentic:
                continue
            place = None if claim.of_all else claim.namespace
            if claim.uid not in self._waited_for and not alone:
                self._waited_for.add(claim.uid)
                self._quiet[place] = self._clock() + self._handover
            if self._clock() >= self._quiet.get(place, 0.0):
                await self._note_settled(claim)

    async def _note_settled(self, claim: Claim) -> None:
        patch = {"metadata": {"annotations": {names.ANNOTATION_SETTLED: self._installation}}}
        path, content = CLAIMS.path(claim.namespace, claim.name), "application/merge-patch+json"
        try:
            await self._api.request("PATCH", CLAIMS, path, body=patch, content_type=content)
        except (ApiError, ApiUnreachableError) as error:
            log.warning(
                "the claim %s/%s can't be changed; the next leader will wait: %s", claim.namespace, claim.name, error
            )

    async def _list(self) -> list[Claim]:
        return [_claim(body) async for page in self._api.pages(CLAIMS) for body in page]

    async def _make(self, namespace: str, name: str, *, of_all: bool) -> Claim | None:
        """None: somebody else was faster. What is made is not settled yet."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        labels = {names.LABEL_CLAIM: "all" if of_all else "namespace", names.LABEL_MANAGED_BY: names.MANAGED_BY}
        body = {
            "apiVersion": CLAIMS.api_version,
            "kind": CLAIMS.kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"holderIdentity": self._installation, "acquireTime": now},
        }
        try:
            made = await self._api.request("POST", CLAIMS, CLAIMS.path(namespace), body=body)
        except ApiError as error:
            if error.status == _CONFLICT:
                return None
            raise
        log.info("claimed %s for the installation in namespace %s", "every namespace" if of_all else namespace,
                 self._installation)  # fmt: skip
        return _claim(made)


def _claim(body: dict[str, Any]) -> Claim:
    metadata, spec = body["metadata"], body.get("spec") or {}
    # Without the label an installation for all namespaces would not find it, so it is nobody's.
    labelled = names.LABEL_CLAIM in (metadata.get("labels") or {})
    return Claim(
        since=metadata["creationTimestamp"],
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        holder=str(spec.get("holderIdentity") or "") if labelled else "",
        of_all=metadata["name"] == NAME_OF_ALL,
        # By name: a claim whose holder somebody changed is newly the other's.
        settled=(metadata.get("annotations") or {}).get(names.ANNOTATION_SETTLED) == spec.get("holderIdentity"),
    )
