"""ONNX models whose weights lie in other files: made one file where these came along, else told by their names."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported

MOST = (1 << 31) - 1
"""Bytes of one file: protobuf's limit."""

_MARK = b"\x0a\x08location"
"""How a tensor that names a file is written: the key `location`, as protobuf's first field."""


def outside(path: Path) -> tuple[str, ...]:
    """The files in which the model's weights are besides its own. Raises ArtifactCorrupt where it can't be read."""
    if not path.stat().st_size:
        return ()
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(_MARK) < 0:
            return ()  # nearly all: nothing is read into memory for them
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # noqa: BLE001  onnxruntime says what is wrong with it
        return ()
    found = {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(sorted(found))


def check(path: Path, where: str) -> None:
    """Raises ModelUnsupported where weights are in other files: this one came alone. `where`: for the message."""
    names = outside(path)
    if names:
        raise ModelUnsupported(_lacking(names, where))


def gather(path: Path, where: str, beside: Path | None = None) -> None:
    """Put the weights that lie beside the model into its file. `beside`: where they are, if not in its folder.

    Raises ModelUnsupported and ArtifactCorrupt.
    """
    names = outside(path)
    if not names:
        return
    folder = (beside or path.parent).resolve()
    files = {name: (folder / name).resolve() for name in names}
    away = [name for name, file in files.items() if not file.is_relative_to(folder)]
    if away:
        raise ModelUnsupported(
            f"{where} has weights in {', '.join(away)[:300]}, which leads out of its folder; save them beside it"
        )
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise ModelUnsupported(_lacking(missing, where))
    size = path.stat().st_size + sum(file.stat().st_size for file in files.values())
    if size > MOST:
        raise ModelUnsupported(
            f"{where} has {size} bytes with its weights; at most {MOST} are served. Quantise it, or make it smaller"
        )
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        onnx.load_external_data_for_model(model, str(folder))
        content = model.SerializeToString()
    except MemoryError:
        raise
    except Exception as error:
        raise ArtifactCorrupt(f"has weights that can't be read: {str(error)[:300]}; save it again") from error
    path.write_bytes(content)


def _lacking(names: tuple[str, ...] | list[str], where: str) -> str:
    return (
        f"{where} has its weights in another file, {', '.join(names)[:300]}, which did not come with it; pack both in "
        "one .tar.gz, or save the model as one file (onnx.save without save_as_external_data; "
        "torch.onnx.export with external_data=False)"
    )


def _tensors(graph: Any) -> Iterator[Any]:
    """Of a graph and those inside its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)
