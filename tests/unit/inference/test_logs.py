"""Log lines that a collector can parse, whatever clients write, by the schema in docs."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from modelward_telemetry import logs

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[3] / "docs/logs.schema.json").read_text()))


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


def test_an_error_has_its_type_its_words_and_its_stack() -> None:
    try:
        raise ValueError("no\nnumber")
    except ValueError:
        record = logging.LogRecord("modelward", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    error = written(record)["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no\nnumber")
    assert "test_logs.py" in error["stack"]
