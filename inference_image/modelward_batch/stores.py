"""Where a run's input lies and where its output goes: an S3-compatible store, or a mounted folder, behind few verbs.

Invariant: what is written is there as a whole or not at all, under its final name. Failure: Incurable and Passing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import unquote, urlsplit

from modelward_batch.errors import Incurable

INPUT_MOUNT, OUTPUT_MOUNT = Path("/input"), Path("/output")
"""Where claims are mounted: no other folder of the pod is read or written."""

HIDDEN: Final = ("_", ".")
"""Begin the names of files and folders that hold no rows, as Spark, Hive and this program have it."""


@dataclass(frozen=True)
class Found:
    """A file of the input. `name`: below its address; `tag`: another one for other bytes."""

    name: str
    size: int
    tag: str


class Input(Protocol):
    """`uri`: the folder that names are below; `is_folder`: False where the address is one file's."""

    uri: str
    is_folder: bool

    def files(self) -> list[Found]:
        """In the order of their names, without hidden ones."""
        ...

    def open(self, file: Found) -> BinaryIO:
        """To be read anywhere. What is not the same file any more raises FileChanged, here or later."""
        ...

    def check(self, file: Found) -> None:
        """Whether all that was read was of that file. Raises FileChanged."""
        ...


class Output(Protocol):
    """Of one run. `uri`: its folder; names are below it."""

    uri: str

    def put(self, name: str, source: Path) -> None:
        """Takes the place of what is there."""
        ...

    def put_bytes(self, name: str, content: bytes) -> None:
        """The same."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """False where there is one already: it stays."""
        ...

    def get(self, name: str) -> bytes | None:
        """None where there is none."""
        ...

    def names(self, prefix: str) -> Collection[str]:
        """All that begin so, where `prefix` ends in a slash."""
        ...


def input_of(uri: str, allowed: Collection[Path] = ()) -> Input:
    """`allowed`: folders besides INPUT_MOUNT. Raises Incurable and Passing."""
    if uri.startswith("s3://"):
        from modelward_batch.s3 import S3Input  # boto3 takes 30 MB

        return S3Input(uri)
    from modelward_batch.folders import FolderInput

    return FolderInput(_path_of(uri, "input.uri", INPUT_MOUNT), (INPUT_MOUNT, *allowed))


def output_of(uri: str, run: str, allowed: Collection[Path] = ()) -> Output:
    """`uri`: ends in a slash; `allowed`: folders besides OUTPUT_MOUNT. Raises Incurable."""
    if uri.startswith("s3://"):
        from modelward_batch.s3 import S3Output

        return S3Output(f"{uri}{run}/")
    from modelward_batch.folders import FolderOutput

    return FolderOutput(_path_of(uri, "output.uri", OUTPUT_MOUNT), run, (OUTPUT_MOUNT, *allowed))


def check_apart(source: Input, output: Output) -> None:
    """Raises Incurable where the next run would read what this one writes."""
    if source.is_folder and output.uri.startswith(source.uri):
        raise Incurable(
            f"the output {output.uri} lies in the input {source.uri}, so that the next run would read predictions; "
            "name folders beside each other"
        )


def is_hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in name.split("/"))


def _path_of(uri: str, where: str, mount: Path) -> Path:
    parts = urlsplit(uri)
    if uri.startswith("/"):
        return Path(uri)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Path(unquote(parts.path))
    raise Incurable(f"{where} is {uri!r:.200}; it has to begin with s3:// or with {mount}/, where a claim is mounted")


Sleep = Callable[[float], None]
