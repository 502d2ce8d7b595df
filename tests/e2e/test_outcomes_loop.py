"""The loop that outcomes close, on a real cluster: the same inputs come to mean something else, which no input tells.
What clients report does, a Job trains, and its model is promoted by what became of its own predictions.
"""

import contextlib
import io
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import urllib3
from examples.demo.cluster import forwarded, publish
from examples.demo.model import Trained
from examples.demo.outcomes import READ_OTHERWISE

from localcluster.clients import kubectl

from .model import Model, until
from .test_loop import LONG, Policy, accuracy, policy
from .test_monitors import BUNDLE
from .test_quality import LABEL, LOG

__all__ = ["policy"]

TASK = {"kind": "Classes", "label": LABEL}
BATCH = 50
"""Rows of a request."""

SECONDS = 540.0
"""Longest that clients go on: two evaluations by the minute, a training Job, a new pod, and its outcomes."""

ROLLOUT = {
    "steps": [{"weight": 50, "hold": "0s"}],
    "gates": {
        "errorRate": {"margin": "20%"}, "minSamples": 50,
        "quality": {
            "task": TASK, "every": "1m", "minSamples": 200, "metrics": [{"name": "accuracy", "margin": "0.05"}],
        },
    },
}  # fmt: skip


class Clients:
    """They ask a batch of rows at a time, and report at once what each was. `labels`: what people call the rows."""

    def __init__(self, model: Model, rows: Any, labels: Any) -> None:
        self.labels = labels
        self.refused: list[str] = []
        self._model, self._rows = model, rows
        self._number = itertools.count()
        self._over = threading.Event()

    def go_on(self) -> None:
        with forwarded(self._model.namespace, self._model.name, 80) as address, urllib3.PoolManager() as pool:
            while not self._over.wait(0.4):
                self._ask(pool, f"http://{address}/v2/models/{self._model.name}")

    def _ask(self, pool: urllib3.PoolManager, url: str) -> None:
        number = next(self._number)
        key = f"{self._model.name}-{number}"
        chosen = np.arange(number * BATCH, (number + 1) * BATCH) % len(self._rows)
        rows, labels = self._rows[chosen], self.labels[chosen].tolist()
        tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
        told = [{"key": key, "row": row, "value": str(label)} for row, label in enumerate(labels)]
        for verb, body in (("infer", {"inputs": [tensor]}), ("outcomes", {"outcomes": told})):
            answer = pool.request("POST", f"{url}/{verb}", json=body, headers={"modelward-key": key}, timeout=30.0)
            if answer.status not in (200, 202):
                self.refused.append(f"{verb}: {answer.status} {answer.data[:200]!r}")

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self.go_on, daemon=True)
        thread.start()
        try:
            yield
            assert thread.is_alive(), "clients ended before the test did"
        finally:
            self._over.set()
            thread.join(60)


@pytest.mark.timeout(900)  # several waits, each of which says what was waited for
def test_what_clients_report_has_a_model_trained_and_promoted(
    model: Model, policy: Policy, trained: Trained, measured: Callable[[str], None]
) -> None:
    content, meant = io.BytesIO(), READ_OTHERWISE[trained.labels]
    np.savez(content, rows=trained.train_rows, labels=READ_OTHERWISE[trained.train_labels])
    publish(model.namespace, "models", {f"{model.name}/data/latest.npz": content.getvalue()})
    model.apply(
        BUNDLE, monitor={"window": {"duration": "5s", "minSamples": 200}}, predictionLog=LOG, rollout=ROLLOUT
    )  # fmt: skip
    model.settle()
    first = model.stable()
    clients = Clients(model, trained.rows, meant)
    with clients.at_work():
        policy.apply(
            quality={
                "task": TASK, "schedule": {"cron": "* * * * *"}, "minSamples": 200,
                "metrics": [{"name": "accuracy", "min": "0.9"}],
            },
            actions={"inputs": "Warn", "quality": "Retrain"},
        )  # fmt: skip
        until(lambda: policy.condition("Drifted")["message"].startswith("accuracy is "), "too low a value", LONG)
        ended = until(policy.ended, "the end of the run", SECONDS)
    assert clients.refused == []
    assert (ended["status"]["phase"], ended["spec"]["trigger"]) == ("Promoted", "Drift"), ended
    status = model.get()["status"]
    assert status["stable"]["revision"] != first
    gates: dict[str, Any] = {each["name"]: each for each in status["rollout"]["gates"]}
    assert gates["quality:accuracy"]["verdict"] == "Pass"
    assert gates["quality:accuracy"]["outcomes"]["rows"] >= 200
    assert accuracy(model, trained.rows, meant) > 0.9
    measured(f"promoted by outcomes: {gates['quality:accuracy']['message']}; {json.dumps(ended['status']['holdout'])}")
    assert kubectl("get", "dp", model.name, "-n", model.namespace, "--no-headers").split()[0] == model.name
