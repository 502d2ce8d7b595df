"""What is raised for input that makes no statistic."""


class QualityError(ValueError):
    """Says which input is wrong and what would be right."""
