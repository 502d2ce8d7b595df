"""`report MODEL`: drift of a model and what outcomes say of it, as one HTML page, saved and opened
(docs/drift-report.md).

The page is made by the package `modelward`, whose code judges as the operator does; here is only what it is made of.
Exit code 0: the page is there; 1: it is not, and stderr says why.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from modelward_cli.cluster import Json
from modelward_cli.commands.command import Command
from modelward_cli.fleet.read import model, unknown
from modelward_cli.fleet.state import table, tables, text
from modelward_cli.kubectl import POLICIES, Kubectl, KubectlError, NotAllowedError, NotFoundError

MAKER: Final = "modelward_inference"
WRITTEN: Final = 0

TARGET: Final = "modelward.io/target"
MEMORIES: Final = "app.kubernetes.io/component=retraining"
"""What a DriftPolicy's operator remembers of its targets."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the ModelDeployment, of whose stable revision is told")
    parser.add_argument(
        "--policy", metavar="POLICY", help="by this DriftPolicy's windows and rules, else by spec.monitor"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page to write, else MODEL-drift.html")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    if importlib.util.find_spec(MAKER) is None:
        raise KubectlError(
            "the page is made by the package `modelward`, which is not installed beside this command; "
            "`pip install modelward` brings it. `modelward drift MODEL` has the numbers without it"
        )
    shown = model(kubectl, options.model)
    revision = text(table(shown.status, "stable"), "revision")
    if revision is None:
        raise KubectlError(f"{options.model} has no stable revision yet, so that nothing was counted; "
                           f"`modelward status {options.model}` says what it waits for")  # fmt: skip
    out: Path = options.out or Path(f"{options.model}-drift.html")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--stored", str(_saved(_stored(kubectl, options.model, revision), Path(folder) / "stored.json"))]
        body = _policy(kubectl, options.policy) if options.policy else None
        if body is not None:
            arguments += ["--reader", str(table(body, "metadata").get("uid"))]
            arguments += ["--rules", str(_saved(body, Path(folder) / "policy.json"))]
        remembered = _remembered(kubectl, options.model, body)
        if remembered is None:
            why = _made(arguments, out)
        else:
            memory = str(_saved(remembered, Path(folder) / "memory.json"))
            problem = _made([*arguments, "--memory", memory], out)
            why = _made(arguments, out) if problem else ""
            if problem and not why:
                print(f"modelward report: without what outcomes say: {problem}", file=sys.stderr)
    if why:
        raise KubectlError(f"no page could be made of {revision}: {why}")
    page = out.resolve()
    if options.output == "json":
        told = {"schemaVersion": 1, "model": options.model, "revision": revision, "policy": options.policy}
        print(json.dumps({**told, "page": str(page)}, indent=2))
    else:
        print(page)
    if options.open and not webbrowser.open(page.as_uri()):
        print(f"modelward report: there is no browser to show {page} in", file=sys.stderr)
    return WRITTEN


def _made(arguments: Sequence[str], out: Path) -> str:
    """Writes the page; why there is none, empty: it is there."""
    made = subprocess.run(
        [sys.executable, "-m", MAKER, "drift", "report", *arguments, "--out", str(out)],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    said = (made.stderr or made.stdout).strip()
    return (said or f"exit code {made.returncode}") if made.returncode else ""


def _stored(kubectl: Kubectl, name: str, revision: str) -> Json:
    """What the operator keeps of the revision."""
    try:
        return kubectl.got("configmaps", f"{revision}-monitor")
    except NotFoundError:
        raise KubectlError(
            f"nothing was counted of {revision} yet: the ConfigMap {revision}-monitor is not there. It is made when "
            f"the "
            f"monitors answer for the first time; {name} needs spec.monitor"
        ) from None


def _remembered(kubectl: Kubectl, name: str, policy: Json | None) -> Json | None:
    """What a policy's operator remembers of the model's outcomes and features: of `policy`, else of the only one that
    has any. The page is written without it, too: what keeps it is told."""
    try:
        found = kubectl.listed("configmaps", f"{TARGET}={name},{MEMORIES}")
    except NotAllowedError as error:
        print(f"modelward report: without what outcomes say, as ConfigMaps can't be listed: {error}", file=sys.stderr)
        return None
    known = [each for each in found if _says_something(each)]
    if policy is not None:
        uid = table(policy, "metadata").get("uid")
        known = [each for each in known if any(owner.get("uid") == uid for owner in _owners(each))]
    if len(known) > 1:
        names = " and ".join(sorted({str(owner.get("name")) for each in known for owner in _owners(each)}))
        print(
            f"modelward report: without what outcomes say, which {names} measure; name one with --policy",
            file=sys.stderr,
        )
        return None
    return known[0] if known else None


def _owners(body: Json) -> Sequence[Mapping[str, Any]]:
    return tables(table(body, "metadata"), "ownerReferences")


def _says_something(body: Json) -> bool:
    try:
        memory = json.loads(str(table(body, "data").get("memory")))
    except ValueError:
        return False
    return isinstance(memory, dict) and bool(memory.get("quality") or memory.get("parity"))


def _policy(kubectl: Kubectl, name: str) -> Json:
    try:
        return kubectl.got(POLICIES, name)
    except NotFoundError:
        names = [str(table(each, "metadata").get("name")) for each in kubectl.listed(POLICIES)]
        raise unknown(kubectl, name, "DriftPolicy", names) from None


def _saved(body: Json, path: Path) -> Path:
    path.write_text(json.dumps(body))
    return path


COMMAND = Command("report", "a model's drift and quality as one HTML page, with pictures and numbers", add, run)
