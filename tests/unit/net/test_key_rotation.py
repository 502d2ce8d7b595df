"""The operator's keys over time."""

import itertools
from collections.abc import Callable

import pytest

from modelward.net.key_rotation import KNOWN_BEFORE, ROTATE_AFTER, Held, Ring, advanced, dump, load
from modelward_auth.keys import KeyPair, shown

DAY = 86_400.0


@pytest.fixture(scope="module")
def pairs() -> list[KeyPair]:
    return [KeyPair.new() for _ in range(6)]


@pytest.fixture
def new(pairs: list[KeyPair]) -> Callable[[], KeyPair]:
    return iter(itertools.cycle(pairs)).__next__


def test_a_year_of_keys(pairs: list[KeyPair], new: Callable[[], KeyPair]) -> None:
    """Pods know each key for an hour before it signs, and each that signs is known; none lives much longer than due."""
    ring, now, known_since = Ring(), 0.0, dict[str, float]()
    while now < 365 * DAY:
        ring = advanced(ring, now, new)
        for each in ring.public():
            known_since.setdefault(each, now)
        known_since = {name: since for name, since in known_since.items() if name in ring.public()}
        signing = ring.signing(now)
        assert signing is not None
        since = known_since[shown(signing.public)]
        assert since == 0.0 or now - since >= KNOWN_BEFORE
        assert now - since <= ROTATE_AFTER + KNOWN_BEFORE + 2 * 600
        assert len(ring.held) <= 2
        now += 600.0
    assert len(ring.held) >= 1


def test_the_first_key_signs_at_once_and_nothing_is_written_where_nothing_is_due(new: Callable[[], KeyPair]) -> None:
    ring = advanced(Ring(), 5.0, new)
    assert ring.signing(5.0) is ring.held[0].pair
    for now in (5.0, 100.0, ROTATE_AFTER):
        assert advanced(ring, now, new) is ring


def test_keys_of_a_clock_that_was_wrong_do_not_stay_for_ever(pairs: list[KeyPair], new: Callable[[], KeyPair]) -> None:
    future = Ring((Held(pairs[5], 100 * 365 * DAY),))
    found = advanced(future, 0.0, new)
    assert [each.made for each in found.held] == [0.0]


def test_without_keys_nothing_signs() -> None:
    assert Ring().signing(0.0) is None
    assert Ring().public() == ()


def test_what_is_stored_comes_back(pairs: list[KeyPair]) -> None:
    ring = Ring((Held(pairs[0], 1.0), Held(pairs[1], 2.5)))
    assert load(dump(ring)) == ring
    assert load(dump(Ring(ring.held[::-1]))) == ring
    assert load(dump(ring), ring.held).held[0].pair is pairs[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        "[7]",
        '[{"secret": "f"}]',
        '[{"secret": "f", "made": 1}]',
        '[{"secret": "x", "made": 1}]',
        '{"a": 1}',
    ],
)
def test_what_is_no_ring_is_told(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says
        load(text)
