"""The long form of the model-based tests counts its steps, and what breaks."""

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from . import longrun


class Sound(RuleBasedStateMachine):
    """Nothing breaks."""

    value = 0

    @rule(by=st.integers(1, 3))
    def grows(self, by: int) -> None:
        self.value += by


class Broken(Sound):
    """What it says breaks after some steps, each time."""

    @invariant()
    def stays_small(self) -> None:
        assert self.value < 20, "it has grown"


def test_steps_are_counted_and_what_is_sound_breaks_nothing() -> None:
    steps, broken = longrun.walk(Sound, 600, 1)
    assert 600 <= steps <= 600 + longrun.BATCH * (longrun.EACH + 1)
    assert broken == 0


def test_what_breaks_is_counted_told_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    steps, broken = longrun.walk(Broken, 100, 1)
    assert steps >= 100
    assert broken >= 2
    assert "it has grown" in capsys.readouterr().err


def test_the_last_line_is_for_machines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MACHINES", {"sound": Sound, "broken": Broken})
    monkeypatch.setattr(longrun.logging, "disable", lambda _: None)  # type: ignore[attr-defined]
    assert longrun.main(100, 7) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["seed"], told["invariants_broken"] > 0) == (7, True)
    assert told["steps"] == sum(told["by_machine"].values()) >= 100
