"""Keys that features were looked up by: columns of the log, and nothing that the monitor counts."""

import asyncio

import numpy as np
import pyarrow as pa
import pytest

from modelward_inference.capture import wire
from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.protocol.entities import PREFIX
from modelward_monitor.endpoints import intake
from modelward_monitor.predictionlog import schema, table
from modelward_monitor.predictionlog.settings import Columns, LogSettings

BATCH = Batch(
    "e", 1, 2, {"trips": np.array([[5], [7]]), PREFIX + "driver_id": np.array([1, 2])},
    {"score": np.array([0.5, 1.5])},
    requests=Requests(["a"], [None], ["direct"], [2], [0], [1_800_000_000.0], [0.1]),
)  # fmt: skip
REQUIRED = {"PREDICTION_LOG_URI": "s3://l", "MODEL_NAMESPACE": "ml", "MODEL_NAME": "m", "MODEL_REVISION": "r"}


def written(columns: list[schema.Column], how: Columns | None = None) -> pa.Table:
    kept, fields, unknown = schema.changed(columns, how or Columns())
    assert not unknown
    rules = table.Rules(tuple(kept), fields, how or Columns(), "1")
    (part,) = table.parts(BATCH, rules, table.Tally())
    return part.table


def test_keys_are_columns_of_their_own() -> None:
    found = written(schema.keys_of({"driver_id": "INT64", "city": "BYTES"}))
    assert found.column("entity.driver_id").to_pylist() == [1, 2]
    assert found.column("entity.city").to_pylist() == [None, None], "a request that brought its features"


def test_without_a_bundle_they_have_the_same_name() -> None:
    assert {each.name for each in schema.seen_in([BATCH])} == {"input.trips", "entity.driver_id", "output.score"}


def test_they_are_hashed_and_left_out_as_any_column() -> None:
    keys = schema.keys_of({"driver_id": "INT64"})
    assert "entity.driver_id" not in written(keys, Columns(exclude=frozenset({"entity.driver_id"}))).column_names
    hashed = written(keys, Columns(hash=frozenset({"entity.driver_id"}), key=b"0123456789abcdef"))
    assert all(len(each) == table.DIGITS for each in hashed.column("entity.driver_id").to_pylist())


async def test_the_monitor_counts_them_not_and_the_log_has_them() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(map(bytes, wire.dump_batch(BATCH))))
    arrival = await intake._read(reader)
    assert set(arrival.batch.inputs) == {"trips"}
    assert arrival.raw is not None
    assert set(wire.load_batch(*arrival.raw).inputs) == {"trips", PREFIX + "driver_id"}


def test_they_are_read_from_the_environment() -> None:
    read = LogSettings.from_environment({**REQUIRED, "PREDICTION_LOG_ENTITIES": '{"driver_id": "INT64"}'})
    assert read is not None
    assert read.entities == {"driver_id": "INT64"}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "FP32"}', '{"a": 1}'])
def test_what_is_wrong_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^PREDICTION_LOG_ENTITIES can't be read"):
        LogSettings.from_environment({**REQUIRED, "PREDICTION_LOG_ENTITIES": text})
