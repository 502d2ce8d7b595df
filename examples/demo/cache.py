"""The demo's cache: a claim that models' pods share, and how long their starts take."""

from datetime import datetime
from typing import Any

from examples.demo import objects
from examples.demo.cluster import HERE
from examples.demo.loop import NAMESPACE
from localcluster import images, settings
from localcluster.clients import kubectl

NODE_NAMESPACE, VOLUME = "modelward-demo-node", "modelward-demo-cache"


def install_cache() -> None:
    """An empty one: what an earlier demo left would make every start a second one."""
    kubectl("delete", "pod", "folder", "-n", NODE_NAMESPACE, "--ignore-not-found")
    if not kubectl("get", "pvc", "modelward-cache", "-n", NAMESPACE, "--ignore-not-found", "-o", "name"):
        kubectl("delete", "pv", VOLUME, "--ignore-not-found")  # it would stay with a claim that is gone
    manifest = (HERE / "cache.yaml").read_text()
    manifest = manifest.replace("docker.io/modelward/inference:dev", images.ensure(["inference"])["inference"])
    manifest = manifest.replace("/var/lib/modelward-demo-cache", str(settings.state_dir() / "volumes" / VOLUME))
    kubectl("apply", "-f", "-", stdin=manifest)
    kubectl("wait", "pod/folder", "-n", NODE_NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
    wait = ("wait", "pvc/modelward-cache", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    kubectl(*wait)


def start_seconds(namespace: str, revision: str) -> list[float]:
    """What each ready pod of a revision took from its download's start until it was ready, the oldest first."""
    pods = objects.find_all("pods", namespace, f"modelward.io/revision={revision}")
    pods.sort(key=lambda each: str(each["metadata"]["creationTimestamp"]))
    return [taken for each in pods if (taken := _seconds(each)) is not None]


def _seconds(pod: dict[str, Any]) -> float | None:
    """None: it is not ready yet."""
    ready = [each for each in pod["status"].get("conditions", ()) if each["type"] == "Ready"]
    steps = pod["status"].get("initContainerStatuses")
    if not ready or ready[0]["status"] != "True" or not steps:
        return None
    began = steps[0]["state"]["terminated"]["startedAt"]
    taken = datetime.fromisoformat(ready[0]["lastTransitionTime"]) - datetime.fromisoformat(began)
    return max(taken.total_seconds(), 1.0)
