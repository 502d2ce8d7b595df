"""Profiles from a stream of chunks, and how far rows hang together."""
