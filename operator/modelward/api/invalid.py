"""What is told of a stored object that does not fit the types of this operator."""

from collections.abc import Iterator
from contextlib import contextmanager


class InvalidObjectError(ValueError):
    """A stored object does not fit the types of this operator."""


@contextmanager
def read_as(kind: str) -> Iterator[None]:
    """Around the reading of an object of this kind: what it lacks, or has of another type, is an InvalidObjectError."""
    try:
        yield
    except InvalidObjectError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidObjectError(
            f"this {kind} does not fit the operator's types ({type(error).__name__}: {error}); "
            "install the CRD and the operator of the same version"
        ) from error
