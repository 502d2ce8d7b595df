"""Prometheus and Alertmanager on the cluster: what is applied, and questions to both."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml

from examples.demo.cluster import forwarded
from localcluster import images
from localcluster.clients import kubectl
from manifests.alerts import generate

HERE: Final = Path(__file__).parent
SCRAPE_CONFIGS: Final = HERE.parents[1] / "manifests/monitoring/scrape-configs.yaml"
NAMESPACE: Final = "modelward-observe"
RULES_SECONDS: Final = 15
"""How often rules are looked at. Alerts wait for as long as they do anywhere."""

START: Final = "180s"


def configuration() -> dict[str, Any]:
    """The ConfigMap: the files of Prometheus and Alertmanager by name, jobs and rules as manifests/ has them."""
    jobs = yaml.safe_load(SCRAPE_CONFIGS.read_text())["scrape_configs"]
    for job in jobs:
        # Debian's Prometheus can't ask Kubernetes: discover.py does, and tells it the same.
        del job["kubernetes_sd_configs"]
        job["file_sd_configs"] = [{"files": ["/data/pods.json"], "refresh_interval": "5s"}]
    # In one file: `scrape_config_files` came after Debian's Prometheus, too.
    prometheus = yaml.safe_load((HERE / "prometheus.yaml").read_text()) | {"scrape_configs": jobs}
    files = {
        "prometheus.yaml": yaml.safe_dump(prometheus, sort_keys=False),
        "discover.py": (HERE / "discover.py").read_text(),
        "alertmanager.yaml": (HERE / "alertmanager.yaml").read_text(),
        "modelward.rules.yaml": generate.text_of([generate.plain(interval=RULES_SECONDS)]),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "observe", "namespace": NAMESPACE},
        "data": files,
    }


def install() -> None:
    """Apply both, and wait until they answer. Nothing happens where they run as they should."""
    reference = images.ensure(["observe"])["observe"]
    objects = [*yaml.safe_load_all((HERE / "observe.yaml").read_text()), configuration()]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "-f", "-", stdin=text.replace("docker.io/modelward/observe:dev", reference))
    kubectl("rollout", "status", "deployment/observe", "-n", NAMESPACE, f"--timeout={START}")


def remove() -> None:
    """Take all of it away."""
    kubectl("delete", "clusterrolebinding,clusterrole", NAMESPACE, "--ignore-not-found")
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@dataclass(frozen=True)
class Observed:
    """Both as who forwards their ports asks them; addresses are host:port."""

    prometheus: str
    alertmanager: str

    def values(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression of PromQL has now: `metric` (labels) and `value` ([time, text]) each."""
        answer = _asked(f"http://{self.prometheus}/api/v1/query", query=expression)
        if answer["status"] != "success":
            raise RuntimeError(f"Prometheus answers {expression!r}: {answer.get('error', answer)}")
        return list(answer["data"]["result"])

    def targets(self) -> dict[str, str]:
        """The health of every target (up, down, unknown), by its address."""
        answer = _asked(f"http://{self.prometheus}/api/v1/targets", state="active")
        return {each["scrapeUrl"]: each["health"] for each in answer["data"]["activeTargets"]}

    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager has been told and nobody silenced: `labels`, `annotations`, `receivers` each."""
        return list(_asked(f"http://{self.alertmanager}/api/v2/alerts", silenced="false", inhibited="false"))


def _asked(url: str, **fields: str) -> Any:
    answer = urllib3.request("GET", url, fields=fields, timeout=30.0, retries=urllib3.Retry(3, status_forcelist=[503]))
    return json.loads(answer.data)


@contextlib.contextmanager
def observed() -> Iterator[Observed]:
    """Both, while the block lasts."""
    with forwarded(NAMESPACE, "observe", 9090) as prometheus, forwarded(NAMESPACE, "observe", 9093) as alertmanager:
        yield Observed(prometheus, alertmanager)
