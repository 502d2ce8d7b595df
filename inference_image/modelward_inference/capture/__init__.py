"""Capture: copies of what the model was asked and answered, handed to the monitor over a Unix socket."""
