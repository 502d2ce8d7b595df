"""Signs what the operator asks of pods, and checks that it was this pod that answered.

A pod is known by the key that its download announced in its termination message: the kubelet alone reports that. One
that was made before pods had keys is asked without a signature, as it always was, and that is told; one that has a key
never is.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelward import telemetry
from modelward.facts import PodFacts
from modelward.runtimes.runtime import MODELWARD
from modelward_auth import keys, messages
from modelward_auth.keys import Agreement, KeyPair
from modelward_auth.messages import Session

log = logging.getLogger(__name__)

REMEMBERED: Final = 20_000
"""Pods whose agreement is kept: one takes some ten milliseconds to compute, and some hundred bytes."""


class NoCredentialError(Exception):
    """The pod can't be asked in a way that it and the operator could trust. The text says why, in words of ours."""


class NotYetError(NoCredentialError):
    """Its download still runs, so nobody else of the pod does either."""


@dataclass(frozen=True)
class Signed:
    """One request. `header`: of it."""

    header: str
    _mac: str
    _session: Session

    def proves(self, status: int, body: bytes, proof: str | None) -> bool:
        """Whether the answer is this pod's, to this very request."""
        return proof is not None and messages.equal(proof, messages.proof(self._session, self._mac, status, body))


class Credentials:
    """`signing`: the operator's key of the moment, None where it has none; `now`: seconds since the epoch."""

    def __init__(self, signing: Callable[[], KeyPair | None], now: Callable[[], float]) -> None:
        self._signing = signing
        self._now = now
        self._agreement: tuple[str, Agreement] | None = None
        self._computing = asyncio.Lock()
        self._sessions: OrderedDict[tuple[str, str, str], Session] = OrderedDict()
        self._unsigned: OrderedDict[str, None] = OrderedDict()

    def sign(self, pod: PodFacts, process: str, method: str, target: str, body: bytes) -> Signed | None:
        """None for a pod that knows no signatures. `target`: path and query, as they are sent. Raises
        NoCredentialError."""
        if pod.key is None:
            self._tell(pod)
            return None
        own = self._signing()
        if own is None:
            raise NoCredentialError("the operator has no key to ask it with; see the operator's log")
        session = self._session(own, pod)
        request = messages.asked(messages.audience(pod.uid, process), method, target, body, int(self._now() * 1000))
        telemetry.POD_REQUESTS.labels("signed").inc()
        return Signed(messages.header(request, own.identifier, session), request.mac(session), session)

    async def prepare(self, pod: PodFacts) -> None:
        """Compute what `sign` needs of a pod beside the event loop: of many new pods, those that are asked already
        would run out of their time meanwhile. Raises NoCredentialError."""
        own = self._signing()
        if not pod.key or own is None or _name(own, pod) in self._sessions:
            return
        async with self._computing:
            if _name(own, pod) not in self._sessions:
                self._keep(own, pod, await asyncio.to_thread(self._computed, own, pod))

    def _session(self, own: KeyPair, pod: PodFacts) -> Session:
        session = self._sessions.get(_name(own, pod)) or self._computed(own, pod)
        self._keep(own, pod, session)
        return session

    def _computed(self, own: KeyPair, pod: PodFacts) -> Session:
        if not pod.key:
            if all(each.exit_code != 0 for each in pod.containers if each.name == MODELWARD.containers.download):
                raise NotYetError("its download has not ended")
            raise NoCredentialError("its download announced no key; run operator and pods of the same version")
        if self._agreement is None or self._agreement[0] != own.identifier:
            self._agreement = (own.identifier, Agreement(own))
        try:
            public = keys.parsed(pod.key)
        except ValueError:
            raise NoCredentialError("the key that it announced is none") from None
        return Session.of(self._agreement[1].with_(public), own.public, public)

    def _keep(self, own: KeyPair, pod: PodFacts, session: Session) -> None:
        self._sessions[_name(own, pod)] = session
        self._sessions.move_to_end(_name(own, pod))
        while len(self._sessions) > REMEMBERED:
            self._sessions.popitem(last=False)

    def _tell(self, pod: PodFacts) -> None:
        telemetry.POD_REQUESTS.labels("none").inc()
        if pod.uid in self._unsigned:
            return
        log.warning(
            "%s/%s was made by an earlier version: it is asked without a signature until its model rolls out anew",
            pod.namespace, pod.name,
        )  # fmt: skip
        self._unsigned[pod.uid] = None
        while len(self._unsigned) > REMEMBERED:
            self._unsigned.popitem(last=False)


def _name(own: KeyPair, pod: PodFacts) -> tuple[str, str, str]:
    """Of a session."""
    return own.identifier, pod.uid, pod.key or ""
