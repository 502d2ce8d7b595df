"""Structured logs: one JSON object a line on stderr, by one schema for every part (docs/logs.schema.json).

Invariant: whatever a client writes, a record is one line of plain ASCII: control characters are escaped.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

FIELDS: Final = ("namespace", "name", "revision", "request_id", "trace_id", "span_id")
"""What a record may say besides, as `extra`."""


class JsonFormatter(logging.Formatter):
    """ts, level, logger, message, component; and where there are any, FIELDS and the error. `component`: the part
    of the product; `told`: FIELDS of every record."""

    def __init__(self, component: str, told: dict[str, str] | None = None) -> None:
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
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, _ = record.exc_info
            entry["error"] = {
                "type": kind.__name__, "message": str(error), "stack": self.formatException(record.exc_info)
            }  # fmt: skip
        return json.dumps(entry)


def configure(level: str, component: str, **told: str) -> None:
    """Every record of this process, on stderr. `told`: FIELDS of all of them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(component, told))
    logging.basicConfig(level=level, handlers=[handler], force=True)
