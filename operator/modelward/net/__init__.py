"""Whatever is asked that is not the API server: pods and Prometheus, whose answers are never believed."""
