"""Where a pod asks for features: never what is the node's or the cloud's, whatever leads there."""

import pytest

from modelward_inference.features.addresses import is_allowed


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "0.0.0.0", "::",
        "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.9.10",
        "fd00:ec2::23", "fd00:100::100:200", "fd20:ce::254", "192.0.0.192", "fd00:c1::a9fe:a9fe", "fd00:42::42",
        "fd00:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_what_is_the_nodes_or_the_clouds_is_refused(address: str) -> None:
    assert not is_allowed("feast.features", address)


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1"])
def test_services_and_the_world_are_allowed(address: str) -> None:
    assert is_allowed("feast.features", address)


def test_the_pod_itself_is_allowed_in_plain_words() -> None:
    """A feature server may run beside the model."""
    assert is_allowed("localhost", "127.0.0.1")
    assert is_allowed("LOCALHOST", "::1")
    assert is_allowed("127.0.0.1", "127.0.0.1")
    assert not is_allowed("169.254.169.254", "169.254.169.254"), "but no other plain words"
