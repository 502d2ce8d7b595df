"""Inference servers side by side, in one run on one machine: `python -m benchmarks.serving` (make bench-serving)."""
