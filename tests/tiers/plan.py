"""Which tests run when: what computes has the processor first, what waits for pods waits beside itself, and what does
something to the whole cluster, or counts every request, runs alone at the end.
"""

import sys
from pathlib import Path

from tiers.lanes import Step

PYTEST = (sys.executable, "-m", "pytest")
LOCALCLUSTER = (sys.executable, "-m", "localcluster")

ON_THE_CLUSTER = ("tests/e2e", "tests/gateway")

WAITING = "3"
"""How many tests wait for pods at a time."""


def phases(folder: Path) -> list[dict[str, list[Step]]]:
    """Lanes by name, of each phase; the next phase begins when all of them have ended. Each pytest leaves its tally in
    `folder`.
    """

    def tests(name: str, *arguments: str) -> Step:
        return Step(name, [*PYTEST, f"--tally={folder / name.replace(' ', '-')}.json", *arguments])

    by_file = ("--dist=loadfile", "--no-loadscope-reorder", "-n")
    return [
        {
            "computing": [tests("unit and property", *by_file, "auto", "tests/unit", "tests/property")],
            "cluster": [
                # What an earlier run left (a demo, tests that were cut off) fills the node: none of it stays.
                Step("take an earlier cluster away", [*LOCALCLUSTER, "down"]),
                Step("bring the cluster up", [*LOCALCLUSTER, "up"]),
                Step("build the images", [*LOCALCLUSTER, "images"]),
                Step("install the operator", [*LOCALCLUSTER, "install"]),
                Step("install a Gateway", [*LOCALCLUSTER, "gateway-up"]),
            ],
        },
        {
            "nodeless": [
                tests("api, chaos and scale", *by_file, "2", "tests/api", "tests/chaos", "tests/scale"),
                tests("integration", *by_file, "2", "tests/integration"),
                Step("packages and workflows in real systems", [sys.executable, "-m", "integrationscheck", "--short"]),
            ],
            "cluster": [
                tests("e2e and gateway, beside each other", *by_file, WAITING, "-m", "not alone", *ON_THE_CLUSTER)
            ],
        },
        {"alone": [tests("e2e and gateway, one at a time", "-m", "alone", *ON_THE_CLUSTER)]},
    ]
