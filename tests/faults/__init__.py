"""`make check-observe`: six faults on a real cluster, and whether the one on call is told of each, and of nothing else.

Not a tier of `make test`: alerts wait for a quarter of an hour, as they do for everybody.
"""
