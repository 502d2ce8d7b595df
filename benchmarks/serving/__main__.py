"""`python -m benchmarks.serving [--short | --full] [--busy]`: progress on stderr; tables and, last, ratios on stdout.

Exit code 0 where every ratio of the summary could be measured, 1 where not (the notes say why), 130 after Ctrl-C.
"""

import argparse
import contextlib
import signal
import sys

from benchmarks.serving import busy, cases, report
from benchmarks.serving.loads import cores_and_load
from benchmarks.serving.run import Run
from localcluster.progress import SetupError, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="only what the goals are about, in two minutes")
    length.add_argument("--full", action="store_true", help="every combination, in more than an hour")
    parser.add_argument("--busy", action="store_true", help="with a steady load beside, on the cores of both sides")
    chosen = parser.parse_args()
    plan = cases.short() if chosen.short else cases.full() if chosen.full else cases.normal()
    # Ended by a signal, everything that was started is ended too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        core, load = cores_and_load()
        with busy.beside((core, load.core)) if chosen.busy else contextlib.nullcontext():
            results = Run(plan, core, load).measure()
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; all servers are ended")
        return 130
    print(report.table(results, plan.cases), end="\n\n")
    print(report.last_line(results), flush=True)
    return int(None in report.summary(results).values())


sys.exit(main())
