"""Examples; `examples.demo` is what `make demo` runs."""
