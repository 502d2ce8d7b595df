"""`make observe`: Prometheus and Alertmanager for the cluster that the demo runs on."""

import argparse
import sys
import time

from examples.observe import installed
from localcluster import cluster
from localcluster.progress import SetupError, step

SCRAPED_SECONDS = 60.0


def up() -> None:
    cluster.up()
    with step("installing Prometheus and Alertmanager"):
        installed.install()
    with installed.observed() as observed:
        print(targets(observed))
    print(f"""
    export KUBECONFIG=$(make -s kubeconfig)
    kubectl port-forward -n {installed.NAMESPACE} service/observe 9090:9090 9093:9093 &
    Prometheus:   http://localhost:9090/targets  http://localhost:9090/alerts
    Alertmanager: http://localhost:9093
    A Grafana with this Prometheus as its source draws manifests/dashboards/*.json (docs/dashboards.md).
    `make observe-down` takes both away.""")


def targets(observed: installed.Observed) -> str:
    """What is scraped, in words, as soon as something is."""
    end = time.monotonic() + SCRAPED_SECONDS
    while True:
        health = observed.targets()
        up = sum(each == "up" for each in health.values())
        if (health and up == len(health)) or time.monotonic() > end:
            break
        time.sleep(1)
    if not health:
        return "    nothing to scrape yet: no operator and no model is there (`make demo` brings both)"
    down = [f"    {url} is {state}" for url, state in sorted(health.items()) if state != "up"]
    return "\n".join([f"    {up} of {len(health)} targets are scraped", *down])


def main() -> int:
    parser = argparse.ArgumentParser(prog="examples.observe")
    parser.add_argument("verb", choices=["up", "down"])
    try:
        up() if parser.parse_args().verb == "up" else installed.remove()
    except (SetupError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
