"""Shows a ModelDeployment while it changes: its conditions until it is ready, and its rollout step by step."""

import time
from collections.abc import Collection
from typing import Any

from examples.demo import objects

READY_SECONDS = 300.0

WIDTH = 25
"""Characters of the bar that shows a weight."""


class NotReadyError(Exception):
    """The model did not become ready in time; the message holds the conditions."""


def get(namespace: str, name: str) -> dict[str, Any]:
    return objects.get("modeldeployments", namespace, name)


def wait_until_ready(namespace: str, name: str, version: str) -> dict[str, Any]:
    """Print each change of a condition until Ready is True for the newest spec and the registry's `version`.

    Returns the object.
    """
    began = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        body = get(namespace, name)
        status = body.get("status", {})
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        for kind, each in conditions.items():
            text = f"{kind}={each['status']:<5} {each['reason']}: {each['message']}"
            if shown.get(kind) != text:
                shown[kind] = text
                print(f"    {time.monotonic() - began:5.1f}s  {text}", flush=True)
        fresh = status.get("observedGeneration") == body["metadata"]["generation"]
        there = status.get("stable", {}).get("version") == version == status.get("model", {}).get("version")
        if fresh and there and "candidate" not in status and conditions.get("Ready", {}).get("status") == "True":
            return body
        if time.monotonic() - began > READY_SECONDS:
            raise NotReadyError(f"{namespace}/{name} is not ready after {READY_SECONDS:.0f} s: {shown}")
        time.sleep(0.2)


def watch_rollout(namespace: str, name: str, uri: str, ends: Collection[str]) -> dict[str, Any]:
    """Print where the rollout of the artifact at `uri` stands, once a change, until its phase is one of `ends`."""
    began = time.monotonic()
    last = ""
    while True:
        body = get(namespace, name)
        status = body.get("status", {})
        rollout = status.get("rollout", {})
        if rollout.get("uri") == uri:
            text = line(status)
            if text != last:
                last = text
                print(f"    {time.monotonic() - began:5.1f}s  {text}", flush=True)
            if rollout["phase"] in ends:
                print(f"           {rollout['message']}")
                return body
        if time.monotonic() - began > READY_SECONDS:
            raise NotReadyError(f"the rollout of {namespace}/{name} did not end in {READY_SECONDS:.0f} s: {last}")
        time.sleep(0.5)


def line(status: dict[str, Any]) -> str:
    """A rollout in one line: its weight as a bar, its step, and what each gate has seen."""
    rollout = status["rollout"]
    promoted = rollout["phase"] == "Promoted"
    weight = 100 if promoted else status.get("candidate", {}).get("weight", 0)
    filled = round(weight * WIDTH / 100)
    gates = "  ".join(f"{each['name']} {bad(each)} {each['verdict']}" for each in rollout.get("gates", ()))
    return f"[{'█' * filled}{'·' * (WIDTH - filled)}] {weight:3}%  {rollout['progress']:<15} {gates}"


def bad(gate: dict[str, Any]) -> str:
    """What the candidate did wrong, of how much."""
    candidate = gate.get("candidate")
    return f"{candidate['bad']}/{candidate['requests']}" if candidate else gate["message"]
