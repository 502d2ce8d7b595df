"""`answered`: tells whoever may run a program in the monitor's container whether this pod answered a request."""

import sys

import orjson

from modelward_monitor import answered
from modelward_monitor.settings import Settings


def run(settings: Settings, request_id: str) -> None:
    """One line of JSON on standard output. Raises OSError where the files can't be read."""
    found = answered.find(settings.answered, request_id)
    said = {
        "schema_version": 1,
        "answers": [{"time": time, "arm": arm} for time, arm in found.answers],
        "since": found.since,
        "requests": found.requests,
    }
    sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
