"""A feature repository with data, materialized, and then its server: `python run.py FOLDER PORT`, by Feast's own
interpreter. One process: Feast is imported for half a minute.

FOLDER has the repository of examples/feast. What get_historical_features says of each driver lies in history/
before the server answers.
"""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
from feast import FeatureStore
from feast.repo_config import load_repo_config
from feast.repo_operations import apply_total

DRIVERS = (1, 2, 3)


def statistics(now: datetime) -> pd.DataFrame:
    """Driver 1 has an older row, which must not count; driver 3's are three days old; driver 2 has no rating."""
    ages = [timedelta(hours=30), timedelta(hours=1), timedelta(hours=2), timedelta(days=3)]
    return pd.DataFrame({
        "driver_id": [1, 1, 2, 3], "trips": [4, 5, 7, 9], "rating": [1.0, 4.5, None, 3.25],
        "city": ["old", "a", "b", "c"], "event_timestamp": [now - age for age in ages],
    })  # fmt: skip


def main(folder: Path, port: int) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)  # noqa: UP017  Feast's interpreter may be an older one
    statistics(now).to_parquet(folder / "driver_statistics.parquet")
    apply_total(load_repo_config(folder, folder / "feature_store.yaml"), folder, True)
    store = FeatureStore(str(folder))
    store.materialize(now - timedelta(days=30), now)
    asked = pd.DataFrame({"driver_id": DRIVERS, "event_timestamp": [now] * len(DRIVERS)})
    history = store.get_historical_features(entity_df=asked, features=store.get_feature_service("drivers_v1"))
    (folder / "history").mkdir()
    history.to_df().to_parquet(folder / "history/features.parquet")
    store.serve("127.0.0.1", port)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
