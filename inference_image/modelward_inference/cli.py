"""The command line: `download`, `compile`, `serve`, `tap`, `monitor` in the image; elsewhere `fetch`, `save`, reports.

Exit code 1, and a report in the termination log, on failure; what brings a model leaves a report of success there too.
"""

import argparse
import importlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from modelward_inference import cpu, extras
from modelward_inference.reference import command
from modelward_telemetry import logs

log = logging.getLogger(__name__)

OTHER = "modelward_cli"

COMPONENTS = {
    "fetch": "download", "download": "download", "compile": "compile", "load": "compile", "keep-bundle": "keep-bundle",
    "keep": "keeper", "serve": "server", "monitor": "monitor", "tap": "tap",
}  # fmt: skip
"""What a verb is in the logs: those that run in pods. The others are a person's, who reads plain words."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if (other := _other(given)) is not None:
        return other(given)
    options = _parser().parse_args(given)
    if (component := COMPONENTS.get(options.verb)) is not None:
        logs.configure(
            "INFO", component, name=os.environ.get("MODEL_NAME", ""), revision=os.environ.get("MODEL_REVISION", "")
        )
    if options.verb == "keep":
        from modelward_monitor import keeper  # and nothing else: this process only waits

        return keeper.keep([sys.executable, "-m", "modelward_inference", options.kept])
    if options.verb == "load":
        from modelward_inference.compile import sandbox

        if not sandbox.enter():  # before a library starts a thread, which would not be in it
            log.warning("this kernel has no filter, so that only a NetworkPolicy holds the model")
    cores = cpu.limit_library_threads(cpu.WITHOUT_LIMIT)
    from modelward_inference import errors  # numpy must not be imported before the limit is set

    try:
        match options.verb:
            case "download":
                _download()
            case "compile":
                from modelward_inference.fetch import supervise

                return supervise.run([sys.executable, "-m", "modelward_inference", "load"], supervise.seconds())
            case "load":
                _load()
            case "fetch":
                _fetch()
            case "keep-bundle":
                _keep_bundle()
            case "serve":
                from modelward_inference.serve import process as server

                server.serve(server.Settings.from_environment(cores))
            case "monitor":
                from modelward_monitor import run, settings

                run.run(settings.Settings.from_environment())
            case "tap":
                from modelward_inference.tap import run as tap
                from modelward_inference.tap.settings import Settings as TapSettings

                tap.run(TapSettings.from_environment())
            case "answered":
                return _told("answered", _answered, options)  # who asks is no part of the container: no report
            case "reference":
                return _told("reference", command.run, options)
            case "drift":
                return _told("drift report", _drift_report, options)
            case "parity-check":
                # A distribution of its own: who trains or serves needs no engine.
                parity = importlib.import_module("modelward_evaluate.parity")
                return int(parity.main([str(options.spec), *(["--out", str(options.out)] if options.out else [])]))
            case _:
                return _told("save", _save, options)
    except Exception as failure:  # noqa: BLE001  whatever it is, the operator has to be able to show it
        error: Exception = failure
        if isinstance(failure, ModuleNotFoundError) and (cure := extras.cure(failure)):
            error = errors.InvalidConfiguration(f"modelward {options.verb}: {cure}")
        errors.report(error)
        return 1
    return 0


def _other(given: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """The program of the same name that asks clusters, for its verbs, where it is installed beside this one."""
    if not given or importlib.util.find_spec(OTHER) is None:
        return None
    asks = importlib.import_module(f"{OTHER}.main")
    is_slip = not given[0].startswith("-") and given[0] not in names()  # which that one tells, with a person's verbs
    found: Callable[[Sequence[str]], int] | None = asks.main if is_slip or asks.takes(given) else None
    return found


def names() -> set[str]:
    """Of the subcommands."""
    return set(_verbs()[1].choices)


def _parser() -> argparse.ArgumentParser:
    return _verbs()[0]


def _verbs() -> "tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]":
    about = "Fetch, serve, save or profile a model, or report its drift."
    parser = argparse.ArgumentParser(prog="modelward", description=about)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("fetch", help="download and compile in one: for files that you trust")
    verbs.add_parser("download", help="bring the artifact of MODEL_URI into ARTIFACT_DIR; nothing of it is loaded")
    verbs.add_parser("compile", help="make the bundle of what was downloaded, without network and in bounded time")
    verbs.add_parser("load", help="what `compile` runs: the same, without a bound of time")
    verbs.add_parser("keep-bundle", help="put what was compiled into the cache, for pods to come; nothing is loaded")
    verbs.add_parser("serve", help="answer requests with the model in BUNDLE_DIR")
    verbs.add_parser("monitor", help="count what the model is asked and answers, beside `serve`")
    verbs.add_parser("tap", help="pass requests on to another server, and tell the monitor what they say")
    same = verbs.add_parser("parity-check", help="compare what was logged with what the training pipeline says")
    same.add_argument("spec", type=Path, help="what to compare, as docs/quality.md describes it")
    same.add_argument("--out", type=Path, help="a file for the whole result, as JSON; else it goes to stdout")
    answered = verbs.add_parser("answered", help="whether this pod's monitor saw a request, as JSON")
    answered.add_argument("request", help="the request's id")
    keep = verbs.add_parser("keep", help="run a verb, and run it again whenever it ends, until SIGTERM")
    keep.add_argument("kept", choices=["monitor"])
    save = verbs.add_parser("save", help="write a bundle: the model, its signature, golden rows and reference")
    save.add_argument("--model", type=Path, required=True, help="a saved model of any format that can be served")
    save.add_argument(
        "--data", type=Path, required=True, help="training data: .parquet, .feather, .arrow, .csv, .csv.gz, .npy"
    )
    save.add_argument("--reference", type=Path, help="rows that it was not trained on, for the reference; else --data")
    save.add_argument("--out", type=Path, required=True, help="the bundle to write (.tar)")
    save.add_argument("--ignore", action="append", default=[], metavar="NAME", help="leave out; may be repeated")
    command.add_to(verbs)
    drift = verbs.add_parser("drift", help="what became of a model's data").add_subparsers(dest="of", required=True)
    report = drift.add_parser("report", help="write one HTML page: what drifted, with pictures and numbers")
    report.add_argument("--reference", type=Path, help="the model's reference.json; not needed with --stored")
    current = report.add_mutually_exclusive_group()
    current.add_argument("--windows", type=Path, help="windows of counts, one a line as JSON")
    current.add_argument(
        "--data", type=Path, help="a table to compare: .parquet, .feather, .arrow, .csv, .csv.gz, .npy"
    )
    current.add_argument("--stored", type=Path, help="the ConfigMap REVISION-monitor as JSON, - for standard input")
    report.add_argument(
        "--reader", default="own", help="with --stored: whose windows; a DriftPolicy's uid, for example"
    )
    report.add_argument("--rules", type=Path, help="a DriftPolicy, or its spec, as JSON; without it the defaults")
    report.add_argument(
        "--memory", type=Path, help="what a DriftPolicy's operator remembers of the model: a ConfigMap as JSON"
    )
    report.add_argument("--outcomes", type=Path, help="a result of `python -m modelward_evaluate`")
    report.add_argument("--parity", type=Path, help="a result of `modelward parity-check`")
    report.add_argument("--out", type=Path, required=True, help="the page to write (.html)")
    return parser, verbs


def _fetch() -> None:
    from modelward_inference import errors
    from modelward_inference.artifact import consent
    from modelward_inference.fetch import limits, report, run

    made = run.fetch(run.Request.from_environment(), consent.from_environment(), limits.Limits.from_environment())
    errors.write_report(report.summary(made))


def _download() -> None:
    from modelward_auth.verifier import make_key
    from modelward_inference import errors
    from modelward_inference.artifact import consent
    from modelward_inference.fetch import cache, layout, limits, obtain, report, run

    # A container's first process is deaf to a signal that it has no handler for, and would be waited for.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    request, places = run.Request.from_environment(), layout.Layout.from_environment()
    allowed, most = consent.from_environment(), limits.Limits.from_environment()
    if places is not None:
        received = layout.obtained(request, places, _artifact(), allowed, most)
    else:
        received = obtain.obtain(request, _artifact(), allowed, most)
    # Last: what is announced is told of a download that ended well, and stands in the pod's status for ever.
    key = os.environ.get("POD_KEY")
    errors.write_report(report.of_download(received, make_key(Path(key)) if key else None, cache.trouble()))


def _load() -> None:
    from modelward_inference import errors
    from modelward_inference.artifact import consent
    from modelward_inference.fetch import compiling, report, run

    name, optimise = run.name_and_optimise()
    folder = Path(os.environ.get("BUNDLE_DIR", "/bundle"))
    made = compiling.compiled(name, optimise, _artifact(), folder, consent.from_environment())
    errors.write_report(report.of_compile(made))


def _keep_bundle() -> None:
    """Whatever is wrong with the cache, the model is there, and is served."""
    from modelward_inference import errors
    from modelward_inference.artifact.receipt import Receipt
    from modelward_inference.fetch import cache, report, run
    from modelward_inference.fetch.bundles import Bundles

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    held = False
    try:
        kept = Bundles.from_environment()
        if kept is not None:
            folder = Path(os.environ.get("BUNDLE_DIR", "/bundle"))
            held = kept.keep(Receipt.read(_artifact()), *run.name_and_optimise(), folder)
    except errors.ModelError as error:
        log.warning("the bundle is not kept: %s", error)
    errors.write_report(report.of_keeping(cache.trouble(), held=held))


def _artifact() -> Path:
    return Path(os.environ.get("ARTIFACT_DIR") or "/artifact")


def _save(options: argparse.Namespace) -> None:
    from modelward_inference.training import save

    written = save.save_bundle(
        options.out, options.model, options.data, reference=options.reference, ignore=options.ignore, progress=True
    )
    print(f"{written}: {written.stat().st_size} bytes", file=sys.stderr)


def _told(verb: str, act: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """A person reads the outcome here, so there is no report."""
    from modelward_drift.errors import DriftError
    from modelward_inference import errors

    try:
        act(options)
    except (errors.ModelError, DriftError, OSError, UnicodeError) as error:
        print(f"modelward {verb}: {error}", file=sys.stderr)
        return 1
    return 0


def _answered(options: argparse.Namespace) -> None:
    from modelward_monitor import lookup, settings

    lookup.run(settings.Settings.from_environment(), options.request)


def _drift_report(options: argparse.Namespace) -> None:
    from modelward_inference.drift_report import command

    written = command.write(
        options.out, reference=options.reference, windows=options.windows, data=options.data, stored=options.stored,
        reader=options.reader, rules=options.rules, memory=options.memory, outcomes=options.outcomes,
        parity=options.parity, warn=partial(print, file=sys.stderr),
    )  # fmt: skip
    print(f"{written}: {written.stat().st_size} bytes", file=sys.stderr)
