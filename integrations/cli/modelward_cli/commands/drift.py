"""`drift POLICY|MODEL`: which features drift, with the numbers, and since when.

Exit code 0: it is told; 1: nothing is known, or the cluster did not answer; with --exit-code 4: something drifts.
"""

import argparse
import json
import sys

from modelward_cli.commands.command import Command
from modelward_cli.fleet.document import VERSION, of_drift
from modelward_cli.fleet.read import drifts, fleet, unknown
from modelward_cli.fleet.state import DRIFTED, table
from modelward_cli.fleet.text import drift_in_full
from modelward_cli.kubectl import Kubectl
from modelward_cli.layout import wrapped

TOLD, UNKNOWN, DRIFTS = 0, 1, 4


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="POLICY|MODEL", help="a DriftPolicy, for all of its models, or a ModelDeployment"
    )
    parser.add_argument("--exit-code", action="store_true", help="end with 4 where something drifts")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    found = fleet(kubectl)
    policies = [str(table(each, "metadata").get("name")) for each in found.policies]
    names = [*policies, *(each.name for each in found.models)]
    if options.name not in names:
        raise unknown(kubectl, options.name, "DriftPolicy or ModelDeployment", names)
    shown, notes = drifts(found, options.name)
    notes = [*notes, *found.notes]
    if options.output == "json":
        told = {"schemaVersion": VERSION, "asked": options.name, "drift": [of_drift(each) for each in shown]}
        print(json.dumps({**told, "notes": notes}, indent=2))
    else:
        parts = ["\n".join(drift_in_full(each)) for each in shown]
        parts += ["\n".join(line for note in notes for line in wrapped(note, 0))] if notes else []
        sys.stdout.write("\n\n".join(parts) + "\n")
    if not shown:
        return UNKNOWN
    return DRIFTS if options.exit_code and any(each.verdict == DRIFTED for each in shown) else TOLD


COMMAND = Command("drift", "which features of a model drift, with numbers, and since when", add, run)
