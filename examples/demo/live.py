"""Shows a ModelDeployment's conditions while they change, and waits for Ready."""

import json
import time
from typing import Any

from localcluster.clients import kubectl

READY_SECONDS = 300.0


class NotReadyError(Exception):
    """The model did not become ready in time; the message holds the conditions."""


def wait_until_ready(namespace: str, name: str, generation: int | None = None) -> dict[str, Any]:
    """Print each change of a condition until Ready is True for the newest spec. Returns the object."""
    began = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        body: dict[str, Any] = json.loads(kubectl("get", "modeldeployment", name, "-n", namespace, "-o", "json"))
        status = body.get("status", {})
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        for kind, each in conditions.items():
            text = f"{kind}={each['status']:<5} {each['reason']}: {each['message']}"
            if shown.get(kind) != text:
                shown[kind] = text
                print(f"    {time.monotonic() - began:5.1f}s  {text}", flush=True)
        wanted = generation or body["metadata"]["generation"]
        fresh = status.get("observedGeneration", 0) >= wanted
        if fresh and conditions.get("Ready", {}).get("status") == "True":
            return body
        if time.monotonic() - began > READY_SECONDS:
            raise NotReadyError(f"{namespace}/{name} is not ready after {READY_SECONDS:.0f} s: {shown}")
        time.sleep(0.2)
