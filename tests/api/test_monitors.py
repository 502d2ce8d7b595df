"""Monitoring against a real API server: what status says, what is stored, and what a restart makes of it."""

from typing import Any

from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.monitors import FakeMonitors, reference
from nodeless.operator_process import operator, until

MONITOR = {"window": {"duration": "1s", "minSamples": 100}}


def drifted(model: Model) -> Any:
    return model.get()["status"].get("monitor", {}).get("window", {}).get("drifted")


async def test_drift_is_in_status_and_survives_a_restart(cluster: Cluster, model: Model) -> None:
    monitors = FakeMonitors(reference())
    async with operator(cluster, sidecars=monitors):
        model.apply(monitor=MONITOR)
        await until(model.is_ready, "ready")
        await until(lambda: model.condition("Monitored")["reason"] == "Counting", "monitored")
        pod = next(iter(monitors.by_pod))
        monitors.of(pod).take(400)
        await until(lambda: drifted(model) == 0, "a window without drift")
        monitors.of(pod).take(400, shift=1.0)
        await until(lambda: drifted(model) == 2, "a window with drift")
    said = model.get()["status"]["monitor"]
    assert said["features"][0]["name"] == "amount"
    assert said["window"]["rows"] == 400
    assert said["reference"] == {"digest": reference().digest, "source": "Training", "rows": 5000, "features": 2}
    revision = model.stable()["revision"]
    assert f"ConfigMap/{revision}-monitor" in model.objects()
    async with operator(cluster, identity="next", sidecars=monitors) as second:
        await until(lambda: monitors.asked and second.is_idle(), "the pods read again")
        assert model.get()["status"]["monitor"]["window"] == said["window"]
        monitors.of(pod).take(250)
        await until(lambda: drifted(model) == 0, "the window that was open goes on")
        assert model.get()["status"]["monitor"]["window"]["rows"] == 250
        model.apply(version=2, monitor=MONITOR)
        await until(model.is_second, "the second version alone")
        await until(
            lambda: f"ConfigMap/{revision}-monitor" not in model.objects(), "what was stored of the first, gone"
        )


async def test_a_model_without_a_monitor_has_no_condition_and_no_question(cluster: Cluster, model: Model) -> None:
    monitors = FakeMonitors(reference())
    async with operator(cluster, sidecars=monitors):
        model.apply()
        await until(model.is_ready, "ready")
    assert model.condition("Monitored")["status"] == ""
    assert monitors.asked == 0


async def test_monitors_that_are_mute_do_not_hold_the_model_up(cluster: Cluster, model: Model) -> None:
    monitors = FakeMonitors(reference())
    async with operator(cluster, sidecars=monitors):
        model.apply(monitor=MONITOR)
        await until(lambda: monitors.by_pod or model.kubelet.settle(), "a pod that was asked")
        for monitor in monitors.by_pod.values():
            monitor.mute = True
        await until(model.is_ready, "ready all the same")
        await until(lambda: model.condition("Monitored")["reason"] == "MonitorUnreachable", "what is the matter")
        assert model.condition("Stalled")["status"] == "False"
