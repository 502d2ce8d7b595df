"""Metrics of drift, each a small function from two rows of counts to a number. registry.py names them.

All are finite for all counts. Where either side is empty nothing was shown, and they are 0.
"""
