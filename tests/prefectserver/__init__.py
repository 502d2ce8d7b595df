"""A real Prefect server for tests."""
