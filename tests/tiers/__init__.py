"""`make test`: every tier of the tests, beside each other where that changes no test, with one summary at the end.

`python -m tiers` runs them all; `plan` says which run when.
"""
