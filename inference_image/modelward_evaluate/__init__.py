"""The evaluator: predictions and what became of them, joined, as sums that modelward_quality makes values of.

The question is one expression (Ibis), which DuckDB answers here and another engine may elsewhere. Invariant: a row
counts once, with the outcome that was known when its label window was over, so that a cohort's sums never change after
that.
"""
