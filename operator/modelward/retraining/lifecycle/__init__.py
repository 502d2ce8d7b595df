"""A retraining run from its start to what comes of it."""
