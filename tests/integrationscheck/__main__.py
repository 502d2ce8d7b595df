"""The command line: `python -m integrationscheck`; `--short`: what every run of the tests has room for.

Prints a table, and as its last line JSON: `triggers`, `contract_failures`, `real_systems` that took part in what
passed, `protocol_only`: systems that a stand-in answers for, `feature_parity_unequal`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from integrationscheck import checks, parity
from integrationscheck.checks import Check
from tiers.tally import Tally
from unit.retraining.contract.test_contract import SYSTEMS

PROTOCOL_ONLY: Final = (
    "Airflow 3's REST API (recorded from a real one: make check-airflow)", "GitHub's REST API", "Jenkins",
    "Kubeflow Pipelines", "Argo Workflows' controller", "Argo CD's controller",
    "Flux's source-controller (its kustomize-controller is a real one: make check-flux)",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """A check that was run: whether it passed, seconds, and the last line that it wrote."""

    check: Check
    passed: bool
    seconds: float
    last: str


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="modelward-integrations-") as folder:
        tally = Path(folder) / "contract.json"
        wanted = checks.short() if arguments == ["--short"] else checks.everything(tally)
        ended = [_run(each) for each in wanted]
        failures = _failures(Tally.read(tally)) if tally.exists() else None
    for each in ended:
        state = "passed" if each.passed else "FAILED"
        print(f"{state}  {each.seconds:6.1f} s  {each.check.name:55}  {each.check.real or 'a stand-in'}")
    if wanted[0].name == checks.contract(tally).name:
        print(json.dumps(_summary(ended, failures)))
    return 0 if all(each.passed for each in ended) else 1


def _run(check: Check) -> Ended:
    print(f"== {check.name}", flush=True)
    began = time.monotonic()
    if check.before:
        subprocess.run(check.before, cwd=checks.ROOT, check=True)
    done = subprocess.run(
        check.command, cwd=checks.ROOT, env={**os.environ, **dict(check.variables)}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines() or [""]
    shown = lines if done.returncode else lines[-1:]
    print("\n".join(shown), flush=True)
    return Ended(check, done.returncode == 0, time.monotonic() - began, lines[-1])


def _failures(tally: Tally) -> int:
    return tally.counts["failed"] + tally.counts["error"] + tally.counts["errors"]


def _summary(ended: list[Ended], failures: int | None) -> dict[str, Any]:
    features = next(each for each in ended if each.check.name == parity.NAME)
    return {
        "triggers": len(SYSTEMS),
        "contract_failures": failures,
        "real_systems": [each.check.real for each in ended if each.check.real and each.passed],
        "protocol_only": list(PROTOCOL_ONLY),
        "feature_parity_unequal": int(features.last) if features.last.isdecimal() else None,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
