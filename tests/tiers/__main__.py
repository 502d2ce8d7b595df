"""The command line: `python -m tiers`."""

import sys
import tempfile
import time
from pathlib import Path

from tiers import plan
from tiers.lanes import Ended, Lane, run
from tiers.report import report
from tiers.tally import Tally


def main() -> int:
    began = time.monotonic()
    ended: list[Ended] = []
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="modelward-tests-") as name:
        folder = Path(name)
        for number, phase in enumerate(plan.phases(folder)):
            ended += run([Lane(name, steps, folder / f"{number}-{name}.log") for name, steps in phase.items()])
        for path in sorted(folder.glob("*.json")):
            tally += Tally.read(path)
    lines, code = report(ended, tally, time.monotonic() - began)
    print("\n".join(lines), flush=True)
    return code


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
