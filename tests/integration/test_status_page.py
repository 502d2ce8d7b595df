"""The page of `modelward ui` in a real browser: Debian's Chromium, by Playwright. The cluster is a stand-in for kubectl
that gives out objects; what the API server allows is held by tests/unit/cli."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fleets
from foreign import environment
from localcluster import debian
from modelward_cli.page.view import STATES
from unit.cli.world import PACKAGES, Namespace

BROWSER = Path(__file__).parents[1] / "browser"
PACKAGE = {"/usr/bin/chromium": "chromium", "/usr/share/fonts/truetype/dejavu": "fonts-dejavu-core"}
LEAST_CONTRAST = 4.5
"""Of WCAG 2.2, level AA."""

LONG = "x" * 200


def poisoned() -> dict[str, Any]:
    """A model whose owner is no friend, and likes to write much."""
    poison = f"<img src=x onerror=alert(1)><script>alert(1)</script>{LONG}"
    arm = fleets.arm("poison", "a", "7", 100, uri=f"javascript:alert(1)//{LONG}", message=poison)
    return fleets.model("poison", "Failed", fleets.stalled(poison, poison), stable=arm)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser saw. Pictures are kept where MODELWARD_PICTURES says, to be looked at."""
    debian.ensure(PACKAGE)
    python = environment("browser", BROWSER / "requirements.lock") / "python"
    folder = tmp_path_factory.mktemp("page")
    pictures = Path(os.environ.get("MODELWARD_PICTURES") or folder)
    namespace = Namespace(folder)
    bodies, policies, runs = fleets.everything()
    namespace.holds("modeldeployments.modelward.io", *bodies, poisoned())
    namespace.holds("driftpolicies.modelward.io", *policies)
    namespace.holds("retrainingruns.modelward.io", *runs)
    command = [sys.executable, "-S", "-m", "modelward_cli", "ui", "--kubectl", namespace.program]
    process = subprocess.Popen(
        [*command, "-o", "json", "--every", "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        looked = subprocess.run(
            [python, BROWSER / "watch.py", address, pictures, str(process.pid)], env={**os.environ, "PYTHONPATH": ""},
            capture_output=True, text=True, timeout=270, check=False,
        )  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert looked.returncode == 0, looked.stderr[-3000:]
    assert errors == ""
    found: dict[str, Any] = json.loads(looked.stdout)
    return found


def test_each_state_is_shown_in_every_size_and_scheme(seen: dict[str, Any]) -> None:
    assert len(seen["sizes"]) == 6
    for each in seen["sizes"]:
        where = f"{each['size']} {each['scheme']}"
        assert set(each["states"]) == set(STATES.values()), where
        assert each["opened"] == each["cards"] == len(STATES) + 1, "what is shut is on no picture"
        assert each["overflow"] <= 0, f"{where}: wider than the window"
        assert each["contrast"] >= LEAST_CONTRAST, where
    assert len({each["background"] for each in seen["sizes"]}) == 2, "light, and dark"


def test_nothing_is_asked_of_others_and_nothing_is_refused(seen: dict[str, Any]) -> None:
    for each in seen["sizes"]:
        assert each["trouble"] == [], "such as what the page's own policy forbids"
        assert len(each["hosts"]) == 1


def test_a_keyboard_is_enough(seen: dict[str, Any]) -> None:
    assert seen["keyboard"] == {
        "skip": ["To the models", True], "first": "SUMMARY", "opened": True, "region": ["scroll", "Revisions"],
    }  # fmt: skip


def test_it_comes_anew_and_leaves_what_a_person_does_alone(seen: dict[str, Any]) -> None:
    live = seen["live"]
    assert live["kept"] == ["SUMMARY", live["name"]]
    assert live["opened"] is True
    assert (live["pressed"], live["still"]) == ("true", True)


def test_without_scripts_it_is_filtered_and_comes_anew(seen: dict[str, Any]) -> None:
    assert seen["unscripted"] == {"cards": 1, "after": 1}


def test_a_script_that_got_in_could_do_nothing(seen: dict[str, Any]) -> None:
    assert seen["inline"] == {"refused": True, "html": True, "hacked": None}


def test_other_pages_learn_nothing_even_with_the_address(seen: dict[str, Any]) -> None:
    elsewhere = seen["elsewhere"]
    assert {elsewhere[name] for name in ("cors", "blind", "image")} == {"refused"}
    assert elsewhere["framed"] == 0
    assert elsewhere["rebound"]["status"] == 421
    assert "under another name" in elsewhere["rebound"]["text"]


def test_the_end_of_the_program_is_told(seen: dict[str, Any]) -> None:
    assert "has ended; what is shown is old" in seen["ended"]["said"]
    assert seen["ended"]["cards"] == len(STATES) + 1
    assert seen["ended"]["title"] == "! Modelward"
