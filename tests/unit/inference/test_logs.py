"""Log lines that a collector can parse, whatever clients write, by the schema in docs."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from modelward_telemetry import logs

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[3] / "docs/logs.schema.json").read_text()))


SECRET = "secret"


def written(record: logging.LogRecord) -> dict[str, Any]:
    line = logs.JsonFormatter("server", {"revision": "m-1", "name": ""}).format(record)
    assert line.isascii()
    assert line.isprintable()
    found: dict[str, Any] = json.loads(line)
    SCHEMA.validate(found)
    return found


def test_a_record_is_one_line_by_the_schema() -> None:
    record = logging.LogRecord("modelward", logging.INFO, __file__, 1, "served %s", ("m",), None)
    found = written(record)
    assert found.pop("ts").endswith("Z")
    assert found == {
        "level": "INFO", "logger": "modelward", "message": "served m", "component": "server", "revision": "m-1"
    }  # fmt: skip


@pytest.mark.parametrize("forged", ["a\nb", 'a\r\n{"level": "INFO"}', "a\x1b[2J\x00", "a\u2028\u0085b", "a\ud800"])
def test_a_client_forges_no_line(forged: str) -> None:
    record = logging.LogRecord("modelward", logging.ERROR, __file__, 1, "said %s", (forged,), None)
    record.request_id = forged
    found = written(record)
    assert (found["message"], found["request_id"]) == (f"said {forged}", forged)


def failed(logger: str, **extra: Any) -> logging.LogRecord:
    try:
        raise ValueError(f"could not convert string to float: {SECRET!r}")
    except ValueError:
        record = logging.LogRecord(logger, logging.ERROR, __file__, 1, "the model failed", (), sys.exc_info())
    for name, value in extra.items():
        setattr(record, name, value)
    return record


def test_an_error_that_may_quote_values_is_told_without_its_words(set_back: None) -> None:
    logs.set_level("INFO")
    found = written(failed("modelward_inference.serve.rest", quotes=True))
    assert SECRET not in json.dumps(found)
    assert found["error"]["type"] == "ValueError"
    assert "test_logs.py" in found["error"]["stack"]
    assert SECRET in written(failed("modelward_inference.serve.rest"))["error"]["message"], "others are whole"
    logs.set_level("DEBUG")
    assert SECRET in written(failed("modelward_inference.serve.rest", quotes=True))["error"]["message"]


@pytest.fixture
def set_back() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, logs.OURS)]
    levels = [each.level for each in loggers]
    yield
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


def test_what_others_write_at_debug_is_nobodys_to_read(set_back: None) -> None:
    """An HTTP library's DEBUG has headers with credentials."""
    logs.set_level("DEBUG")
    assert logging.getLogger("modelward_inference.serve.rest").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("botocore.auth").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("botocore.auth").isEnabledFor(logging.INFO)
    logs.set_level("ERROR")
    assert not logging.getLogger("modelward_monitor.run").isEnabledFor(logging.WARNING)
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.WARNING)


def test_of_a_request_there_are_numbers() -> None:
    record = logging.LogRecord("modelward.access", logging.INFO, __file__, 1, "answered", (), None)
    record.protocol, record.status, record.rows, record.ms = "rest", "200", 0, 1.5
    found = written(record)
    assert (found["protocol"], found["status"], found["rows"], found["ms"]) == ("rest", "200", 0, 1.5)


def test_an_error_has_its_type_its_words_and_its_stack() -> None:
    try:
        raise ValueError("no\nnumber")
    except ValueError:
        record = logging.LogRecord("modelward", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    error = written(record)["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no\nnumber")
    assert "test_logs.py" in error["stack"]
