"""What `drift` and `quality` have in common: whom they are asked about, and how they say what they found."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from modelward_cli.fleet.document import VERSION
from modelward_cli.layout import wrapped


def add(parser: argparse.ArgumentParser, exit_code: str) -> None:
    """`exit_code`: what --exit-code does, in words."""
    parser.add_argument(
        "name", metavar="POLICY|MODEL", help="a DriftPolicy, for all of its models, or a ModelDeployment"
    )
    parser.add_argument("--exit-code", action="store_true", help=exit_code)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def tell(
    options: argparse.Namespace, word: str, found: Sequence[Any], texts: Iterable[Iterable[str]], notes: Sequence[str]
) -> None:
    """`found`: as JSON, under `word`; `texts`: the lines of each."""
    if options.output == "json":
        told = {"schemaVersion": VERSION, "asked": options.name, word: found, "notes": notes}
        print(json.dumps(told, indent=2))
        return
    parts = ["\n".join(lines) for lines in texts]
    parts += ["\n".join(line for note in notes for line in wrapped(note, 0))] if notes else []
    sys.stdout.write("\n\n".join(parts) + "\n")
