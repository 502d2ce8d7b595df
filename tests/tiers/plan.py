"""Which tests run when: what waits for pods waits beside what computes, what does something to the whole cluster runs
on it alone, and what counts every request, or measures, has the machine for itself at the end.
"""

import sys
from pathlib import Path

from tiers.lanes import Step

PYTEST = (sys.executable, "-m", "pytest")
LOCALCLUSTER = (sys.executable, "-m", "localcluster")

WITHOUT_NODES = ("tests/api", "tests/chaos", "tests/scale")
ON_THE_CLUSTER = ("tests/e2e", "tests/gateway")

ASKED_FOR = {"tests/flux": "check-flux"}
"""Folders that only who names them runs, since what they need is built for up to an hour; by which command of make."""

BESIDE_OTHERS, ONE_AT_A_TIME, QUIET = "not alone and not quiet", "alone and not quiet", "quiet"
"""Marks by which these are chosen: each test by one of them."""

COMPUTING = "auto"
"""How many tests compute at a time: one a core."""

ASKING = "3"
"""How many tests, each with an API server of its own, wait for it at a time."""

WAITING = "3"
"""How many tests wait for pods at a time."""

YIELDING = ("nice", "-n", "5")
"""What computes takes what the cluster leaves: pods' deadlines are in seconds, those of a sum are not."""


def phases(folder: Path) -> list[dict[str, list[Step]]]:
    """Lanes by name, of each phase; the next phase begins when all of them have ended. Each pytest leaves its tally in
    `folder`.
    """

    def tests(name: str, *arguments: str, before: tuple[str, ...] = ()) -> Step:
        return Step(name, [*before, *PYTEST, f"--tally={folder / name.replace(' ', '-')}.json", *arguments])

    by_file = ("--dist=loadfile", "--no-loadscope-reorder", "-n")
    return [
        {
            "computing": [
                tests("unit and property", *by_file, COMPUTING, "tests/unit", "tests/property", before=YIELDING),
                tests("api, chaos and scale", *by_file, ASKING, *WITHOUT_NODES, before=YIELDING),
                tests("integration", *by_file, "2", "tests/integration", before=YIELDING),
                Step(
                    "packages and workflows in real systems",
                    [*YIELDING, sys.executable, "-m", "integrationscheck", "--short"],
                ),
            ],
            "cluster": [
                # What an earlier run left (a demo, tests that were cut off) fills the node: none of it stays.
                Step("take an earlier cluster away", [*LOCALCLUSTER, "down"]),
                Step("bring the cluster up", [*LOCALCLUSTER, "up"]),
                Step("build the images", [*LOCALCLUSTER, "images"]),
                Step("install the operator", [*LOCALCLUSTER, "install"]),
                Step("install a Gateway", [*LOCALCLUSTER, "gateway-up"]),
                tests("e2e and gateway, beside each other", *by_file, WAITING, "-m", BESIDE_OTHERS, *ON_THE_CLUSTER),
                tests("e2e and gateway, one at a time", "-m", ONE_AT_A_TIME, *ON_THE_CLUSTER),
            ],
        },
        {"quiet": [tests("e2e and gateway, on a quiet machine", "-m", QUIET, *ON_THE_CLUSTER)]},
    ]
