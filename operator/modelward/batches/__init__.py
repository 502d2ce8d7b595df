"""Runs of a BatchInference: when one is due, the Job that it is, and how that goes."""
