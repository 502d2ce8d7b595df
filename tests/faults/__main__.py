"""The command line: `python -m faults`. Needs a cluster that nothing else is done to."""

import contextlib
import json
import secrets
import sys
import time
from dataclasses import dataclass
from typing import Any

from examples.demo.cluster import create_namespace, install_store
from examples.demo.load import load
from examples.demo.model import Trained, train
from examples.observe import installed
from examples.observe.installed import Observed

from e2e.model import Model, until
from faults import cases, panels
from faults.cases import Fault
from localcluster import cluster, install
from localcluster.clients import kubectl
from localcluster.progress import say
from manifests.alerts import generate

QUIET_SECONDS = 150.0
"""How long clients are served well before anything happens, so that rates have a yesterday of their own."""

TOLD_SECONDS = 2400.0
"""Within which each alert has to come: of the slowest, five minutes of patience, a quarter of an hour, and reserves."""

READY_SECONDS = 300.0
LONGEST = 3600


@dataclass
class Told:
    """What came of a fault: seconds from it to its alert, and the alert's words."""

    fault: Fault
    seconds: float | None = None
    summary: str = ""


def main() -> int:
    cluster.up()
    install.install()
    installed.install()
    namespace = f"faults-{secrets.token_hex(3)}"
    trained = train(trees=20)
    create_namespace(namespace)
    try:
        install_store(namespace)
        cases.publish_artifacts(namespace, trained)
        with installed.observed() as observed:
            return check(namespace, trained, observed)
    finally:
        install.install()  # brings back what the operator was deprived of
        kubectl("delete", "namespace", namespace, "--wait=false")


def check(namespace: str, trained: Trained, observed: Observed) -> int:
    faults = cases.faults(namespace, trained)
    models = {fault.name: Model(namespace, fault.name) for fault in faults}
    for fault in faults:
        cases.apply(models[fault.name], fault.key, **fault.spec)
    for fault in faults:
        until(models[fault.name].is_settled, f"{fault.name} settled", READY_SECONDS)
    cases.watch_drift(models["drifted-feature"])
    with contextlib.ExitStack() as before:
        for fault in faults:
            before.enter_context(sent(models[fault.name], fault, fault.before))
        say(f"{len(faults)} models are served well for {QUIET_SECONDS:.0f} s")
        quiet = alarms(observed, namespace, QUIET_SECONDS)
        changed = [fault for fault in faults if fault.after is not None]
        total, empty = panels.without_data(observed, [(namespace, fault.name) for fault in faults])
        with contextlib.ExitStack() as after:
            for fault in changed:
                after.enter_context(sent(models[fault.name], fault, fault.after))
            told, others = strike(faults, models, observed, namespace)
    return report(told, [*quiet, *others], total, empty)


def sent(model: Model, fault: Fault, rows: Any) -> contextlib.AbstractContextManager[Any]:
    """Its clients' requests, while the block lasts."""
    name = "input" if fault.key == "bundle" else "X"
    bodies = [
        json.dumps({"inputs": [{"name": name, "shape": [1, len(row)], "datatype": "FP32", "data": row}]})
        for row in rows.tolist()
    ]
    address = f"http://{model.name}/v2/models/{model.name}/infer"
    return load(model.namespace, "rest", address, *bodies, rate=fault.rate, longest=LONGEST)


def alarms(observed: Observed, namespace: str, seconds: float) -> list[dict[str, Any]]:
    """What is told within `seconds`, though nothing is wrong."""
    end = time.monotonic() + seconds
    found: dict[str, dict[str, Any]] = {}
    while time.monotonic() < end:
        found |= {each["fingerprint"]: each for each in observed.alerts() if ours(each, namespace)}
        time.sleep(5)
    return list(found.values())


def ours(alert: dict[str, Any], namespace: str) -> bool:
    """Not of models that others have on this cluster."""
    return alert["labels"].get("namespace", namespace) in (namespace, "modelward-system")


