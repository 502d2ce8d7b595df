"""`python -m modelward_inference fetch|serve`. Exit code 1, and a report in the termination log, on failure."""

import sys
import traceback

from modelward_inference import cpu


def main() -> int:
    cores = cpu.limit_library_threads()
    from modelward_inference import errors  # numpy must not be imported before the limit is set

    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if verb == "fetch":
            from modelward_inference.fetch import run

            run.fetch(run.Request.from_environment())
        elif verb == "serve":
            from modelward_inference import server

            server.serve(server.Settings.from_environment(cores))
        else:
            print("usage: python -m modelward_inference fetch|serve", file=sys.stderr)
            return 2
    except Exception as error:  # noqa: BLE001  whatever it is, the operator has to be able to show it
        if not isinstance(error, errors.ModelError):
            traceback.print_exc()
        errors.report(error)
        return 1
    return 0


sys.exit(main())
