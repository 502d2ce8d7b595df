"""What a subcommand is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from modelward_cli.kubectl import Kubectl


@dataclass(frozen=True)
class Command:
    """`add`: its own arguments; `run`: returns the exit code, and may raise KubectlError, whose message is shown;
    `namespace`: what it asks about without --namespace."""

    name: str
    help: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Kubectl], int]
    namespace: str = "else that of kubectl's context"
