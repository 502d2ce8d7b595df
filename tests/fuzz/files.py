"""Coverage-guided fuzzing of every parser of files: `make fuzz`. The first byte chooses it; see `loaders`.

Arguments are libFuzzer's, such as -max_total_time=60.
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["modelward_inference", "modelward_drift"]):
    from fuzz.loaders import LOADERS, Loader

CORPUS = Path(__file__).with_name("corpus")
NAMES = sorted(LOADERS)


def chosen(data: bytes) -> Loader:
    """The parser of an input of the fuzzer."""
    return LOADERS[NAMES[data[0] % len(NAMES)]]


def test_one(data: bytes) -> None:
    """One input of the fuzzer."""
    if data:
        chosen(data).run(data[1:])


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """Another input: changed as its parser's files are; by bytes where it is no such file any more."""
    if not data or seed % 8 == 0:
        return bytes(atheris.Mutate(data, max_size))
    try:
        return (data[:1] + chosen(data).change(data[1:], random.Random(seed)))[:max_size]
    except Exception:  # noqa: BLE001  whatever an archive that is broken already raises
        return bytes(atheris.Mutate(data, max_size))


def seeds(folder: Path) -> None:
    """A good file for each parser, and what was found before."""
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(bytes([number]) + LOADERS[name].seed())
        for saved in (CORPUS / name).glob("*"):
            (folder / f"{name}-{saved.name}").write_bytes(bytes([number]) + saved.read_bytes())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as found:
        seeds(Path(found))
        atheris.Setup([*sys.argv, "-max_len=65536", found], test_one, custom_mutator=changed)
        atheris.Fuzz()
