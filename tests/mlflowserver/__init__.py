"""A real MLflow server for tests."""
