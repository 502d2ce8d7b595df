"""The status of a DriftPolicy: numbers, and the conditions that people and tools read."""
