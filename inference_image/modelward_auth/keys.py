"""Diffie-Hellman keys: two sides that know each other's public key have a secret that nobody else has.

The group is ffdhe3072 of RFC 7919, as strong as a cipher of 128 bits. Both sides' keys are static, as in dhStatic of
NIST SP 800-56A (6.3.1): what a pod computes with its own key is of no use with any other pod.

Python's `pow` takes a time that hangs on its arguments, and a pod may choose the key that the operator raises: the
operator blinds it (Kocher 1996, section 10), so that the time says nothing of its secret.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

P: Final = int(
    "ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695a9e13641146433fbcc939dce249b3ef97d2fe363630c75d8"
    "f681b202aec4617ad3df1ed5d5fd65612433f51f5f066ed0856365553ded1af3b557135e7f57c935984f0c70e0e68b77e2a689daf3efe872"
    "1df158a136ade73530acca4f483a797abc0ab182b324fb61d108a94bb2c8e3fbb96adab760d7f4681d4f42a3de394df4ae56ede76372bb19"
    "0b07a7c8ee0a6d709e02fce1cdf7e2ecc03404cd28342f619172fe9ce98583ff8e4f1232eef28183c3fe3b1b4c6fad733bb5fcbc2ec22005"
    "c58ef1837d1683b2c6f34a26c1b2effa886b4238611fcfdcde355b3b6519035bbc34f4def99c023861b46fc9d6e6c9077ad91d2691f7f7ee"
    "598cb0fac186d91caefe130985139270b4130c93bc437944f4fd4452e2d74dd364f2e21e71f54bff5cae82ab9c9df69ee86d2bc522363a0d"
    "abc521979b0deada1dbf9a42d5c4484e0abcd06bfa53ddef3c1b20ee3fd59d7c25e41d2b66c62e37ffffffffffffffff",
    16,
)
"""A safe prime: (P - 1) / 2 is prime, too."""

G: Final = 2
"""Generates the squares, whose number is (P - 1) / 2."""

SECRET_BITS: Final = 288
"""RFC 7919 asks for 275 at least."""

BYTES: Final = 384
"""Of a public key."""


@dataclass(frozen=True)
class KeyPair:
    """`secret`: an exponent, never shown; `public`: BYTES bytes."""

    secret: int = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, secret: int) -> Self:
        """Raises ValueError for what is no secret."""
        if secret.bit_length() > SECRET_BITS or secret < 1 << (SECRET_BITS // 2):
            raise ValueError(f"a secret has at most {SECRET_BITS} bits, and no fewer than half of them")
        return cls(secret, pow(G, secret, P).to_bytes(BYTES, "big"))

    @classmethod
    def new(cls) -> Self:
        return cls.of(secrets.randbits(SECRET_BITS) | 1 << (SECRET_BITS - 1))

    @property
    def identifier(self) -> str:
        return identifier(self.public)


def identifier(public: bytes) -> str:
    """Names a key in requests; the key itself would be long."""
    return hashlib.sha256(public).hexdigest()[:16]


def shown(public: bytes) -> str:
    """A public key as text."""
    return base64.b64encode(public).decode()


def parsed(text: str) -> bytes:
    """The inverse of `shown`. Raises ValueError for what is no key that may be used."""
    try:
        public = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"this is no key: {error}") from None
    if len(public) != BYTES:
        raise ValueError(f"a key has {BYTES} bytes, not {len(public)}")
    _element(public)
    return public


def agreed(secret: int, public: bytes) -> bytes:
    """What both sides compute, of BYTES bytes. Raises ValueError for a public key that may not be used."""
    element = _element(public)
    return pow(element * element % P, secret, P).to_bytes(BYTES, "big")


class Agreement:
    """The same as `agreed`, for one secret and keys that others choose: their time tells nothing of the secret."""

    def __init__(self, own: KeyPair) -> None:
        self._secret = own.secret
        blind = secrets.randbits(SECRET_BITS)
        self._blind = pow(G, blind, P)
        self._unblind = pow(pow(int.from_bytes(own.public, "big"), blind, P), -1, P)

    def with_(self, public: bytes) -> bytes:
        element = _element(public)
        blinded = element * element * self._blind % P
        found = pow(blinded, self._secret, P) * self._unblind % P
        self._blind, self._unblind = self._blind * self._blind % P, self._unblind * self._unblind % P
        return found.to_bytes(BYTES, "big")


def _element(public: bytes) -> int:
    """Squared before it is used, so that the subgroup of two elements, the only small one, tells nothing either."""
    element = int.from_bytes(public, "big")
    if not 1 < element < P - 1:
        raise ValueError("this is no key: its number is outside of the group")
    return element
