"""The first attempts of a tenant's attacks, on the tier's API server; `make attack` tries all of them."""

import pytest

from attack import tenants
from attack.attack import ATTACKS, tried
from nodeless.cluster import Cluster

NAMES = [name for name, one in ATTACKS.items() if one.run.__module__ == tenants.__name__]


@pytest.mark.parametrize("name", NAMES)
def test_it_does_no_harm(name: str, cluster: Cluster) -> None:
    assert {each.sibling: each.harm for each in tried(ATTACKS[name], 1, on=cluster) if each.harm} == {}
