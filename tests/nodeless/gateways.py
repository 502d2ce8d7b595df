"""Stands in for a Gateway's controller: it says of HTTPRoutes what the test wants. The gateway tier has a real one."""

from typing import Any

from modelward.kube.resources import HTTP_ROUTES

from .cluster import Cluster

NOW = "2026-01-01T00:00:00Z"


class FakeGateways:
    """`refuses`: the reason for which no Gateway takes a route, None: each takes it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.refuses: str | None = None

    def routes(self) -> list[dict[str, Any]]:
        listed = self._cluster.request("GET", HTTP_ROUTES.path(self._namespace))
        return list(listed["items"]) if listed else []

    def settle(self) -> None:
        """Say it of the newest form of every route."""
        for route in self.routes():
            parents = [self._verdict(each, route["metadata"]["generation"]) for each in route["spec"]["parentRefs"]]
            if route.get("status", {}).get("parents") != parents:
                path = HTTP_ROUTES.path(self._namespace, route["metadata"]["name"], "status")
                self._cluster.request("PATCH", path, {"status": {"parents": parents}}, "application/merge-patch+json")

    def _verdict(self, parent: dict[str, Any], generation: int) -> dict[str, Any]:
        common = {"observedGeneration": generation, "lastTransitionTime": NOW}
        taken = {"status": "True", "reason": "Accepted", "message": ""}
        refused = {"status": "False", "reason": self.refuses, "message": "there is no such listener"}
        return {
            "parentRef": parent,
            "controllerName": "test.modelward.io/gateways",
            "conditions": [
                {"type": "Accepted", **common, **(refused if self.refuses else taken)},
                {"type": "ResolvedRefs", **common, **taken, "reason": "ResolvedRefs"},
            ],
        }
