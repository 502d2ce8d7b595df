"""Writes which pods there are to a file, as Prometheus' own `kubernetes_sd_configs` with `role: pod` would find them.

Debian builds its Prometheus without that, so this runs beside it; another one does not need it. On Python's standard
library alone. What can't be read leaves the file as it is, and is told.
"""

import json
import os
import re
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EVERY_SECONDS = 5
SELECTOR = "app.kubernetes.io%2Fpart-of=modelward"


def groups(pods: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Targets and their labels: one for each port of a container that runs, and of an init container that goes on."""
    for pod in pods:
        metadata, spec, address = pod["metadata"], pod["spec"], pod["status"].get("podIP")
        if not address or pod["status"].get("phase") in ("Succeeded", "Failed"):
            continue
        about = {"__meta_kubernetes_namespace": metadata["namespace"], "__meta_kubernetes_pod_name": metadata["name"]}
        for name, value in metadata.get("labels", {}).items():
            about["__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)] = value
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            for port in container.get("ports", ()):
                labels = {
                    **about,
                    "__meta_kubernetes_pod_container_name": container["name"],
                    "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
                }
                yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels}


def find() -> list[dict[str, Any]]:
    host = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    token = (ACCOUNT / "token").read_text()  # each time: it is renewed
    request = urllib.request.Request(
        f"https://{host}/api/v1/pods?labelSelector={SELECTOR}", headers={"Authorization": f"Bearer {token}"}
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


def main(target: Path) -> None:
    while True:
        try:
            made = target.with_suffix(".new")
            made.write_text(json.dumps(list(groups(find()))))
            made.replace(target)
        except (OSError, ValueError, KeyError) as error:
            print(f"pods are not known: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
