"""What holds for every compressed body."""

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward_inference.protocol import compression
from modelward_inference.protocol.messages import RequestError

ENCODINGS = st.sampled_from(["gzip", "deflate"])
LIMIT = 200


@given(st.binary(max_size=LIMIT), ENCODINGS)
def test_a_body_comes_back_as_it_went(body: bytes, encoding: str) -> None:
    assert compression.decompressed(compression.compressed(body, encoding), encoding, LIMIT) == body


@given(st.binary(max_size=LIMIT))
def test_both_forms_are_those_that_others_read(body: bytes) -> None:
    assert gzip.decompress(compression.compressed(body, "gzip")) == body
    assert zlib.decompress(compression.compressed(body, "deflate")) == body


@given(st.binary(max_size=300), ENCODINGS | st.text(max_size=8))
def test_no_bytes_are_an_internal_error(body: bytes, encoding: str) -> None:
    with contextlib.suppress(RequestError):
        compression.decompressed(body, encoding, LIMIT)


@given(st.binary(max_size=LIMIT), ENCODINGS, st.data())
def test_what_breaks_off_is_refused(body: bytes, encoding: str, data: st.DataObject) -> None:
    packed = compression.compressed(body, encoding)
    with pytest.raises(RequestError):
        compression.decompressed(packed[: data.draw(st.integers(0, len(packed) - 1))], encoding, LIMIT)


@given(st.integers(0, 3 * LIMIT), ENCODINGS)
def test_the_limit_is_that_of_the_plain_body(size: int, encoding: str) -> None:
    packed = compression.compressed(bytes(size), encoding)
    if size <= LIMIT:
        assert len(compression.decompressed(packed, encoding, LIMIT)) == size
        return
    with pytest.raises(RequestError) as caught:
        compression.decompressed(packed, encoding, LIMIT)
    assert caught.value.status == 413
