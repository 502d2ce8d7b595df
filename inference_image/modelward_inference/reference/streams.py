"""Chunks that come one after the other: a list of them, an iterator, or a function that makes one.

An iterator can be read once only. What its columns are is then told by the first chunk, and a later chunk that says
otherwise ends it, since what was counted before would be wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.source import Chunk, Column, Source, Texts, joined_columns, none, open_source
from modelward_inference.reference.sparse import is_sparse


def is_list(data: Any) -> bool:
    """Whether it is a list of chunks, rather than one of values or rows."""
    if not isinstance(data, list | tuple) or not data:
        return False
    first = data[0]
    return isinstance(first, Mapping | np.ndarray) or hasattr(first, "columns") or is_sparse(first)


class StreamSource:
    """Raises InvalidConfiguration."""

    def __init__(self, data: Any, texts: Texts = none) -> None:
        self._make: Callable[[], Iterable[Any]] = data if callable(data) else lambda: data
        self._texts = texts
        self.again = callable(data) or isinstance(data, list | tuple)
        chunks = iter(self._make())
        first = next(chunks, None)
        if first is None:
            raise InvalidConfiguration("the iterator gives no chunk; pass some rows of training data")
        # Of what can be read again nothing is kept.
        self._begun = None if self.again else chain([first], chunks)
        self._first = self._part(first)
        self.names = self._first.names

    @property
    def notes(self) -> tuple[str, ...]:
        return self._first.notes

    def chunks(self) -> Iterator[Chunk]:
        if self._begun is None and not self.again:
            raise InvalidConfiguration(
                "an iterator can be read once only, and has to be read again; pass a function that makes it"
            )
        parts, self._begun = (self._make() if self._begun is None else self._begun), None
        for source in self._sources(parts):
            for chunk in source.chunks():
                yield Chunk(chunk.table, chunk.rows)

    def columns(self) -> Mapping[str, Column]:
        if not self.again:
            return self._first.columns()
        return reduce(joined_columns, (source.columns() for source in self._sources(self._make())), {})

    def _sources(self, parts: Iterable[Any]) -> Iterator[Source]:
        for number, part in enumerate(parts):
            source = self._part(part)
            if source.names != self.names:
                raise InvalidConfiguration(
                    f"chunk {number} has the columns {list(source.names)}, the first one has {list(self.names)}; "
                    "pass the same columns in all"
                )
            yield source

    def _part(self, part: Any) -> Source:
        return open_source(part, self._texts)
