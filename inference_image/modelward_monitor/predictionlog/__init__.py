"""The prediction log: what the monitor gets, as Parquet, each row exactly once (docs/prediction-log.md)."""
