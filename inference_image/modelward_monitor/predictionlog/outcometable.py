"""Outcomes as the table that the evaluator reads.

A value is a text, whatever it was: of one model some say 1 and others "1", and a column has one type. Keys are changed
as those of predictions are (`hash`, `truncate`, `exclude`), so that both still meet.
"""

from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from modelward_monitor.predictionlog.schema import TIME
from modelward_monitor.predictionlog.segments import Raw
from modelward_monitor.predictionlog.settings import KEY, Columns
from modelward_monitor.predictionlog.table import HOUR, Part, changed

SCHEMA: Final = pa.schema([
    pa.field("request_id", pa.string()), pa.field(KEY, pa.string()), pa.field("row", pa.int32()),
    pa.field("value", pa.string(), nullable=False), pa.field("time", TIME),
    pa.field("arrived", TIME, nullable=False), pa.field("weight", pa.float64()),
])  # fmt: skip


def part(raw: Raw, how: Columns) -> Part:
    """Of a record: all its outcomes arrived at once. Raises ValueError, TypeError, LookupError and ArrowException for
    one that is none."""
    head, columns = orjson.loads(raw[0]), orjson.loads(raw[1])
    arrived = int(head["arrived"])
    found: dict[str, Any] = {
        field.name: pa.array(columns[field.name], pa.int64() if field.type == TIME else field.type).cast(field.type)
        for field in SCHEMA
        if field.name != "arrived"
    }
    found["arrived"] = pa.array(np.full(int(head["rows"]), arrived)).cast(TIME)
    found[KEY] = pa.nulls(len(found[KEY]), pa.string()) if KEY in how.exclude else changed(found[KEY], KEY, how)
    return Part(arrived // HOUR, pa.table([found[field.name] for field in SCHEMA], schema=SCHEMA))
