"""`rollout watch|promote|pause|resume|abort|retry MODEL`: follow a rollout to its end, or tell it what to do.

Exit code 0: it is promoted, or the command was taken up; 1: the cluster did not answer, or the command makes no sense
now; 4: the rollout ended otherwise, waits for a person, or is stuck; 5: the time was over.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

from modelward_cli.commands.command import Command
from modelward_cli.fleet.document import of_rollout
from modelward_cli.fleet.read import model
from modelward_cli.fleet.rollout import ACTIONS, obstacle, seen, took_effect
from modelward_cli.fleet.state import COMMAND as ANNOTATION
from modelward_cli.fleet.state import Model
from modelward_cli.kubectl import MODELS, Kubectl, KubectlError, NoClusterError
from modelward_cli.layout import wrapped
from modelward_cli.times import shown

DONE, NOT_NOW, OTHERWISE, TIME_OVER = 0, 1, 4, 5
EVERY = 1.0
"""Seconds between two looks."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("watch", *ACTIONS), help="follow it, or what it shall do")
    parser.add_argument("model", metavar="MODEL", help="the ModelDeployment")
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS",
        help="how long to watch (else until it ends), or to wait for the operator to take a command up (else 60)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="json: a line for each change")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    if options.action == "watch":
        return _watch(options, kubectl)
    return _tell(options, kubectl)


def _watch(options: argparse.Namespace, kubectl: Kubectl) -> int:
    last: str | None = None

    def over(now: Model) -> int | None:
        nonlocal last
        look = seen(now)
        if look.line != last:
            last = look.line
            _say(options, now, look.line)
        return None if not look.over else DONE if look.good else OTHERWISE

    return _until(kubectl, options.model, options.timeout, over)


def _tell(options: argparse.Namespace, kubectl: Kubectl) -> int:
    before = model(kubectl, options.model)
    if (why := obstacle(before, options.action)) is not None:
        raise KubectlError(why)
    kubectl.annotated(MODELS, options.model, ANNOTATION, options.action)

    last = before

    def taken(now: Model) -> int | None:
        nonlocal last
        last = now
        if not took_effect(options.action, before, now):
            return None
        _say(options, now, seen(now).line)
        return DONE

    ended = _until(kubectl, options.model, 60.0 if options.timeout is None else options.timeout, taken)
    if ended == TIME_OVER:
        print(f"modelward rollout: {_late(options.action, last)}", file=sys.stderr)
    return ended


def _late(action: str, last: Model) -> str:
    if last.command == action:
        return (
            f"`{action}` is asked for, and the operator has not taken it up; it will when it runs. Look for it with "
            "`kubectl get pods -A -l app.kubernetes.io/name=modelward-operator`."
        )
    return (
        f"the operator took `{action}` up, and the status does not show what came of it; "
        f"`kubectl get events --field-selector involvedObject.name={last.name}` does."
    )


def _until(kubectl: Kubectl, name: str, timeout: float | None, over: Callable[[Model], int | None]) -> int:
    """Looks again and again. An API server that is away for a while ends no watch; one that was never there does."""
    began, answered = time.monotonic(), False
    while True:
        try:
            code, answered = over(model(kubectl, name)), True
        except NoClusterError:
            if not answered:
                raise
            code = None
        if code is not None:
            return code
        if timeout is not None and time.monotonic() - began >= timeout:
            return TIME_OVER
        time.sleep(EVERY)


def _say(options: argparse.Namespace, now: Model, line: str) -> None:
    at = shown(time.time()) or ""
    if options.output == "json":
        told = {"time": at, "phase": now.phase, "waitsFor": now.waits_for, "rollout": of_rollout(now.rollout)}
        print(json.dumps({"schemaVersion": 1, "namespace": now.namespace, "model": now.name, **told}), flush=True)
        return
    first, *rest = wrapped(line, 11)
    print("\n".join([f"{at[11:]:11}{first.strip()}".rstrip(), *rest]), flush=True)


def seconds(text: str) -> float:
    """An argument. Raises argparse.ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


COMMAND = Command("rollout", "watch a model's rollout, or promote, pause, resume, abort or retry it", add, run)
