"""The arguments, and who carries them out. A subcommand is a value of `COMMANDS`.

The inference package has a program of the same name, with other verbs (`save`, `reference`, `drift report`). Where both
are installed in one environment, whichever came last has the name: each hands the other's verbs on.
"""

import argparse
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelward_cli import __version__
from modelward_cli.commands import debug, deploy, drift, lineage, quality, report, rollout, status, ui
from modelward_cli.commands.command import Command
from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.layout import plain

COMMANDS: Final[tuple[Command, ...]] = (
    status.COMMAND, ui.COMMAND, deploy.COMMAND, rollout.COMMAND, drift.COMMAND, quality.COMMAND, report.COMMAND,
    lineage.COMMAND,
    debug.COMMAND,
)  # fmt: skip

OTHER: Final = "modelward_inference"

OPTIONS: Final = frozenset(
    ("-n", "--namespace", "--context", "--kubeconfig", "--kubectl", "-o", "--output", "--exit-code")
)
"""Of our `drift`."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-") and not takes(given) and importlib.util.find_spec(OTHER):
        other = importlib.import_module(f"{OTHER}.cli")
        if given[0] in other.names():  # a slip is told below, with our own verbs: they are a person's
            return int(other.main(given))
    options = _parser().parse_args(given)
    kubectl = Kubectl(options.kubectl, options.namespace, options.context, options.kubeconfig)
    command = next(each for each in COMMANDS if each.name == options.verb)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names are in every alphabet, terminals are not
    try:
        code = command.run(options, kubectl)
        sys.stdout.flush()
        return code
    except KubectlError as error:
        told = "\n".join(map(plain, f"modelward {command.name}: {error}".splitlines()))
        print(told, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python itself writes at the end
        return 1


def names() -> set[str]:
    """Of the subcommands."""
    return {each.name for each in COMMANDS}


def takes(given: Sequence[str]) -> bool:
    """Whether these arguments are for us. `drift report --out …` is the other program's: our `drift` has a policy's
    name there, and none of those options."""
    if not given or given[0] not in names():
        return False
    named = {each.partition("=")[0] for each in given[2:] if each.startswith("-")}
    return not (list(given[:2]) == ["drift", "report"] and named - OPTIONS)


def _parser() -> argparse.ArgumentParser:
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    parser = argparse.ArgumentParser(
        prog="kubectl modelward" if plugin else "modelward",
        description="Ask a cluster about the models that Modelward serves there, and steer their rollouts.",
    )
    parser.add_argument("--version", action="version", version=f"modelward {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for each in COMMANDS:
        verb = verbs.add_parser(each.name, help=each.help, description=each.help)
        each.add(verb)
        verb.add_argument("-n", "--namespace", help=each.namespace)
        verb.add_argument("--context", help="kubectl's context, else its current one")
        verb.add_argument("--kubeconfig", help="else what kubectl finds")
        verb.add_argument("--kubectl", default="kubectl", metavar="PROGRAM", help="the kubectl to ask with")
    return parser
