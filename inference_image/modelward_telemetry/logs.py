"""Structured logs: one JSON object a line on stderr, by one schema for every part (docs/logs.schema.json).

Invariants: whatever a client writes, a record is one line of plain ASCII, with control characters escaped. What an
error of a model says, which may quote the values that it was asked with, is in no record above DEBUG.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from json import dumps
from typing import Any, Final, TextIO

FIELDS: Final = ("namespace", "name", "revision", "request_id", "trace_id", "span_id", "protocol", "status")
"""What a record may say besides, as `extra`; texts."""

NUMBERS: Final = ("rows", "ms")
"""The same; numbers."""

MAX_ID: Final = 128
"""Characters of a request's id: clients that ask without a router choose them."""

QUOTES: Final = "quotes"
"""An `extra` of records whose error may quote values of features: its words are shown at DEBUG alone."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

OURS: Final = (
    "modelward", "modelward_auth", "modelward_drift", "modelward_evaluate", "modelward_inference", "modelward_monitor",
    "modelward_telemetry",
)  # fmt: skip
"""Loggers that follow `set_level`. Those of others never go below INFO: at DEBUG an HTTP library writes credentials."""


class JsonFormatter(logging.Formatter):
    """ts, level, logger, message, component; and where there are any, FIELDS, NUMBERS and the error. `component`: the
    part of the product; `told`: FIELDS of every record."""

    def __init__(self, component: str, told: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._component = component
        self._told = {name: value for name, value in (told or {}).items() if value}

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "component": self._component,
            **self._told,
        }
        for field in FIELDS:
            # `name` is the logger's in every record.
            if field != "name" and (value := getattr(record, field, "")):
                entry[field] = str(value)
        for field in NUMBERS:
            if (number := getattr(record, field, None)) is not None:
                entry[field] = number
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = self._error(record)
        return dumps(entry)

    def _error(self, record: logging.LogRecord) -> dict[str, str]:
        kind, error, trace = record.exc_info or (None, None, None)
        name = kind.__name__ if kind is not None else ""
        if getattr(record, QUOTES, False) and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            hidden = "left out, since it may quote values; at level DEBUG it is told"
            return {"type": name, "message": hidden, "stack": "".join(traceback.format_tb(trace)) + name}
        stack = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
        return {"type": name, "message": str(error), "stack": stack}


class _Stderr(logging.StreamHandler[TextIO]):
    """Of the moment, and not of when it was made."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """It is nobody's to set."""


def configure(level: str, component: str, **told: str) -> None:
    """Every record of this process, on stderr, and Python's warnings. `told`: FIELDS of all of them."""
    handler = _Stderr()
    handler.setFormatter(JsonFormatter(component, told))
    logging.basicConfig(handlers=[handler], force=True)
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """From now on. `level`: one of LEVELS."""
    wanted = logging.getLevelNamesMapping()[level]
    logging.getLogger().setLevel(max(wanted, logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
