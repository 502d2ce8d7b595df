"""From nothing to predictions through the router: what `make demo` runs."""
