"""`quality POLICY|MODEL`: what a model is worth by outcomes, with intervals, and which rules of the policy it breaks.

Exit code 0: it is told; 1: nothing is known, or the cluster did not answer; with --exit-code 5: worse than allowed.
"""

import argparse
import json
import sys
from dataclasses import asdict

from modelward_cli.commands.command import Command
from modelward_cli.fleet.document import VERSION
from modelward_cli.fleet.quality import in_full, qualities
from modelward_cli.fleet.read import fleet, unknown
from modelward_cli.fleet.state import table
from modelward_cli.kubectl import Kubectl
from modelward_cli.layout import wrapped

TOLD, UNKNOWN, WORSE = 0, 1, 5


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="POLICY|MODEL", help="a DriftPolicy, for all of its models, or a ModelDeployment"
    )
    parser.add_argument("--exit-code", action="store_true", help="end with 5 where a model is worse than allowed")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    found = fleet(kubectl)
    policies = [str(table(each, "metadata").get("name")) for each in found.policies]
    names = [*policies, *(each.name for each in found.models)]
    if options.name not in names:
        raise unknown(kubectl, options.name, "DriftPolicy or ModelDeployment", names)
    shown = qualities(found.policies, options.name)
    notes = list(found.notes)
    if not shown:
        notes.append(f"No policy measures {options.name} by outcomes: spec.quality of a DriftPolicy (docs/quality.md).")
    if options.output == "json":
        told = {"schemaVersion": VERSION, "asked": options.name, "quality": [asdict(each) for each in shown]}
        print(json.dumps({**told, "notes": notes}, indent=2))
    else:
        parts = ["\n".join(in_full(each)) for each in shown]
        parts += ["\n".join(line for note in notes for line in wrapped(note, 0))] if notes else []
        sys.stdout.write("\n\n".join(parts) + "\n")
    if not any(each.metrics or each.signals for each in shown):
        return UNKNOWN
    return WORSE if options.exit_code and any(each.is_worse for each in shown) else TOLD


COMMAND = Command("quality", "what a model is worth by outcomes, and which bounds it breaks", add, run)
