"""What is wanted of logs while a process runs: read from a file that others change."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward_telemetry import logs, wanted
from modelward_telemetry.wanted import NOTHING, Follower, Wanted

OURS = logging.getLogger("modelward_inference")


@pytest.fixture(autouse=True)
def set_back() -> Iterator[None]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logs.OURS)]
    levels = [each.level for each in loggers]
    yield
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", NOTHING),
        ('{"level": "DEBUG"}', Wanted("DEBUG")),
        ('{"accessLogShare": 0.01}', Wanted(None, 0.01)),
        ('{"level": null, "accessLogShare": 1, "of a later operator": []}', Wanted(None, 1.0)),
    ],
)
def test_what_is_read(text: str, said: Wanted) -> None:
    assert wanted.read(text) == said


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", '{"level": "debug"}', '{"level": 3}', '{"accessLogShare": "1%"}', '{"accessLogShare": 1.1}',
     '{"accessLogShare": -0.1}', '{"accessLogShare": NaN}', '{"accessLogShare": true}'],
)  # fmt: skip
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"accessLogShare|level|object|Expecting"):
        wanted.read(text)


def test_it_lies_beside_the_operators_keys() -> None:
    assert wanted.path_of({}) is None
    assert wanted.path_of({"OPERATOR_KEYS": "/etc/modelward/operator/keys"}) == Path("/etc/modelward/operator/logging")
    assert wanted.path_of({"OPERATOR_KEYS": "/x/keys", "LOGGING_FILE": "/y"}) == Path("/y")


def test_a_change_is_taken_up_and_its_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, shares = tmp_path / "logging", []
    follower = Follower(path, "WARNING", shares.append)
    logs.set_level("WARNING")

    def look() -> tuple[int, list[float]]:
        follower.look()
        return OURS.getEffectiveLevel(), shares

    assert look() == (logging.WARNING, []), "it is not there"
    path.write_text('{"level": "DEBUG", "accessLogShare": 0.5}')
    assert look() == (logging.DEBUG, [0.5])
    assert look() == (logging.DEBUG, [0.5]), "nothing is new"
    replaced = tmp_path / "next"
    replaced.write_text('{"accessLogShare": 0.25}')
    os.replace(replaced, path)  # as a ConfigMap's mount does
    assert look() == (logging.WARNING, [0.5, 0.25])
    path.unlink()
    assert look() == (logging.WARNING, [0.5, 0.25, 0.0])


def test_what_is_wrong_is_said_once_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, shares = tmp_path / "logging", []
    path.write_text('{"level": "ERROR", "accessLogShare": 0.5}')
    follower = Follower(path, "INFO", shares.append)
    follower.look()
    logs.set_level("INFO")
    path.write_text('{"level": "LOUD"}')
    for _ in range(5):
        follower.look()
    assert caplog.text.count("LOUD") == 1
    assert shares == [0.5]
    path.write_bytes(b"\xff\xfe" * 9000)
    follower.look()
    assert caplog.text.count("can't be used") == 2


def test_without_a_file_nothing_is_asked() -> None:
    Follower(None, "INFO").look()
