"""Enforces NetworkPolicies in the cluster. kind's own network does that; on the one node, kube-router's controller.

Off by default on the one node: its rules are in the machine's own network until `down`.
"""

from localcluster import binaries, debian, kind, onenode, settings
from localcluster.progress import step


def up() -> bool:
    """Enforce them from now on. Whether that was not so before. What is refused follows within seconds."""
    if kind.is_chosen():
        return False
    debian.ensure(debian.POLICY_PACKAGES)
    engine = str(binaries.network_policies())
    command = [engine, str(settings.kubeconfig_path()), settings.NODE_NAME, settings.SERVICE_CIDR]
    with step("enforcing NetworkPolicies"):
        return onenode.process(onenode.POLICIES).start(command)


def down() -> None:
    """Let everything through again; the rules are taken away."""
    if not kind.is_chosen():
        onenode.process(onenode.POLICIES).stop()
