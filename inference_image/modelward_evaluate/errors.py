"""What is wrong with what the evaluator was given."""


class EvaluationError(ValueError):
    """Says what is wrong, where, and what to do about it."""
