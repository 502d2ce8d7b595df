"""Environment variables."""

import pytest

from modelward_inference.errors import InvalidConfiguration
from modelward_monitor.settings import Settings


def test_defaults_and_values() -> None:
    found = Settings.from_environment({})
    assert (found.port, found.learn_rows, found.top, found.window, found.farewell) == (8081, 5000, 10, 3600, 20)
    assert str(found.socket) == "/monitor/capture.sock"
    assert str(found.state) == "/monitor/state"
    assert found.events is False
    assert Settings.from_environment({"MONITOR_EVENTS": "true"}).events is True
    given = {"POD_UID": "u", "LEARN_ROWS": "200", "MONITOR_DIR": "/m", "TOP_FEATURES": "0"}
    found = Settings.from_environment(given)
    assert (found.pod, found.learn_rows, str(found.socket), found.top) == ("u", 200, "/m/capture.sock", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("LEARN_ROWS", "99"), ("LEARN_ROWS", "a lot"), ("MONITOR_PORT", "0"), ("MONITOR_WINDOW_SECONDS", "1h"),
     ("MONITOR_FAREWELL_SECONDS", "-1"), ("LOG_LEVEL", "LOUD"), ("TOP_FEATURES", "²"), ("MONITOR_EVENTS", "maybe")],
)  # fmt: skip
def test_what_makes_no_sense_is_told(name: str, value: str) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        Settings.from_environment({name: value})
