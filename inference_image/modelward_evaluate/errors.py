"""What is wrong with what the evaluator was given."""


class EvaluationError(ValueError):
    """Says what is wrong, where, and what to do about it."""


def first_line(error: Exception) -> str:
    """Of what an engine says: it goes on for many."""
    return str(error).strip().split("\n")[0]
