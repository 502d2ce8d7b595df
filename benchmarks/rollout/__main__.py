"""`python -m benchmarks.rollout [--short]`: the simulation and the load test; a table, and JSON on the last line.

The load test needs the cluster and installs the operator of this checkout into it (minutes on a fresh machine).
Exit code 0 where everything could be measured and no request was lost.
"""

import argparse
import json
import secrets
import sys

from examples.demo.cluster import create_namespace, install_store
from examples.demo.model import train

from benchmarks.rollout import simulation, under_load
from e2e.model import Model
from localcluster import cluster, install
from localcluster.clients import kubectl
from localcluster.progress import SetupError, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer simulated rollouts")
    chosen = parser.parse_args()
    try:
        simulated = simulation.run(short=chosen.short)
        loaded = load_test()
    except SetupError as error:
        say(str(error))
        return 1
    print(simulation.table(simulated), end="\n\n")
    ends = ", ".join(f"{count} {end}" for end, count in loaded.ends.items())
    print(f"{loaded.rollouts} rollouts under load ({ends}): {loaded.requests.total()} requests, {loaded.lost} lost\n")
    print(json.dumps({"lost_requests": loaded.lost, "rollouts": loaded.rollouts, **simulation.summary(simulated)}))
    return int(loaded.lost > 0)


def load_test() -> under_load.Result:
    """On the real cluster, in a namespace of its own."""
    namespace = f"bench-{secrets.token_hex(3)}"
    cluster.up()
    install.install()
    create_namespace(namespace)
    try:
        install_store(namespace)
        trained = train(trees=20)
        under_load.publish_versions(namespace, trained)
        return under_load.run(Model(namespace, "rolling"), trained)
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


sys.exit(main())
