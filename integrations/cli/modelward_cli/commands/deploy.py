"""`deploy MODEL --uri URI`: has a ModelDeployment ask for a version, and with --wait follows its rollout to the end.

Exit code 0: spec asks for it, with --wait: it is promoted; 1: the cluster did not answer, or refuses it; 4: the rollout
ended otherwise, waits for a person, or is stuck; 5: the time was over.
"""

import argparse
import json
import sys
from dataclasses import asdict

from modelward_cli.commands.command import Command
from modelward_cli.commands.rollout import DONE, EVERY, OTHERWISE, TIME_OVER, seconds
from modelward_cli.fleet.read import model
from modelward_cli.fleet.state import Model
from modelward_cli.fleet.text import gates
from modelward_cli.kubectl import Kubectl
from modelward_cli.layout import plain, wrapped
from modelward_cli.pipeline.deploying import Deployed, Version, deploy
from modelward_cli.pipeline.rollouts import Progress, State, progress
from modelward_cli.pipeline.waiting import TooLateError, until

FOREVER = 10 * 365 * 86400.0
"""Seconds."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the ModelDeployment, which has to be there")
    parser.add_argument("--uri", required=True, help="what spec.model.uri shall say, for example models:/fraud/8")
    parser.add_argument("--digest", help="what spec.model.digest shall say: sha256:…; else it is not pinned")
    parser.add_argument("--take-over", action="store_true", help="also where something else wrote spec.model last")
    parser.add_argument("--wait", action="store_true", help="until it is promoted, and show the evidence")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="of --wait, else until the rollout ends")
    parser.add_argument(
        "--when-paused", choices=("fail", "wait"), default="fail", help="what --wait does while a person is waited for"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    version = Version(options.uri, options.digest)
    deployed = deploy(kubectl, options.model, version, take_over=options.take_over)
    word = "asks for" if deployed.changed else "asked already for"
    print(f"{deployed.namespace}/{deployed.model} {word} {version}", file=sys.stderr, flush=True)
    if not options.wait:
        _tell(options, deployed, None, None)
        return DONE
    last: Model | None = None

    def look() -> Progress:
        nonlocal last
        last = model(kubectl, options.model)
        return progress(last, version)

    def is_over(now: Progress) -> bool:
        return now.state not in (State.WAITING, *((State.PAUSED,) if options.when_paused == "wait" else ()))

    try:
        now = until(
            look, is_over, lambda seen: seen.message, FOREVER if options.timeout is None else options.timeout,
            EVERY, said=lambda line: print(plain(line), file=sys.stderr, flush=True),
        )  # fmt: skip
    except TooLateError as error:
        print(f"modelward deploy: {plain(str(error))}", file=sys.stderr)
        _tell(options, deployed, None if last is None else progress(last, version), last)
        return TIME_OVER
    _tell(options, deployed, now, last)
    return DONE if now.state is State.PROMOTED else OTHERWISE


def _tell(options: argparse.Namespace, deployed: Deployed, now: Progress | None, last: Model | None) -> None:
    """On stdout: JSON, or the evidence for a person."""
    if options.output == "json":
        told = {"state": now.state.value, "message": now.message, "rollout": now.rollout} if now else {}
        empty = {"state": None, "message": None, "rollout": None}
        print(json.dumps({"schemaVersion": 1, **asdict(deployed), **empty, **told}, indent=2))
        return
    if now is None or last is None:
        return
    lines = [*wrapped(f"{deployed.model}  {now.state.value}  {deployed.version}", 0), *wrapped(now.message, 2)]
    print("\n".join([*lines, *gates(last.rollout)]))


COMMAND = Command("deploy", "have a model serve another version, and wait for its rollout", add, run)
