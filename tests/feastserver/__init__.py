"""Feast's feature server for tests: a real one, and one that answers as it was recorded to."""
