"""`ui`: the fleet as a page in a browser on this machine, kept up to date until the command is ended.

It asks the cluster by kubectl, so that whoever looks sees what he may list, and nothing of the cluster is opened to
anybody. Exit code 0: it was ended (Ctrl-C); 1: the cluster does not answer, or the port is taken.
"""

import argparse
import json
import signal
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from modelward_cli.commands.command import Command
from modelward_cli.fleet.read import fleet_of
from modelward_cli.kubectl import Kubectl, KubectlError, named
from modelward_cli.page.guard import word
from modelward_cli.page.looks import Looks
from modelward_cli.page.server import PageServer

ENDED = 0


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=0, help="of this machine's loopback, else a free one")
    parser.add_argument("--every", type=_seconds, default=5.0, metavar="SECONDS", help="between two looks (5)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    namespaces = [named(each) for each in (kubectl.namespace or "").split(",") if each]
    asked = Kubectl(kubectl.program, None, kubectl.context, kubectl.kubeconfig)
    looks = Looks(lambda: fleet_of(asked, namespaces), time.time, options.every)
    first = looks.look()
    if first.problem is not None:
        raise KubectlError(first.problem)
    try:
        server = PageServer(looks, _where(asked, namespaces), options.every, word(), options.port)
    except OSError as error:
        raise KubectlError(
            f"port {options.port} can't be had: {error.strerror or error}; name another with --port, or none"
        ) from None
    with server, _ended_by_signals(server):
        if options.output == "json":
            print(json.dumps({"schemaVersion": 1, "address": server.address}), flush=True)
        else:
            print(f"{server.address}\nWhoever has this address sees what you may see. Ctrl-C ends it.", flush=True)
        if options.open:
            with _letter(server.address) as letter:
                if not webbrowser.open(letter):
                    print("There is no browser to show it in: open the address yourself.", flush=True)
                server.serve_forever()
        else:
            server.serve_forever()
    return ENDED


def _where(kubectl: Kubectl, namespaces: list[str]) -> str:
    try:
        cluster = f"context {kubectl.current_context()}"
    except KubectlError:
        cluster = "the cluster that kubectl finds"
    if not namespaces:
        return cluster
    return f"{cluster}, {'namespaces' if len(namespaces) > 1 else 'namespace'} {', '.join(namespaces)}"


@contextmanager
def _letter(address: str) -> Iterator[str]:
    """A file that leads a browser to the page: what a program is started with, everybody on this machine can see, and
    the word is for nobody else."""
    with tempfile.TemporaryDirectory(prefix="modelward-ui-") as folder:  # which nobody else may enter
        path = Path(folder) / "open.html"
        path.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0;url={escape(address)}">\n')
        yield path.as_uri()


@contextmanager
def _ended_by_signals(server: PageServer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the server, and with it the command, as they should."""

    def end(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this signal interrupts

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to 3600")
    return found


COMMAND = Command(
    "ui", "the fleet as a page in your browser: models, rollouts, drift, quality, runs", add, run,
    namespace="these, with commas between them; else all, or that of kubectl's context where you may not list all",
)  # fmt: skip
