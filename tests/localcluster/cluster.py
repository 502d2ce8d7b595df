"""The cluster, whichever kind it is: what the command line and the tests call."""

from pathlib import Path

from localcluster import binaries, kind, onenode, settings


def up() -> None:
    kind.up() if kind.is_chosen() else onenode.up()


def down() -> None:
    kind.down() if kind.is_chosen() else onenode.down()


def status() -> dict[str, object]:
    return kind.status() if kind.is_chosen() else onenode.status()


def kubeconfig() -> Path:
    return settings.kubeconfig_path()


def kubectl() -> Path:
    return binaries.kubectl()


def audit_log() -> Path | None:
    """Every write to the API server, one JSON object a line; kind has none."""
    return None if kind.is_chosen() else onenode.plane().audit_log
