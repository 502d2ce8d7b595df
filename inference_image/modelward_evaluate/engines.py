"""Which engine evaluates: DuckDB in this process, or the team's Spark."""

from collections.abc import Mapping
from typing import Final

from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.inputs import Engine, in_process

REMOTE: Final = "SPARK_REMOTE"
"""Variable with the address of a Spark Connect server, as PySpark reads it."""


def engine_of(environment: Mapping[str, str]) -> Engine:
    """Of a Job: Spark where its image says so. Raises EvaluationError."""
    return spark() if environment.get(REMOTE) else in_process


def spark() -> Engine:
    """That of spark-submit, of SPARK_REMOTE or of spark-defaults.conf. Raises EvaluationError."""
    try:
        from modelward_evaluate.spark import connected
    except ImportError as error:
        raise EvaluationError(f"Spark needs {error.name}: pip install 'pyspark[connect]>=4'") from error
    return connected()
