"""The plan of a run made from its input: files are looked at, and refused where no row of them could be scored.

Failure: Incurable, with the file and what to do.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from modelward_batch import csvfile, lines, parquetfile
from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout, check_alike, layout_of
from modelward_batch.plan import File, Plan, Unit, made
from modelward_batch.spec import CSV, PARQUET, Spec
from modelward_batch.stores import Found, Input
from modelward_batch.values import TEXTS, kind_of
from modelward_inference.artifact.bundle import Manifest

ENDINGS: Final = {".parquet": PARQUET, ".pq": PARQUET, ".csv": CSV}

AT_A_TIME: Final = 8
"""Files that are looked at beside each other: each is some requests to the store."""


@dataclass(frozen=True)
class Sizes:
    """`rows`: of a record batch; `piece`, `block`: bytes of CSV that are read at a time, and of a unit."""

    rows: int = 8192
    piece: int = lines.PIECE
    block: int = csvfile.BLOCK


def plan_of(source: Input, spec: Spec, manifest: Manifest, sizes: Sizes) -> Plan:
    """Raises Incurable and Passing."""
    found = source.files()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        looked = list(pool.map(lambda each: _looked_at(source, each, spec, manifest, sizes), found))
    units: list[Unit] = []
    first: tuple[str, tuple[str, ...]] | None = None
    kinds: dict[str, tuple[str, str]] = {}
    for place, (file, pieces, layout, keys) in enumerate(looked):
        if pieces:
            check_keys(file.name, keys, kinds)
        if pieces and layout.placed:
            first = first or (file.name, layout.placed)
            check_alike(file.name, layout.placed, *first)
        units += [replace(each, number=len(units) + at, file=place) for at, each in enumerate(pieces)]
    return made(spec, [file for file, *_ in looked], units)


def check_keys(file: str, keys: Mapping[str, str], known: dict[str, tuple[str, str]]) -> None:
    """`keys`: what a file has for each, as `kind_of` says; `known`: the same of files before it, with their
    names, to which this one is added. Raises Incurable where they differ: no reader of the output would take 71 and
    '71' for one key, and most take no column of two types."""
    for key, kind in keys.items():
        before, was = known.setdefault(key, (file, kind)) if kind else ("", kind)
        if kind != was:
            raise Incurable(
                f"{file} has the key {key!r} as {kind}, and {before} as {was}; write all files with one type, which "
                "the output then has as well"
            )


def format_of(name: str, asked: str | None) -> str:
    """Raises Incurable."""
    found = asked or next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)
    if found is None:
        raise Incurable(
            f"{name} is neither {' nor '.join(ENDINGS)}; set input.format where that is what it is, or take it out "
            "of the input (names that begin with _ or . are left alone)"
        )
    return found


def _looked_at(
    source: Input, found: Found, spec: Spec, manifest: Manifest, sizes: Sizes
) -> tuple[File, Sequence[Unit], Layout, dict[str, str]]:
    kind = format_of(found.name, spec.format)
    if not found.size:
        raise Incurable(f"{found.name} is an empty file, which is no {kind}; write it again, or take it away")
    with source.open(found) as opened:
        if kind == PARQUET:
            file, schema, groups = parquetfile.looked_at(opened, found.name, found.size, found.tag)
            layout = layout_of(manifest, schema.names, spec, found.name)
            layout.check_types(schema, found.name)
            keys = {key: kind_of(schema.field(key).type) for key in layout.keys}
            units = [Unit(0, 0, group, rows) for group, rows in enumerate(groups) if rows]
        else:
            file, begin = csvfile.looked_at(opened, found.name, found.size, found.tag)
            layout = layout_of(manifest, file.header, spec, found.name, texts=True)
            csvfile.check_values(opened, file, begin, layout)
            keys = dict.fromkeys(layout.keys, TEXTS)
            blocks = csvfile.blocks(opened, file, begin, sizes.block, sizes.piece)
            units = [Unit(0, 0, begin=low, end=high) for low, high in blocks]
        source.check(found)
    return file, units, layout, keys
