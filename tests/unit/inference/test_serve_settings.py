"""The environment of `serve`: every variable, every wrong value, and the table of them in docs/bundle.md."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelward_auth import verifier
from modelward_inference import cpu
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.settings import Entity, FeatureSettings
from modelward_inference.serve.process import Settings
from modelward_inference.telemetry import tracing
from modelward_telemetry import wanted

DOCUMENT = (Path(__file__).parents[3] / "docs/bundle.md").read_text()
ROWS = re.findall(r"^\| ([A-Z][A-Z0-9_, ]+) \| (?:`(.+?)`)? ?\|", DOCUMENT, re.MULTILINE)
DEFAULTS = {name: default for names, default in ROWS for name in names.split(", ")}


class Recorder(Mapping[str, str]):
    """An empty environment that knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


GIVEN: dict[str, tuple[str, str, Any]] = {
    "BUNDLE_DIR": ("/models", "folder", Path("/models")),
    "ARTIFACT_DIR": ("/artifact", "artifact", Path("/artifact")),
    "MODEL_ALLOWED_FORMATS": ("onnx,skops", "allowed", frozenset({"onnx", "skops"})),
    "MODEL_VERSION": ("7", "version", "7"),
    "HOST": ("::", "host", "::"),
    "PORT": ("81", "port", 81),
    "GRPC_PORT": ("82", "grpc_port", 82),
    "DRAIN_SECONDS": ("0", "drain", 0),
    "MAX_REQUEST_BYTES": ("1000", "max_body", 1000),
    "MAX_BUFFERED_BYTES": ("1000", "max_bodies", 1000),
    "MAX_HEADER_BYTES": ("1024", "max_head", 1024),
    "MAX_ROWS": ("1", "max_rows", 1),
    "MAX_WAITING_REQUESTS": ("0", "max_waiting", 0),
    "MAX_BATCH_ROWS": ("1", "max_batch_rows", 1),
    "MAX_BATCH_DELAY_MS": ("2.5", "max_batch_delay", 0.0025),
    "REQUEST_TIMEOUT_SECONDS": ("0.5", "timeout", 0.5),
    "BODY_TIMEOUT_SECONDS": ("3", "body_timeout", 3.0),
    "CAPTURE_SOCKET": ("/monitor/capture.sock", "capture_socket", Path("/monitor/capture.sock")),
    "MODEL_REVISION": ("iris-a", "revision", "iris-a"),
    "CAPTURE_SAMPLING": ("0.25", "capture_sampling", 0.25),
    "CAPTURE_BUFFER_BYTES": ("65536", "capture_buffer", 65536),
    "ALLOW_ORIGINS": ("https://a.b, http://c:80", "allow_origins", ("https://a.b", "http://c:80")),
    "MODEL_REGISTRY_VERSION": ("7", "registry_version", "7"),
    "MODEL_NAME": ("fraud", "model", "fraud"),
    "MODEL_FEATURES": (
        '{"url": "http://feast:6566", "service": "fraud_v1", "entities": {"driver_id": "Int64"}}', "features",
        FeatureSettings("http://feast:6566", "fraud_v1", (Entity("driver_id", "INT64"),)),
    ),
    "LOG_LEVEL": ("debug", "log_level", "DEBUG"),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_a_variable_sets_its_field_and_no_other(name: str) -> None:
    text, field, value = GIVEN[name]
    plain, changed = vars(Settings.from_environment(2, {})), vars(Settings.from_environment(2, {name: text}))
    assert {key for key in plain if plain[key] != changed[key]} == {field}
    assert changed[field] == value


WRONG = {
    "PORT": ["0", "65536", "-1", "http", ""],
    "GRPC_PORT": ["65536", "x", " 9000"],
    "DRAIN_SECONDS": ["-1", "0.5", ""],
    "MAX_REQUEST_BYTES": ["64Mi", "1e6"],
    "MAX_HEADER_BYTES": ["1023"],
    "MAX_BUFFERED_BYTES": ["0", "256Mi"],
    "MAX_ROWS": ["0"],
    "MAX_WAITING_REQUESTS": ["-1"],
    "MAX_BATCH_ROWS": ["0"],
    "MAX_BATCH_DELAY_MS": ["-1", "5ms", "nan", "inf"],
    "REQUEST_TIMEOUT_SECONDS": ["60s", "."],
    "BODY_TIMEOUT_SECONDS": ["", "1e3"],
    "CAPTURE_SOCKET": ["capture.sock", "/" + 107 * "x", "/a\0b"],
    "CAPTURE_SAMPLING": ["0", "0.0", "1.01", "10%", "1e-3", "", "nan"],
    "CAPTURE_BUFFER_BYTES": ["65535", "16Mi", "1073741825"],
    "ALLOW_ORIGINS": ["A.EXAMPLE", "HTTPS://A.EXAMPLE/", "*,HTTPS://A.EXAMPLE", "NULL"],
    "MODEL_REVISION": ["A B", "\r\nSET-COOKIE: A", "É", 129 * "A"],
    "MODEL_REGISTRY_VERSION": ["7\n", "\0", 129 * "7"],
    "LOG_LEVEL": ["LOUD", ""],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_named_with_its_cure(name: str, text: str) -> None:
    with pytest.raises(
        InvalidConfiguration, match=f"^{name} is {re.escape(repr(text.upper()))}; set it to .*"
    ) as caught:
        Settings.from_environment(1, {name: text.upper()})
    assert caught.value.reason == "InvalidConfiguration"


def test_the_cores_are_those_of_the_cgroup() -> None:
    assert Settings.from_environment(3, {}).cores == 3


def test_the_table_lists_every_variable_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Recorder()
    Settings.from_environment(1, environment)
    assert set(GIVEN) == environment.asked
    tracing.from_environment("m", environment)
    verifier.from_environment("server", environment)
    wanted.path_of(environment)
    threads: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", threads)
    cpu.limit_library_threads()
    assert set(DEFAULTS) == environment.asked | set(threads) | {"TERMINATION_LOG"}


def test_the_defaults_of_the_table_are_those_of_the_code() -> None:
    given = {name: default for name, default in DEFAULTS.items() if default}
    assert len(given) > 12
    assert Settings.from_environment(1, given) == Settings.from_environment(1, {})
