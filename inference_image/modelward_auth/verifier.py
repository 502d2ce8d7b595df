"""Whether a request comes from the operator, and is for this very process, now, and for the first time.

The operator's public keys are in a file that changes while the process runs (a ConfigMap's mount): a key that is gone
from it counts no more. Failure: everything that is not certain is refused, with what was wrong; where the pod has no
key or knows no operator, everything is.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelward_auth import keys, messages
from modelward_auth.messages import Request, Session

log = logging.getLogger(__name__)

BEHIND: Final = 60_000
"""Milliseconds that a request may be old by the pod's clock."""

AHEAD: Final = 5_000
"""Milliseconds that the operator's clock may be ahead of the pod's. A process takes nothing that may be older than
itself, so it takes nothing at all for so long: an earlier process of the pod may have answered that."""

MOST_USED: Final = 10_000
"""Numbers of requests that are remembered; the operator makes some hundred in a minute."""

MOST_KEYS: Final = 4
"""Of the operator; it has two while one follows another."""

_MAX_FILE: Final = 16 << 10
"""Bytes."""

_OPEN: Final = "OPERATOR_UNAUTHENTICATED"


class RefusedError(Exception):
    """The request is not to be answered. The text says why, and is for whoever asked. `early`: the process has only
    begun, and the same question, asked anew, is answered in some seconds."""

    def __init__(self, message: str, *, early: bool = False) -> None:
        super().__init__(message)
        self.early = early


class SettingError(ValueError):
    """A variable is wrong."""


@dataclass(frozen=True)
class Accepted:
    """`mac`: of the request, which the answer's proof covers; `digest`: that the body must have."""

    session: Session
    mac: str
    digest: str


class OperatorKeys:
    """The operator's public keys, as the file has them now. `own`: the pod's secret."""

    def __init__(self, path: Path, own: keys.KeyPair) -> None:
        self._path, self._own = path, own
        self._seen: tuple[int, ...] | None = None
        self._sessions: dict[str, Session] = {}

    def session(self, identifier: str) -> Session | None:
        """With the operator's key of this identifier, None where there is no such key."""
        self._look()
        return self._sessions.get(identifier)

    def _look(self) -> None:
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen == self._seen:
                return
            with self._path.open() as file:
                lines = file.read(_MAX_FILE).split()[:MOST_KEYS]
        except (OSError, UnicodeDecodeError) as error:
            if self._seen is not None or not self._sessions:
                log.debug("the operator's keys can't be read: %s", error)
            self._seen, self._sessions = None, {}
            return
        known: dict[str, Session] = {}
        for line in lines:
            try:
                public = keys.parsed(line)
                name = keys.identifier(public)
                known[name] = self._sessions.get(name) or Session.of(
                    keys.agreed(self._own.secret, public), public, self._own.public
                )
            except ValueError as error:
                log.error("%s has a line that is no key: %s", self._path, error)
        self._seen, self._sessions = seen, known


class Verifier:
    """`operators`: None where the process has no key of its own; `clock`: seconds since the epoch."""

    def __init__(self, audience: str, operators: OperatorKeys | None, clock: Callable[[], float] = time.time) -> None:
        self._audience = audience
        self._operators = operators
        self._clock = clock
        self._used: dict[str, int] = {}
        self._after = self._now() + AHEAD
        """Only requests that were made after this can't have been answered before: by an earlier process of the pod, or
        by this one, which has forgotten their numbers since."""
        if operators is not None:
            operators.session("")  # computed now, and not while somebody waits

    def check(self, text: str | None, method: str, target: str) -> Accepted:
        """`text`: the header, None where there is none. Raises RefusedError."""
        if self._operators is None:
            raise RefusedError("this process knows no operator, so it answers this to nobody")
        if text is None:
            raise RefusedError(f"only the operator may ask this, by the header {messages.HEADER}")
        claim = messages.claim(text)
        if claim is None:
            raise RefusedError(f"{messages.HEADER} can't be read")
        session = self._operators.session(claim.key)
        if session is None:
            raise RefusedError(f"the key {claim.key} is not the operator's here, or not yet")
        request = Request(self._audience, method, target, claim.moment, claim.nonce, claim.digest)
        if not messages.equal(request.mac(session), claim.mac):
            raise RefusedError("the signature is not of this request, to this pod and process")
        now = self._now()
        if not now - BEHIND <= claim.moment <= now + AHEAD:
            apart = (claim.moment - now) / 1000
            raise RefusedError(
                f"the request is of another time: the clocks of operator and pod differ by {apart:.0f} s"
            )
        if claim.moment <= self._after:
            raise RefusedError("the request may be older than this process; ask again in some seconds", early=True)
        if claim.nonce in self._used:
            raise RefusedError("the request was made before; each is answered once")
        self._remember(claim.nonce, claim.moment, now)
        return Accepted(session, claim.mac, claim.digest)

    def _remember(self, nonce: str, moment: int, now: int) -> None:
        """Only what the operator signed comes here: nobody else fills this."""
        self._used[nonce] = moment
        oldest = next(iter(self._used))
        while now - self._used[oldest] > BEHIND or len(self._used) > MOST_USED:
            # Whatever the clock does after this, what is forgotten is not taken again.
            self._after = max(self._after, self._used.pop(oldest))
            oldest = next(iter(self._used))

    def _now(self) -> int:
        return int(self._clock() * 1000)


def from_environment(process: str, environment: Mapping[str, str] = os.environ) -> Verifier | None:
    """The pod's side, by POD_KEY, OPERATOR_KEYS and POD_UID; None where whoever asks is to be answered.

    Raises SettingError. A key that can't be read is no reason not to serve: the operator is refused then.
    """
    opened = environment.get(_OPEN, "").strip().lower() or "false"
    if opened not in ("true", "false"):
        raise SettingError(f"{_OPEN} is {opened[:50]!r}; set it to true or false")
    if opened == "true":
        return None
    audience = messages.audience(environment.get("POD_UID", ""), process)
    file, known = environment.get("POD_KEY", ""), environment.get("OPERATOR_KEYS", "")
    if not file or not known:
        return Verifier(audience, None)
    try:
        own = keys.KeyPair.of(int(Path(file).read_text(), 16))
    except (OSError, ValueError) as error:
        log.error("the pod's key can't be read, so nothing is told to the operator: %s", error)
        return Verifier(audience, None)
    return Verifier(audience, OperatorKeys(Path(known), own))


def make_key(path: Path) -> str:
    """Make the pod's key, for nobody else's eyes; returns the public one, to be announced.

    One that is there already stays: a download may run again beside processes that have read it.
    """
    try:
        return keys.shown(keys.KeyPair.of(int(path.read_text(), 16)).public)
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
    made = keys.KeyPair.new()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(f"{made.secret:x}")
    return keys.shown(made.public)
