"""`drift POLICY|MODEL`: which features drift, with the numbers, and since when.

Exit code 0: it is told; 1: nothing is known, or the cluster did not answer; with --exit-code 4: something drifts.
"""

import argparse

from modelward_cli.commands.command import Command
from modelward_cli.fleet import told
from modelward_cli.fleet.document import of_drift
from modelward_cli.fleet.read import drifts, fleet_with
from modelward_cli.fleet.state import DRIFTED
from modelward_cli.fleet.text import drift_in_full
from modelward_cli.kubectl import Kubectl

TOLD, UNKNOWN, DRIFTS = 0, 1, 4


def add(parser: argparse.ArgumentParser) -> None:
    told.add(parser, "end with 4 where something drifts")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    found = fleet_with(kubectl, options.name)
    shown, notes = drifts(found, options.name)
    told.tell(options, "drift", [of_drift(each) for each in shown], map(drift_in_full, shown), [*notes, *found.notes])
    if not shown:
        return UNKNOWN
    return DRIFTS if options.exit_code and any(each.verdict == DRIFTED for each in shown) else TOLD


COMMAND = Command("drift", "which features of a model drift, with numbers, and since when", add, run)
