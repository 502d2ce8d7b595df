"""What is signed, and how: a request of the operator's to one process of one pod, and the answer to this very request.

A request's signature covers who it is for, method, address, body, time and a number that is used once; the answer's
covers the request's signature, status and body. Keys of either direction come from the agreed secret by HKDF (RFC
5869), with both public keys; signatures are HMAC-SHA256 (RFC 2104).
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

HEADER: Final = "x-modelward-auth"
"""Of a request."""

PROOF: Final = "x-modelward-proof"
"""Of an answer."""

SERVER, MONITOR = "server", "monitor"
"""The processes of a pod."""

_FORM: Final = re.compile(
    r"v1 key=([0-9a-f]{16}) time=([0-9]{1,15}) nonce=([0-9a-f]{32}) body=([0-9a-f]{64}) mac=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Session:
    """What operator and pod sign with: `request` what the operator asks, `answer` what the pod answers."""

    request: bytes = field(repr=False)
    answer: bytes = field(repr=False)

    @classmethod
    def of(cls, agreed: bytes, operator: bytes, pod: bytes) -> Self:
        """`agreed`: as keys.agreed has it; `operator`, `pod`: their public keys."""
        extracted = hmac.digest(b"modelward v1", agreed, "sha256")
        both = hashlib.sha256(operator + pod).digest()
        return cls(*(hmac.digest(extracted, side + both + b"\x01", "sha256") for side in (b"request", b"answer")))


@dataclass(frozen=True)
class Request:
    """`audience`: see `audience`; `target`: path and query as they are sent; `moment`: milliseconds since the epoch;
    `digest`: of the body."""

    audience: str
    method: str
    target: str
    moment: int
    nonce: str
    digest: str

    def mac(self, session: Session) -> str:
        said = (self.audience, self.method, self.target, str(self.moment), self.nonce, self.digest)
        return hmac.digest(session.request, b"request\n" + "\n".join(said).encode(), "sha256").hex()


@dataclass(frozen=True)
class Claim:
    """A request's header, as it came; nothing of it is known to be true. `key`: the operator's, by its identifier."""

    key: str
    moment: int
    nonce: str
    digest: str
    mac: str


def audience(pod: str, process: str) -> str:
    """Who a request is for. `pod`: its uid; `process`: SERVER or MONITOR."""
    return f"{pod}/{process}"


def asked(audience: str, method: str, target: str, body: bytes, moment: int) -> Request:
    """A new request, with a number of its own."""
    return Request(audience, method, target, moment, secrets.token_hex(16), digest(body))


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def header(request: Request, key: str, session: Session) -> str:
    """The request's header."""
    mac = request.mac(session)
    return f"v1 key={key} time={request.moment} nonce={request.nonce} body={request.digest} mac={mac}"


def claim(text: str) -> Claim | None:
    """The inverse of `header`, as far as one can tell; None for another text."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    key, moment, nonce, body, mac = found.groups()
    return Claim(key, int(moment), nonce, body, mac)


def proof(session: Session, mac: str, status: int, body: bytes) -> str:
    """The header of the answer to the request that had this `mac`."""
    said = f"answer\n{mac}\n{status}\n{digest(body)}"
    return f"v1 {hmac.digest(session.answer, said.encode(), 'sha256').hex()}"


def equal(one: str, other: str) -> bool:
    """In a time that does not hang on where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
