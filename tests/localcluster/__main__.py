"""The command line: `python3 -m localcluster up`."""

import argparse
import json
import sys

from localcluster import binaries, cluster, gatewayapi, images, install, policies
from localcluster.progress import SetupError, say


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="localcluster", description="The cluster for the demo, tests and development."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("up", help="bring the cluster up; seconds where it was up before")
    verbs.add_parser("down", help="take it away, with every trace")
    status = verbs.add_parser("status", help="what runs; exit code 1 where something is missing")
    status.add_argument("--json", action="store_true", help="for scripts")
    verbs.add_parser("kubeconfig", help="print the path of its kubeconfig")
    verbs.add_parser("kubectl", help="print the path of a kubectl of its version")
    build = verbs.add_parser("images", help="build and load images; prints their references as JSON")
    build.add_argument("--only", default=",".join([*install.ROLES, "s3"]), help="roles, separated by commas")
    verbs.add_parser("install", help="build the images and install the operator from this checkout")
    verbs.add_parser("gateway-up", help="install a Gateway API implementation, Envoy Gateway; ten minutes once")
    verbs.add_parser("gateway-down", help="take it away")
    verbs.add_parser("policies-up", help="enforce NetworkPolicies; kind always does")
    verbs.add_parser("policies-down", help="let everything through again")
    arguments = parser.parse_args()
    try:
        return run_verb(arguments)
    except SetupError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next start goes on from here")
        return 130


def run_verb(arguments: argparse.Namespace) -> int:
    match arguments.verb:
        case "up":
            cluster.up()
            say(f"the cluster is up; its kubeconfig: {cluster.kubeconfig()}")
        case "down":
            cluster.down()
        case "status":
            return _status(as_json=arguments.json)
        case "kubeconfig":
            print(cluster.kubeconfig())
        case "kubectl":
            print(binaries.kubectl())
        case "images":
            print(json.dumps(images.ensure(arguments.only.split(","))))
        case "install":
            install.install()
        case "gateway-up":
            gatewayapi.up()
            say(f"Gateway {gatewayapi.GATEWAY} of namespace {gatewayapi.NAMESPACE} takes routes of every namespace")
        case "gateway-down":
            gatewayapi.down()
        case "policies-up":
            policies.up()
        case "policies-down":
            policies.down()
    return 0


def _status(*, as_json: bool) -> int:
    found = cluster.status()
    healthy = bool(found["node_ready"] and found["dns_ready"])
    if as_json:
        print(json.dumps({"healthy": healthy, **found}))
        return 0 if healthy else 1
    print(f"cluster: {'healthy' if healthy else 'not healthy'} ({found['kind']})")
    processes = found.get("processes")
    if isinstance(processes, dict):
        for name, pid in processes.items():
            print(f"  {name:<24} {f'pid {pid}' if pid else 'not running'}")
    print(f"  node ready: {found['node_ready']}, DNS ready: {found['dns_ready']}")
    print(f"  kubeconfig: {found['kubeconfig']}")
    if not healthy:
        print("  `make cluster-up` starts what is missing")
    return 0 if healthy else 1


sys.exit(main())
