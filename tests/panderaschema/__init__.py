"""Pandera, which reads the schema that examples/pipelines/steps/schema.py makes of a reference."""
