"""Revisions of a model: their names, their objects, and what is wrong with their pods."""
