"""`python -m benchmarks.serving.versions OLD_CHECKOUT`: what a request costs the server, in that checkout and in this.

Both servers are on one core and are asked at once, each paused while the other has its turn of a fifth of a second: so
whatever else happens on the machine hits both. What is measured is processor time for each request, of the server and
all that it started; a ratio is the median of those of the rounds. Both run with the libraries of this checkout, so only
our own code differs. A figure with a failed request ends the run: exit code 1, with the reason on stderr.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.markdown import markdown
from benchmarks.serving import checks, models
from benchmarks.serving.cases import FORMS, GOAL_CLIENTS, GOAL_MODEL, GRPC, Case
from benchmarks.serving.environments import python_for
from benchmarks.serving.loads import Figure, Loads, cores_and_load
from benchmarks.serving.messages import read_grpc
from benchmarks.serving.processes import ServerProcess
from benchmarks.serving.requests import Request, prepare
from benchmarks.serving.run import Running
from benchmarks.serving.servers import IMAGE, SERVERS, Place, Server, free_ports, modelward
from localcluster import settings
from localcluster.progress import SetupError, say, step

HEADER = ("case", "old, µs", "new, µs", "new / old", "rounds from", "to")

SLICE = 0.2
"""Seconds that one version works while the other is paused."""

Turn = tuple[float, float]
"""Seconds of processor time for a request: of the old version, and of the new one."""


def row(label: str, turns: list[Turn]) -> tuple[str, ...]:
    """Of one case: medians, the median of the ratios, and the least and greatest of them."""
    ratios = [new / old for old, new in turns]
    old, new = (median(each) * 1e6 for each in zip(*turns, strict=True))
    return label, f"{old:.1f}", f"{new:.1f}", f"{median(ratios):.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}"


def _started(image: Path, model: models.Model, folder: Path, core: int) -> Running:
    """A server of one version that answers."""
    ours = SERVERS[0]
    server = Server(str(image), ours.requirements, ours.transports, ours.ready, partial(modelward, image=image))
    place = Place(python_for(ours.environment, ours.requirements), model, folder, core, *free_ports(3))
    command, env = server.launch(place)
    process = ServerProcess(command, env, folder, core)
    try:
        process.wait_ready(f"http://127.0.0.1:{place.port}{server.ready}")
    except SetupError:
        process.stop()
        raise
    return Running(server, place, process)


def _checked(running: Running, request: Request, load: Loads) -> None:
    """Raises SetupError where it answers wrong."""
    if request.case.transport == GRPC:
        checks.compare(read_grpc(load.rpc_once(running.address, request)), request.expected)
    else:
        checks.check_rest(running.url, request)


def _round(both: Sequence[Running], request: Request, load: Loads, seconds: int) -> Turn:
    """Each of them is asked for so long in all, in turns of SLICE. Raises SetupError."""

    def asked(running: Running) -> Figure:
        if request.case.transport == GRPC:
            return load.rpc(running.address, request, 2 * seconds)
        return load.rest(running.url, request, 2 * seconds)

    before = [running.process.cpu_seconds() for running in both]
    with ThreadPoolExecutor(len(both)) as pool:
        loads = [pool.submit(asked, running) for running in both]
        while not all(each.done() for each in loads):
            for running in both:
                running.process.check()
                with running.process.awake():
                    time.sleep(SLICE)
    spent = []
    for running, each, began in zip(both, loads, before, strict=True):
        figure = each.result()
        if figure.failure:
            raise SetupError(f"{running.name}: {figure.failure}")
        spent.append((running.process.cpu_seconds() - began) / figure.requests)
    return spent[0], spent[1]


def compare(checkout: Path, cases: list[Case], rounds: int, seconds: int) -> str:
    """The table. Raises SetupError."""
    core, load = cores_and_load()
    images = (("old", checkout / IMAGE.relative_to(settings.REPOSITORY)), ("new", IMAGE))
    if missing := [str(image) for _, image in images if not image.is_dir()]:
        raise SetupError(f"there is no {missing[0]}; name a checkout, as `git worktree add` makes one")
    rounds_of: dict[Case, list[Turn]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="modelward-versions-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        model = models.train(GOAL_MODEL, folder)
        requests = {case: prepare(model, case, folder) for case in cases}
        both = []
        for home, image in images:
            (folder / home).mkdir()
            with step(f"starting the server of {image}"):
                both.append(_started(image, model, folder / home, core))
            stack.callback(both[-1].process.stop)
            for request in requests.values():
                _checked(both[-1], request, load)
        for running in both:
            running.process.pause()
        for number in range(rounds):
            with step(f"round {number + 1} of {rounds}"):
                for case, request in requests.items():
                    rounds_of[case].append(_round(both, request, load, seconds))
    return markdown(HEADER, [row(case.label, found) for case, found in rounds_of.items()])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.versions", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a checkout of the older version, as `git worktree add` makes one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each version in a round of a case")
    parser.add_argument("--clients", type=int, default=GOAL_CLIENTS)
    parser.add_argument("--only", default="", help="cases whose label has these words")
    chosen = parser.parse_args()
    every = [Case(GOAL_MODEL, *form, chosen.clients) for form in FORMS]
    cases = [case for case in every if chosen.only in case.label]
    if not cases:
        parser.error(f"--only is {chosen.only!r}; cases are {'; '.join(case.label for case in every)}")
    try:
        print(compare(chosen.checkout.resolve(), cases, chosen.rounds, chosen.seconds))
    except SetupError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
