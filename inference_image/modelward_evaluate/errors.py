"""What is wrong with what the evaluator was given."""


class EvaluationError(ValueError):
    """Says what is wrong, where, and what to do about it."""


class Unreachable(EvaluationError):  # noqa: N818
    """It may pass: a database that is away, or ends a connection."""


def first_line(error: Exception) -> str:
    """Of what an engine says: it goes on for many."""
    return str(error).strip().split("\n")[0]
