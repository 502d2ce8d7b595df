"""A report straight from what the operator stores: written by the operator's own code, read by the command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import owner, pod
from modelward.api.modeldeployment import Monitor, MonitorWindow
from modelward.monitoring import pooling, windows
from modelward.monitoring import store as render
from modelward.monitoring.windows import WindowSettings
from modelward_drift.counting.reading import Reading
from modelward_inference import cli
from modelward_inference.drift_report.stored import read_stored
from modelward_inference.errors import InvalidConfiguration
from nodeless.monitors import FakeMonitor, reference

REFERENCE = reference()
POD = pod("one")
SETTINGS = WindowSettings(60.0, 100)


def stored(closed: int) -> dict[str, Any]:
    """The ConfigMap after some windows, the last of which drifts."""
    pool = pooling.opened(REFERENCE)
    book = windows.opened(pool, 0.0)
    monitor = FakeMonitor(REFERENCE)
    for number in range(1, closed + 1):
        monitor.take(300, shift=1.0 if number == closed else 0.0, seed=number)
        answer = monitor.answer(POD).content
        pool = pooling.heard(pool, [Reading.from_dict(answer, REFERENCE)], frozenset({POD.uid}))
        book = windows.advanced(book, pool, SETTINGS, "fraud-a", 60.0 * number)
    return render.store(owner(), "fraud-a", pool, {"own": book})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.json"


def test_windows_come_back_as_they_were_stored(path: Path) -> None:
    path.write_text(json.dumps(stored(3)))
    kept = read_stored(path)
    found = kept.windows
    assert kept.reference == REFERENCE
    assert kept.settings == WindowSettings(60.0, 1)
    assert [(each.start, each.end, each.rows) for each in found] == [
        (0.0, 60.0, 300), (60.0, 120.0, 300), (120.0, 180.0, 300)
    ]  # fmt: skip


def test_the_command_writes_a_page(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(json.dumps(stored(3)))
    page = path.with_name("report.html")
    assert cli.main(["drift", "report", "--stored", str(path), "--out", str(page)]) == 0
    assert "2 of 2 features drifted" in page.read_text()
    assert "report.html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda body: body["data"].pop("window.own.json"), "no windows of 'own'"),
        (lambda body: body.pop("binaryData"), "kubectl get configmap"),
        (lambda body: body["binaryData"].update({"reference.json.gz": "AAAA"}), "kubectl get configmap"),
        (lambda body: body.update(data={"window.own.json": '{"ended": []}'}), "no window that has ended"),
        (lambda body: body.update(data={"window.own.json": '{"ended": [{}]}'}), "KeyError"),
    ],
)
def test_what_is_no_store_is_refused(path: Path, change: Any, word: str) -> None:
    body = stored(1)
    change(body)
    path.write_text(json.dumps(body))
    with pytest.raises(InvalidConfiguration, match=word):
        read_stored(path)


def test_the_models_own_windows_are_judged_as_the_operator_judges_them(path: Path) -> None:
    """By spec.monitor.window, however long a window went on for want of rows."""
    body = stored(2)
    body["data"] |= watched(duration="30s", rows=200)["data"]
    path.write_text(json.dumps(body))
    assert read_stored(path).settings == WindowSettings(30.0, 200)


def watched(duration: str, rows: int) -> dict[str, Any]:
    """The ConfigMap of a model that says how long its windows are."""
    model = owner()
    asked = replace(model, spec=replace(model.spec, monitor=Monitor(window=MonitorWindow(duration, rows))))
    return render.store(asked, "fraud-a", pooling.opened(REFERENCE), {})
