"""Runs over folders: bundles of real models, data sets, and pods that are called here or are processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from modelward_batch import spec as specs
from modelward_batch import stores
from modelward_batch.planning import Sizes
from modelward_batch.progress import Told
from modelward_batch.run import Bundle, Loaded, Run, loaded
from modelward_batch.spec import Spec
from modelward_batch.stores import Output
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.fetch.run import Request, fetch
from unit.inference.artifacts import pickled

PACKAGE = Path(__file__).parents[3] / "inference_image"
DEADLINE = 120.0


def bundle_of(model: Any, folder: Path, optimise: str = "Auto") -> Path:
    """As a pod's init containers make it."""
    files, bundle = folder / "claim", folder / "bundle"
    for each in (files, bundle):
        each.mkdir(parents=True)
    (files / "m.joblib").write_bytes(pickled(model))
    with mock.patch.dict(os.environ, {"PVC_MOUNT": str(files)}):
        fetch(Request("pvc://claim/m.joblib", "auto", None, "m", bundle, optimise))
    return bundle


@dataclass
class World:
    """A run over folders below `root`; `asked` is changed by what a test says of it."""

    root: Path
    bundle: Path
    asked: dict[str, Any] = field(default_factory=dict)
    pods: int = 1
    sizes: Sizes = field(default_factory=Sizes)

    def __post_init__(self) -> None:
        self.input.mkdir(parents=True, exist_ok=True)

    @property
    def input(self) -> Path:
        return self.root / "in"

    @property
    def run_folder(self) -> Path:
        return self.root / "out" / "r1"

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.bundle)

    def document(self) -> dict[str, Any]:
        model = {
            "name": "m", "version": "7", "revision": "m-abc", "uri": "pvc://claim/m", "digest": self.manifest.digest
        }  # fmt: skip
        return {
            "run": "r1", "input": {"uri": str(self.input)}, "output": {"uri": f"{self.root}/out/"}, "keys": ["id"],
            "maxRejectedShare": 0, "model": model, **self.asked,
        }  # fmt: skip

    def environment(self, index: int = 0) -> dict[str, str]:
        return {
            specs.VARIABLE: json.dumps(self.document()), specs.PODS: str(self.pods), specs.INDEX: str(index),
            "BUNDLE_DIR": str(self.bundle), "MODELWARD_TERMINATION_LOG": str(self.root / f"message-{index}"),
        }  # fmt: skip

    def spec(self, index: int = 0) -> Spec:
        return specs.load(self.environment(index))

    def run(
        self, index: int = 0, *, around: Callable[[Output], Output] = lambda output: output,
        load: Callable[[], Loaded] | None = None,
    ) -> Told:  # fmt: skip
        """One pod's part. `around`: what is put before the output."""
        spec = self.spec(index)
        source = stores.input_of(spec.input, [self.root])
        output = around(stores.output_of(spec.output, spec.run, [self.root]))
        return Run(spec, source, output, load or (lambda: loaded(Bundle(self.bundle), spec)), self.sizes).run()

    def loaded(self) -> Loaded:
        return loaded(Bundle(self.bundle), self.spec())

    def count(self) -> int:
        """Files that the run has written so far."""
        return sum(1 for _ in self.run_folder.rglob("*.*"))

    def all(self) -> Told:
        """Each pod once; what the last one tells."""
        return [self.run(index) for index in range(self.pods)][-1]

    def command(self) -> list[str]:
        return [sys.executable, "-m", "modelward_batch", "--allow", str(self.root)]

    def start(self, index: int = 0, **settings: str) -> subprocess.Popen[bytes]:
        log = (self.root / f"log-{index}").open("ab")
        environment = {
            **os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
            **self.environment(index), **settings,
        }  # fmt: skip
        with log:
            return subprocess.Popen(self.command(), env=environment, cwd=self.root, stderr=log)

    def message(self, index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / f"message-{index}").read_text().splitlines()[-1])
        return found

    def parts(self) -> list[Path]:
        return sorted(self.run_folder.glob("part-*.parquet"))

    def answers(self) -> pa.Table:
        """As a reader gets them: of a run that has a manifest, the files that it names."""
        document = self.manifest_of_run()
        tables = [pq.read_table(self.run_folder / each["name"]) for each in document["files"]]
        assert [len(table) for table in tables] == [each["rows"] for each in document["files"]]
        return pa.concat_tables(tables, promote_options="default")

    def rejects(self) -> dict[Any, str]:
        """Reasons, by the first key."""
        names = [each["name"] for each in self.manifest_of_run()["rejects"]]
        rows = [row for name in names for row in pq.read_table(self.run_folder / name).to_pylist()]
        return {row[self.document()["keys"][0]]: row["reason"] for row in rows}

    def manifest_of_run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run_folder / "_manifest.json").read_bytes())
        return found

    def but(self, **asked: Any) -> "World":
        return replace(self, asked={**self.asked, **asked})


class Killed(BaseException):
    """As SIGKILL: nobody catches it."""


class Dying:
    """An output whose pod is killed at its nth write: before it, or when it is there and nobody knows it yet."""

    def __init__(self, inner: Output, at: int, after: bool) -> None:
        self._inner, self._left, self._after = inner, at, after
        self.uri = inner.uri

    @contextmanager
    def _write(self) -> Iterator[None]:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        yield
        if self._left == 0:
            raise Killed

    def put(self, name: str, source: Path) -> None:
        with self._write():
            self._inner.put(name, source)

    def put_bytes(self, name: str, content: bytes) -> None:
        with self._write():
            self._inner.put_bytes(name, content)

    def create(self, name: str, content: bytes) -> bool:
        with self._write():
            return self._inner.create(name, content)
        raise AssertionError

    def get(self, name: str) -> bytes | None:
        return self._inner.get(name)

    def names(self, prefix: str) -> Any:
        return self._inner.names(prefix)


def lost_and_doubled(found: Mapping[str, list[Any]], wanted: list[Any]) -> tuple[int, int]:
    """Of rows by their key: that are in no file, and that are in files more than once."""
    seen = [key for keys in found.values() for key in keys]
    return len(set(wanted) - set(seen)), len(seen) - len(set(seen))
