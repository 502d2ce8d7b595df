"""What no store that can be had here does: one that leaves conditions of a request aside. Its client is a stand-in."""

import io
from typing import Any

import pytest

from modelward_batch.errors import FileChanged
from modelward_batch.s3 import S3Input
from modelward_batch.stores import Found


class Careless:
    """Gives whatever is there now, for any If-Match."""

    def __init__(self) -> None:
        self.content, self.tag = b"0123456789", '"1"'

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        return {"Contents": [{"Key": "in/a.csv", "Size": len(self.content), "ETag": self.tag}]}

    def get_object(self, Range: str, **_: Any) -> dict[str, Any]:  # noqa: N803  as boto3 has it
        begin, end = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": io.BytesIO(self.content[begin : end + 1]), "ETag": f"W/{self.tag}"}


def test_an_object_that_is_overwritten_is_another_one_also_for_a_store_without_conditions() -> None:
    store = Careless()
    source = S3Input("s3://lake/in/", store)
    assert source.files() == [Found("a.csv", 10, '"1"')]
    opened = source.open(source.files()[0])
    assert opened.read(4) == b"0123"
    store.content, store.tag = b"9876543210", '"2"'
    with pytest.raises(FileChanged, match=r"a.csv was overwritten"):
        opened.read(4)
