"""A real Airflow for tests, outside of `make test`: it takes ten processes and 1.6 GB."""
