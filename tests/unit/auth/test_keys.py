"""Keys agree, and what is no key is not used."""

import base64

import pytest

from modelward_auth import keys
from modelward_auth.keys import BYTES, Agreement, G, KeyPair, P

ONE, OTHER = KeyPair.new(), KeyPair.new()


def test_both_sides_compute_the_same_and_nobody_else_does() -> None:
    found = keys.agreed(ONE.secret, OTHER.public)
    assert found == keys.agreed(OTHER.secret, ONE.public)
    assert found != keys.agreed(KeyPair.new().secret, OTHER.public)
    assert len(found) == BYTES


def test_a_blinded_agreement_is_the_same_each_time() -> None:
    agreement = Agreement(ONE)
    for other in (OTHER, KeyPair.new(), OTHER, OTHER):
        assert agreement.with_(other.public) == keys.agreed(ONE.secret, other.public)


def test_what_is_raised_is_never_what_the_other_side_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    agreement = Agreement(ONE)
    raised: list[int] = []

    def watched(base: int, exponent: int, modulus: int) -> int:
        raised.append(base)
        return pow(base, exponent, modulus)

    monkeypatch.setattr(keys, "pow", watched, raising=False)
    for _ in range(3):
        agreement.with_(OTHER.public)
    chosen = int.from_bytes(OTHER.public, "big")
    assert len({*raised}) == 3
    assert not {chosen, chosen * chosen % P} & {*raised}


def test_the_group_is_ffdhe3072() -> None:
    """RFC 7919, A.2: p = 2^3072 - 2^3008 + ([2^2942 * e] + 2625351) * 2^64 - 1, (p - 1) / 2 is prime."""
    assert P.bit_length() == 3072
    assert pow(G, (P - 1) // 2, P) == 1, "2 generates the squares"
    assert pow(3, P - 1, P) == 1
    e = (P + 1 + (1 << 3008) - (1 << 3072) >> 64) - 2625351
    assert e / (1 << 2942) == 2.718281828459045
    half = (P - 1) // 2
    assert pow(5, half - 1, half) == 1


@pytest.mark.parametrize("number", [0, 1, P - 1, P, P + 1, (1 << 3072) - 1])
def test_a_number_outside_of_the_group_is_no_key(number: int) -> None:
    raw = number.to_bytes(BYTES, "big")
    with pytest.raises(ValueError, match="outside of the group"):
        keys.parsed(base64.b64encode(raw).decode())
    with pytest.raises(ValueError, match="outside of the group"):
        keys.agreed(ONE.secret, raw)
    with pytest.raises(ValueError, match="outside of the group"):
        Agreement(ONE).with_(raw)


@pytest.mark.parametrize(
    "text", ["", "AAAA", "ä", "*" * 512, keys.shown(ONE.public)[:-4], keys.shown(ONE.public) + "AAAA"]
)
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        keys.parsed(text)


@pytest.mark.parametrize("secret", [0, 1, -5, 1 << 100, 1 << 288])
def test_a_secret_that_could_be_guessed_is_none(secret: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        KeyPair.of(secret)


def test_no_secret_is_shown() -> None:
    assert f"{ONE.secret}" not in repr(ONE)
    assert f"{ONE.secret:x}" not in repr(ONE)
