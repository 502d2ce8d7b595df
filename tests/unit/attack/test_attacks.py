"""The first attempts of each attack; `make attack` tries all of them, with an API server, and measures."""

import pytest

from attack import bodies, clients, files, impostors, pods, programs, store, surroundings  # noqa: F401  they register
from attack.attack import ATTACKS, Attack, attack, folder, tried
from localcluster import binaries

MOST = 2
"""Siblings of each attack that are tried here."""

HEAVY = {"a bomb of an archive", "bodies that cost", "bodies that unpack"}
"""Take a minute, or a gigabyte; tests/unit/inference has what holds them, in small."""

HERE = [name for name, one in ATTACKS.items() if not one.needs and not one.run.__module__.endswith("tenants")]


@pytest.fixture(scope="module", autouse=True)
def envoy(in_sight) -> None:  # type: ignore[no-untyped-def]
    with in_sight():
        binaries.envoy()


@pytest.mark.parametrize("name", [name for name in HERE if name not in HEAVY])
def test_it_does_no_harm(name: str) -> None:
    assert {each.sibling: each.harm for each in tried(ATTACKS[name], MOST) if each.harm} == {}


def test_harm_is_told_by_the_attempt_that_did_it() -> None:
    one = Attack("one", "nothing burns", folder, {"water": "", "fire": "it burnt"}, lambda _, harm: str(harm))
    assert [(each.sibling, each.harm) for each in tried(one)] == [("water", ""), ("fire", "it burnt")]


def test_what_breaks_down_has_not_been_tried() -> None:
    def breaks(*_: object) -> str:
        raise OSError("no victim")

    with pytest.raises(OSError, match="no victim"):
        list(tried(Attack("one", "nothing burns", folder, {"a": 1}, breaks)))
    assert attack("p", {})(breaks) is breaks
    del ATTACKS["breaks"]
