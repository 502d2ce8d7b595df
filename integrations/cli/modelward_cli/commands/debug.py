"""`debug MODEL`: one .tar.gz with all that somebody who helps has to see, and no secrets.

Exit code 0: it is written; 1: it is not, and stderr says why.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from modelward_cli import __version__
from modelward_cli.bundle.archive import write
from modelward_cli.bundle.collect import collect
from modelward_cli.commands.command import Command
from modelward_cli.fleet.read import model
from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.layout import wrapped

WRITTEN: Final = 0

ABOUT: Final = """\
What `modelward debug {name}` (version {version}) saw of the ModelDeployment {name} in the namespace {namespace}
at {time}.

objects/    the model, what belongs to it, its policies, runs and registries
events.json the namespace's events that are about them
logs/       the ends of its containers' logs; .previous: of the container before its last restart
operator/   the operator's pods, and the ends of their logs, which tell of other models, too
versions.json

Left out: Secrets; values of environment variables and of others' annotations; words of command lines; data of
ConfigMaps but the routes; and of every text what is the value of a Secret that these objects name, or looks like a
credential. Logs may still say of your data what their programs wrote: look through them before you send them on.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the ModelDeployment")
    parser.add_argument("--out", type=Path, metavar="FILE", help="else modelward-debug-MODEL-TIME.tar.gz, here")
    parser.add_argument("--lines", type=_lines, default=500, metavar="N", help="of each log (500); 0: no logs")
    parser.add_argument(
        "--operator-namespace", default="modelward-system", metavar="NAMESPACE", help="where the operator runs"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    shown = model(kubectl, options.model)
    found = collect(kubectl, options.model, shown.body, options.operator_namespace, options.lines)
    now = time.time()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = f"modelward-debug-{options.model}-{stamp}"
    path: Path = options.out or Path(f"{folder}.tar.gz")
    notes = found.shown_notes()
    files = {**found.files(), "README.txt": _about(options.model, shown.namespace, stamp, notes)}
    try:
        write(path, folder, files, now)
    except FileExistsError:
        raise KubectlError(f"{path} is there already; name another file with --out") from None
    except OSError as error:
        raise KubectlError(f"{path} can't be written: {error.strerror or error}") from None
    if options.output == "json":
        print(json.dumps({"schemaVersion": 1, "bundle": str(path), "files": sorted(files), "notes": notes}, indent=2))
    else:
        print(path)
        for note in notes:
            sys.stderr.write("\n".join(wrapped(note, 0)) + "\n")
    return WRITTEN


def _about(name: str, namespace: str, stamp: str, notes: list[str]) -> str:
    about = ABOUT.format(name=name, version=__version__, namespace=namespace, time=stamp)
    return about + ("\nNot in it:\n" + "\n".join(f"- {note}" for note in notes) + "\n" if notes else "")


def _lines(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines from 0 to 999999")
    return int(text)


COMMAND = Command("debug", "one file with all that somebody who helps has to see, without secrets", add, run)