class Watch:
    """What has been told so far: `told`, of each fault, and `others`, of none, by fingerprint."""

    def __init__(self, faults: list[Fault], observed: Observed, namespace: str) -> None:
        self.told = {fault.name: Told(fault) for fault in faults}
        self.others: dict[str, dict[str, Any]] = {}
        self._began: dict[str, float] = {}
        self._observed, self._namespace = observed, namespace

    def strike(self, fault: Fault, model: Model) -> None:
        say(f"{fault.name}: {fault.about}")
        self._began[fault.name] = time.monotonic()
        fault.strike(model)
        if fault.arrives:
            until(lambda: phase(model) == fault.arrives, f"{fault.name} {fault.arrives}", READY_SECONDS)

    def look(self) -> bool:
        """Whether all that has happened is told of."""
        for alert in self._observed.alerts():
            found = next((each for each in self.told.values() if self._tells(alert, each.fault)), None)
            if found is not None:
                self._note(found, alert)
            elif ours(alert, self._namespace):
                self.others[alert["fingerprint"]] = alert
        return all(self.told[name].seconds for name in self._began)

    def _tells(self, alert: dict[str, Any], fault: Fault) -> bool:
        return fault.name in self._began and tells(alert, fault)

    def _note(self, told: Told, alert: dict[str, Any]) -> None:
        if told.seconds is None:
            told.seconds = time.monotonic() - self._began[told.fault.name]
            told.summary = alert["annotations"]["summary"]
            say(f"{told.fault.name}: {told.summary} ({told.seconds:.0f} s)")


def strike(
    faults: list[Fault], models: dict[str, Model], observed: Observed, namespace: str
) -> tuple[list[Told], list[dict[str, Any]]]:
    """All faults at once; the operator's once it has told of the others. What was told of each, and of none."""
    watch = Watch(faults, observed, namespace)
    end = time.monotonic() + TOLD_SECONDS
    for of_the_operator in (False, True):
        for fault in faults:
            if fault.of_the_operator == of_the_operator:
                watch.strike(fault, models[fault.name])
        while not watch.look():
            if time.monotonic() > end:
                return list(watch.told.values()), list(watch.others.values())
            time.sleep(5)
    return list(watch.told.values()), list(watch.others.values())


def phase(model: Model) -> str | None:
    """Of its last rollout."""
    found: str | None = model.get().get("status", {}).get("rollout", {}).get("phase")
    return found


def tells(alert: dict[str, Any], fault: Fault) -> bool:
    """Whether it is the alert that has to tell of the fault."""
    labels = alert["labels"]
    subject = labels.get("model", labels.get("name", ""))
    named = fault.of_the_operator or subject == fault.name
    return named and (labels["alertname"], labels["severity"]) == (fault.alert, fault.severity)


def report(told: list[Told], others: list[dict[str, Any]], total: int, empty: list[str]) -> int:
    """A table, and one line of JSON. Returns 0 where all was told and nobody was woken for nothing."""
    print(f"\n{'fault':<18}{'alert':<24}{'severity':<10}{'after':>8}  what was told")
    for each in told:
        after = f"{each.seconds:.0f} s" if each.seconds else "never"
        print(f"{each.fault.name:<18}{each.fault.alert:<24}{each.fault.severity:<10}{after:>8}  {each.summary}")
    pages = [alert for alert in others if alert["labels"]["severity"] == "page"]
    for alert in others:
        labels = alert["labels"]
        print(f"besides: {labels['severity']} {labels['alertname']}: {alert['annotations']['summary']}")
    for about in empty:
        print(f"no data: {about}")
    alerts = {each.name for each in generate.alerts()}
    alerted = sum(each.seconds is not None for each in told)
    figures = {
        "panels": total, "panels_without_data": len(empty), "alerts": len(alerts), "faults": len(told),
        "faults_alerted": alerted, "false_pages": len(pages),
    }  # fmt: skip
    print(json.dumps(figures))
    return 0 if alerted == len(told) and not pages else 1


if __name__ == "__main__":
    sys.exit(main())
