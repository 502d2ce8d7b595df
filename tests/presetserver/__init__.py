"""Servers of others as a preset of `spec.runtime` starts them, with models for them, for tests."""
