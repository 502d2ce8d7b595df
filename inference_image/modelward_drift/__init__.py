"""The drift kernel: profiles of a reference, counts of what was seen since, metrics on them, and verdicts.

Pure: no I/O, no clock, no event loop, no state of its own, and numpy is all it imports. The monitor and the operator
both use it, so that both say the same number.
"""
