"""`quality POLICY|MODEL`: what a model is worth by outcomes, with intervals, and which rules of the policy it breaks.

Exit code 0: it is told; 1: nothing is known, or the cluster did not answer; with --exit-code 4: worse than allowed.
"""

import argparse
from dataclasses import asdict

from modelward_cli.commands.command import Command
from modelward_cli.fleet import told
from modelward_cli.fleet.quality import in_full, qualities
from modelward_cli.fleet.read import fleet_with
from modelward_cli.kubectl import Kubectl

TOLD, UNKNOWN, WORSE = 0, 1, 4


def add(parser: argparse.ArgumentParser) -> None:
    told.add(parser, "end with 4 where a model is worse than allowed")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    found = fleet_with(kubectl, options.name)
    shown = qualities(found.policies, options.name)
    notes = list(found.notes)
    if not shown:
        notes.append(f"No policy measures {options.name} by outcomes: spec.quality of a DriftPolicy (docs/quality.md).")
    told.tell(options, "quality", [asdict(each) for each in shown], map(in_full, shown), notes)
    if not any(each.metrics or each.signals for each in shown):
        return UNKNOWN
    return WORSE if options.exit_code and any(each.is_worse for each in shown) else TOLD


COMMAND = Command("quality", "what a model is worth by outcomes, and which bounds it breaks", add, run)
