"""`modelward reference`: the reference of training data, into a file or into a bundle."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelward_inference.artifact.bundle import Signature

# Nothing else is imported up here: numpy must not be loaded before the number of its threads is set.


def add_to(verbs: Any) -> None:
    """The verb and its options, for argparse."""
    parser = verbs.add_parser("reference", help="profile training data, so that drift can be told from them")
    parser.add_argument("--data", type=Path, required=True, help=".parquet, .feather, .arrow, .csv, .csv.gz or .npy")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="the reference to write (.json)")
    target.add_argument("--into", type=Path, help="the bundle (.tar) to put it into; its model is --model's default")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--model", type=Path, help="a bundle or a saved model: its outputs are profiled too")
    known.add_argument("--signature", type=Path, help="model.json of a bundle, or what GET /v2/models/NAME answers")
    parser.add_argument(
        "--kind", type=_kind, action="append", default=[], metavar="NAME=KIND",
        help="of a feature: numeric, categorical, boolean or text; may be repeated",
    )  # fmt: skip
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME", help="leave out; may be repeated")
    parser.add_argument("--bins", type=int, default=10, help="of numbers (default: 10)")
    parser.add_argument("--levels", type=int, default=50, help="categories with a cell of their own (default: 50)")
    parser.add_argument(
        "--calibrate-window",
        type=int,
        metavar="ROWS",
        help="measure in windows of so many rows how far rows hang together",
    )


def run(options: argparse.Namespace) -> None:
    """Raises ModelError, DriftError and OSError."""
    from modelward_inference.reference import store
    from modelward_inference.reference.make import make_reference

    reference = make_reference(
        options.data,
        model=options.model or (None if options.signature else options.into),
        signature=_signature(options.signature) if options.signature else None,
        kinds=dict(options.kind),
        ignore=options.ignore,
        bins=options.bins,
        levels=options.levels,
        calibrate_window=options.calibrate_window,
        progress=True,
        warn=_say,
    )
    save = store.put_into if options.into else store.save_reference
    written = save(options.into or options.out, reference)
    _say(f"{written}: {len(reference.features)} features of {reference.rows:,} rows, {reference.digest}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=KIND")
    return name, kind


def _signature(path: Path) -> "Signature":
    from modelward_inference.artifact.bundle import signature_of
    from modelward_inference.errors import InvalidConfiguration

    try:
        raw = json.loads(path.read_bytes())
        return signature_of(raw.get("signature", raw))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(
            f"{path} has no signature ({type(error).__name__}: {error}); pass the model.json of a bundle, or the "
            "answer of GET /v2/models/NAME"
        ) from error
