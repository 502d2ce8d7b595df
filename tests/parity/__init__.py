"""Drawn models, and whether the served form answers, and refuses, as the library's own: `make parity`."""
