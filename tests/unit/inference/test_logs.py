"""Structured logs."""

import json
import logging

from modelward_inference.telemetry import logs


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "the model %s", ("failed\nbadly",), None)
    record.request_id = "r-1"
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["message"], entry["request_id"]) == ("ERROR", "the model failed\nbadly", "r-1")
