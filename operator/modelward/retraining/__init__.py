"""Retraining runs: when one starts, how it goes on, what comes of it."""
