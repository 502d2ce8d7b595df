"""HPACK as a tap reads it, by the examples of RFC 7541, and what is refused."""

import pytest

from modelward_inference.tap.hpack import ENTRY, LONGEST, MAX_FIELDS, MAX_TABLE, Decoder, HpackError, unpacked

REQUESTS = [  # appendix C.4
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", {":method": "GET", ":path": "/", ":authority": "www.example.com"}),
    ("828684be5886a8eb10649cbf", {":authority": "www.example.com", "cache-control": "no-cache"}),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", {":path": "/index.html", "custom-key": "custom-value"}),
]
ANSWERS = [  # appendix C.6: a table of 256 bytes, from which fields are evicted
    (
        "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae"
        "43d3",
        {":status": "302", "cache-control": "private", "location": "https://www.example.com"},
    ),
    ("4883640effc1c0bf", {":status": "307", "cache-control": "private", "location": "https://www.example.com"}),
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f"
        "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        {":status": "200", "content-encoding": "gzip",
         "set-cookie": "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("blocks", [REQUESTS, ANSWERS])
def test_the_examples_of_its_document(blocks: list[tuple[str, dict[str, str]]]) -> None:
    decoder = Decoder()
    for block, fields in blocks:
        wanted = {name.encode(): value.encode() for name, value in fields.items()}
        assert decoder.decode(bytes.fromhex(block), wanted.keys()) == wanted


def test_only_what_is_asked_for_is_given_back() -> None:
    assert Decoder().decode(bytes.fromhex(REQUESTS[0][0]), {b":path", b"none"}) == {b":path": b"/"}


BAD = {
    "a field that is not there": "be",
    "the field 0": "80",
    "a text that breaks off": "4003616263036162",
    "a name that breaks off": "40",
    "a number without an end": "ff8080808080808080",
    "a number beyond all bounds": "7fffffffff7f",
    "the end's code in a text": "4084fffffffc0161",
    "a text that ends within a code": "4081000161",
    "a table that nobody allowed": "3fe2ff07",
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_none_is_refused(what: str) -> None:
    with pytest.raises(HpackError):
        Decoder().decode(bytes.fromhex(BAD[what]), ())


def test_a_small_block_does_not_become_a_large_one() -> None:
    with pytest.raises(HpackError, match="fields"):
        Decoder().decode(b"\x82" * (MAX_FIELDS + 1), ())


def test_a_table_is_never_larger_than_what_is_allowed_and_what_is_bounded() -> None:
    decoder = Decoder()
    decoder.allow(1 << 30)
    assert decoder.most == MAX_TABLE
    name = b"x" * 100
    for _ in range(200):
        decoder.decode(b"\x40\x64" + name + b"\x00", ())
    assert decoder._size <= 4096, "until the sender says that it takes more"
    assert decoder._size == len(decoder._entries) * (100 + ENTRY)


def test_long_texts_that_nobody_asks_for_or_that_are_too_long_are_not_unpacked() -> None:
    """Of which later blocks say nothing: 00 instead of 40."""
    packed = bytes.fromhex("8cf1e3c2e5f23a6ba0ab90f4ff")  # www.example.com
    long = b"\xff\xe1\x25" + b"\x18\xc6\x31\x8c\x63" * 992  # 4960 bytes
    assert Decoder().decode(b"\x00\x01a" + packed, {b"a"}) == {b"a": b"www.example.com"}
    assert Decoder().decode(b"\x00\x01a" + long + b"\x00\x01b" + packed, {b"a", b"b"}) == {
        b"a": b"", b"b": b"www.example.com",
    }  # fmt: skip
    decoder = Decoder()
    decoder.decode(b"\x40\x01a" + packed, ())
    assert decoder.decode(b"\xbe", {b"a"}) == {b"a": b"www.example.com"}, "what later blocks may refer to is"


@pytest.mark.parametrize("kind", [b"\x00", b"\x40"])
def test_a_long_text_is_not_given_back_plain_either(kind: bytes) -> None:
    for size in (LONGEST, LONGEST + 1):
        length = b"\x7f" + bytes([size - 127 & 0x7F | 0x80, size - 127 >> 7])
        found = Decoder().decode(kind + b"\x01a" + length + b"x" * size, {b"a"})
        assert found == {b"a": b"x" * size if size == LONGEST else b""}


def test_padding_is_no_text() -> None:
    assert (unpacked(b""), unpacked(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"))) == (b"", b"www.example.com")
