"""How soon a bad candidate is rolled back, and how seldom a good one: `python -m benchmarks.rollout.simulation`."""
