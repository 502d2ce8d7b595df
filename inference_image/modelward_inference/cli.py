"""The command line: `fetch` and `serve` in the image, `save` wherever models are trained.

Exit code 1, and a report in the termination log, on failure; `fetch` leaves a report of success there too.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from modelward_inference import cpu


def main(arguments: Sequence[str] | None = None) -> int:
    cores = cpu.limit_library_threads()
    from modelward_inference import errors  # numpy must not be imported before the limit is set

    options = _parser().parse_args(arguments)
    try:
        match options.verb:
            case "fetch":
                _fetch()
            case "serve":
                from modelward_inference import server

                server.serve(server.Settings.from_environment(cores))
            case _:
                return _save(options)
    except Exception as error:  # noqa: BLE001  whatever it is, the operator has to be able to show it
        if not isinstance(error, errors.ModelError):
            traceback.print_exc()
        errors.report(error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelward", description="Fetch, serve or save a model.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("fetch", help="bring the model of MODEL_URI into BUNDLE_DIR")
    verbs.add_parser("serve", help="answer requests with the model in BUNDLE_DIR")
    save = verbs.add_parser("save", help="write a bundle: the model, its signature, golden rows and reference data")
    save.add_argument("--model", type=Path, required=True, help="a saved model of any format that can be served")
    save.add_argument("--data", type=Path, required=True, help="sample rows: .csv with a line of names, or .npy")
    save.add_argument("--out", type=Path, required=True, help="the bundle to write (.tar)")
    return parser


def _fetch() -> None:
    from modelward_inference import errors
    from modelward_inference.fetch import report, run

    errors.write_report(report.summary(run.fetch(run.Request.from_environment())))


def _save(options: argparse.Namespace) -> int:
    """A person reads the outcome here, so there is no report."""
    from modelward_inference import errors, save, tables

    try:
        written = save.save_bundle(options.out, options.model, tables.read_table(options.data))
    except (errors.ModelError, OSError) as error:
        print(f"modelward save: {error}", file=sys.stderr)
        return 1
    print(f"{written}: {written.stat().st_size} bytes", file=sys.stderr)
    return 0
