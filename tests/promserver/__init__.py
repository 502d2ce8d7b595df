"""A real Prometheus for tests, and a page of metrics for it to scrape."""
