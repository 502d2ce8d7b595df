"""`status [MODEL]`: all models, the worst first, or one in full: what serves, what it waits for, drift, last run.

Exit code 0: it is told; 1: it could not be; with --exit-code 4: one of them is not as it should be.
"""

import argparse
import json
import sys
import time

from modelward_cli.commands.command import Command
from modelward_cli.fleet.document import document
from modelward_cli.fleet.read import fleet, unknown
from modelward_cli.fleet.text import one, overview
from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.layout import wrapped

TOLD, NOT_WELL = 0, 4


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="one ModelDeployment in full, else a table of all")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="models of every namespace")
    parser.add_argument("--exit-code", action="store_true", help="end with 4 where one is not ready, drifts or failed")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    if options.model and options.all_namespaces:
        raise KubectlError("a model is one of a namespace: name that with -n, and leave out -A")
    found = fleet(kubectl, everywhere=options.all_namespaces)
    shown = [each for each in found.models if options.model in (None, each.name)]
    if options.model and not shown:
        raise unknown(kubectl, options.model, "ModelDeployment", [each.name for each in found.models])
    if options.output == "json":
        print(json.dumps(document(shown, found.notes), indent=2))
    else:
        now = time.time()
        lines = one(shown[0], now) if options.model else overview(shown, now, everywhere=options.all_namespaces)
        notes = [line for note in found.notes for line in wrapped(note, 0)]
        sys.stdout.write("\n".join([*lines, *([""] if notes else []), *notes]) + "\n")
    return NOT_WELL if options.exit_code and not all(each.is_well for each in shown) else TOLD


COMMAND = Command("status", "models, the worst first; or one: revisions, what it waits for, drift, last run", add, run)
