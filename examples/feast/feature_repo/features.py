"""Features of drivers, and the feature service that a model names.

`feast apply` imports every Python file in this folder: keep scripts out of it.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64, String

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)

statistics = FileSource(name="driver_statistics", path="driver_statistics.parquet", timestamp_field="event_timestamp")

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=7),
    schema=[
        Field(name="trips", dtype=Int64),
        Field(name="rating", dtype=Float32),
        Field(name="city", dtype=String),
    ],
    source=statistics,
)

# Never changed once a model uses it: a model that wants other features names another one, drivers_v2.
drivers_v1 = FeatureService(name="drivers_v1", features=[driver_stats])
