"""The command line: `python -m tiers`."""

import compileall
import sys
import tempfile
import time
from pathlib import Path

from tiers import plan
from tiers.lanes import Ended, Lane, run
from tiers.report import report
from tiers.tally import Tally

ROOT = Path(__file__).parents[2]
SOURCES = ("operator", "inference_image", "integrations/cli")


def main() -> int:
    began = time.monotonic()
    for each in SOURCES:
        # Tests start hundreds of programs of these; where PYTHONDONTWRITEBYTECODE is set, each would compile them anew.
        compileall.compile_dir(ROOT / each, quiet=2)
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
