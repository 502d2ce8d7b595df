"""A router that changes to TLS and back, as a real API server takes it: the Service changes when every pod has."""

from typing import Any

from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until

ROUTER = "fraud-router"
TLS = {"tls": {"secretName": "fraud-tls"}}


def ports(model: Model) -> dict[str, tuple[int, Any]]:
    found = model.cluster.get("service", "fraud", "-n", model.namespace)["spec"]["ports"]
    return {each["name"]: (each["port"], each["targetPort"]) for each in found}


def pod_ports(model: Model) -> set[str]:
    pod = model.cluster.get("deployment", ROUTER, "-n", model.namespace)["spec"]["template"]["spec"]
    return {each["name"] for each in pod["containers"][0]["ports"]}


PLAIN = {"http": (80, "http"), "grpc": (9000, "http")}
SECURE = {"https": (443, "https"), "grpc": (9000, "https")}


async def test_clients_are_led_to_tls_when_every_pod_speaks_it_and_back(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        assert ports(model) == PLAIN
        model.kubelet.broken = {ROUTER}  # their Secret is missing
        model.apply(router=TLS)
        await until(lambda: "https" in pod_ports(model), "pods that speak TLS")
        model.kubelet.settle()
        await until(lambda: model.condition("Ready")["reason"] == "WaitingForRouter", "the router's turn")
        assert ports(model) == PLAIN
        assert model.get()["status"]["url"].startswith("http://")
        assert model.condition("Servable")["status"] == "True"
        model.kubelet.broken = set()
        await until(lambda: model.is_ready() and ports(model) == SECURE, "TLS")
        await until(lambda: model.get()["status"]["url"].startswith("https://"), "its address")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before
        model.kubelet.broken = {ROUTER}
        model.apply()
        await until(lambda: "http" in pod_ports(model), "pods that speak plain HTTP")
        model.kubelet.settle()
        await until(lambda: model.condition("Ready")["reason"] == "WaitingForRouter", "the router's turn again")
        assert ports(model) == SECURE
        model.kubelet.broken = set()
        await until(lambda: model.is_ready() and ports(model) == PLAIN, "plain HTTP")
        await until(lambda: model.get()["status"]["url"].startswith("http://"), "its address again")


async def test_a_model_that_begins_with_tls_never_has_another_address(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(router=TLS)
        await until(model.is_ready, "ready")
        assert ports(model) == SECURE
        assert model.get()["status"]["grpcAddress"].endswith(":9000")
        cluster.kubectl("delete", "service", "fraud", "-n", model.namespace)
        await until(lambda: "Service/fraud" in model.objects() and ports(model) == SECURE, "the Service again")
