"""How files that native libraries read are changed: as what they are, so that most get past the first check."""

import bz2
import gzip
import io
import random
import re
import tarfile
from collections.abc import Callable
from functools import partial
from typing import Any

import onnx

from fuzz.loaders import NUMBERS, changed_bytes, changed_json, changed_tar, changed_zip

Change = Callable[[bytes, random.Random], bytes]

_LARGE = (-1, 0, 1, 2, 127, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))


def changed_onnx(content: bytes, chance: random.Random) -> bytes:
    """Fields of the graph, at any depth."""
    if chance.randrange(8) == 0:
        return changed_bytes(content, chance)
    model = onnx.load_model_from_string(content)
    for _ in range(chance.randint(1, 3)):
        holder, field = chance.choice(_fields(model))
        if field.is_repeated:
            _change_list(getattr(holder, field.name), field, chance)
        elif field.message_type is None:
            if chance.randrange(4) == 0:
                holder.ClearField(field.name)
            else:
                _set(partial(setattr, holder, field.name), _value(field, getattr(holder, field.name), chance))
        else:
            holder.ClearField(field.name)
    return bytes(model.SerializeToString())


def _fields(message: Any) -> list[tuple[Any, Any]]:
    """Every field that is set, with the message that it is in."""
    found = []
    for field, value in message.ListFields():
        found.append((message, field))
        if field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                found += _fields(each)
    return found


def _change_list(values: Any, field: Any, chance: random.Random) -> None:
    if not len(values):
        return
    place = chance.randrange(len(values))
    match chance.randrange(3):
        case 0:
            del values[place]
        case 1 if field.message_type is not None:
            values.add().CopyFrom(values[chance.randrange(len(values))])
        case 1:
            values.append(values[place])
        case _ if field.message_type is None:
            _set(partial(values.__setitem__, place), _value(field, values[place], chance))


def _set(put: Callable[[Any], object], value: Any) -> None:
    try:
        put(value)
    except (ValueError, TypeError):  # it does not fit into the field
        return


def _value(field: Any, now: Any, chance: random.Random) -> Any:
    if isinstance(now, bytes):
        return changed_bytes(now, chance)
    if isinstance(now, str):
        return chance.choice((now + "x", "", now * 50, "X", "Identity", "Loop", "Scan", "Reshape", "Tile", "Pad"))
    if isinstance(now, float):
        return chance.choice((float("nan"), float("inf"), -1.0, 0.0, 3e38))
    if field.enum_type is not None:
        return chance.choice([each.number for each in field.enum_type.values])
    return chance.choice(_LARGE)


def changed_numbers(content: bytes, chance: random.Random) -> bytes:
    """Of a text: numbers become others, lines come twice or go."""
    if chance.randrange(8) == 0:
        return changed_bytes(content, chance)
    lines = content.split(b"\n")
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(lines))
        found = list(re.finditer(rb"-?\d[\d.e+-]*", lines[place]))
        match chance.randrange(6):
            case 0:
                del lines[place : place + 1]
            case 1:
                lines.insert(place, lines[chance.randrange(len(lines))])
            case _ if found:
                number = chance.choice(found)
                other = chance.choice((*NUMBERS, b"2147483647", b"-2147483648", b"1e308", b"99999"))
                lines[place] = lines[place][: number.start()] + other + lines[place][number.end() :]
        if not lines:
            break
    return b"\n".join(lines)


_UBJSON = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8}
"""Bytes of a number, by its mark."""


def changed_ubjson(content: bytes, chance: random.Random) -> bytes:
    """Bytes of numbers, lengths and marks, where they can be told."""
    found = bytearray(content)
    places = [each.start() for each in re.finditer(rb"[iUIlLdD]", content)]
    for _ in range(chance.randint(1, 3)):
        place = chance.choice(places)
        size = _UBJSON[content[place : place + 1]]
        if chance.randrange(5):
            value = chance.choice(_LARGE) % (1 << 8 * size)
            found[place + 1 : place + 1 + size] = value.to_bytes(size, "big")
        else:
            found[place : place + 1] = chance.choice((*_UBJSON, b"S", b"[", b"{", b"Z"))
    return bytes(found)


def changed_bundle(content: bytes, chance: random.Random) -> bytes:
    """A member as what it is, or the archive around them."""
    if chance.randrange(5) == 0:
        return changed_tar(content, chance)
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        members = [(each, opened.extractfile(each).read()) for each in opened.getmembers()]  # type: ignore[union-attr]
    place = chance.randrange(len(members))
    member, inside = members[place]
    inside = _change_of(member.name)(inside, chance)
    member.size = len(inside)
    members[place] = member, inside
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as written:
        for each, content_ in members:
            written.addfile(each, io.BytesIO(content_))
    return target.getvalue()


def _change_of(name: str) -> Change:
    if name.endswith(".json"):
        return changed_json
    if name.endswith(".npz"):
        return changed_zip
    return changed_onnx if name.endswith(".onnx") else changed_bytes


def tarred(files: dict[str, bytes]) -> bytes:
    """A tar archive."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as written:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    return target.getvalue()


def changed_packed(content: bytes, chance: random.Random) -> bytes:
    """A compressed tar: inside, or as it is."""
    if chance.randrange(3) == 0:
        return changed_bytes(content, chance)
    packed = gzip.compress(changed_tar(gzip.decompress(content), chance))
    return packed if chance.randrange(4) else bz2.compress(gzip.decompress(packed))


def changed_zip_directory(content: bytes, chance: random.Random) -> bytes:
    """The lists of a zip archive: bytes of the headers, which have no checksum."""
    found = bytearray(content)
    starts = [each.start() for each in re.finditer(rb"PK[\1\3\5\6][\2\4\6\7]", content)]
    for _ in range(chance.randint(1, 4)):
        place = chance.choice(starts) + chance.randrange(46)
        size = chance.choice((1, 2, 4))
        found[place : place + size] = (chance.choice(_LARGE) % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


def changed_xgboost_json(content: bytes, chance: random.Random) -> bytes:
    """XGBoost's numbers are texts in part: `"num_feature":"4"`."""
    return (changed_numbers if chance.randrange(2) else changed_json)(content, chance)
