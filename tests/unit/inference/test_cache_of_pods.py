"""The cache as pods have it: each step a process of its own, with the variables that the operator gives it."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.receipt import Receipt

from .artifacts import digest, estimator, pickled
from .processes import DEADLINE, environment

CONTENT = pickled(estimator())


class Store:
    """A server with one artifact. `asked`: how often it was; `close` takes it away."""

    def __init__(self) -> None:
        store = self
        self.asked = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT)

            def log_message(self, *_: Any) -> None:
                """Not told."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/m.joblib"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.close()


class Pod:
    """`told`: the termination messages by step."""

    def __init__(self, root: Path, name: str, address: str, **settings: str) -> None:
        self.folder = root / name
        self.name = name
        self.told: dict[str, Any] = {}
        for each in ("artifact", "bundle"):
            (self.folder / each).mkdir(parents=True)
        (root / "key").write_text("k" * 64)
        shared = {
            "BUNDLE_DIR": str(self.folder / "bundle"), "ARTIFACT_DIR": str(self.folder / "artifact"),
            "MODEL_NAME": "m", "MODEL_OPTIMISE": "Auto",
        }  # fmt: skip
        cached = {
            "MODELWARD_CACHE_DIR": str(root / "claim" / "modelward"), "MODELWARD_CACHE_KEY": str(root / "key"),
            "MODELWARD_CACHE_SCOPE": "uid/m-1", "POD_UID": name,
        }  # fmt: skip
        formats = {"MODEL_ALLOWED_FORMATS": "onnx,skops,xgboost,lightgbm,sklearn"}
        self._variables = {
            "download": shared | cached | formats | {"MODEL_URI": address} | settings,
            "compile": shared | formats,
            "keep-bundle": shared | cached,
        }

    def run(self, verb: str) -> int:
        log = self.folder / f"log-{verb}"
        variables = environment(**self._variables[verb], TERMINATION_LOG=str(log))
        done = subprocess.run(
            [sys.executable, "-m", "modelward_inference", verb], env=variables, cwd=self.folder, capture_output=True,
            text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip
        self.told[verb] = json.loads(log.read_text())
        print(done.stderr)
        return done.returncode

    def start(self) -> "Pod":
        for verb in ("download", "compile", "keep-bundle"):
            assert self.run(verb) == 0, self.told
        return self

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.folder / "bundle")

    @property
    def compiled(self) -> bool:
        """Whether it had to do that itself."""
        return not Receipt.read(self.folder / "artifact").cached


@pytest.mark.parametrize("known", ["MODEL_DIGEST", "MODEL_FIRST_DIGEST"])
def test_a_pod_that_starts_elsewhere_starts_with_the_store_away(known: str, store: Store, tmp_path: Path) -> None:
    given = {known: digest(CONTENT)}
    if known == "MODEL_FIRST_DIGEST":  # plain http is for what is pinned; this pod's word is of a volume
        (tmp_path / "volume").mkdir()
        (tmp_path / "volume" / "m.joblib").write_bytes(CONTENT)
        address, given["PVC_MOUNT"] = "pvc://claim/m.joblib", str(tmp_path / "volume")
    else:
        address = store.address
    first = Pod(tmp_path, "first", address, **given).start()
    assert first.told["keep-bundle"]["reason"] == "Kept"
    store.close()
    shutil.rmtree(tmp_path / "volume", ignore_errors=True)
    second = Pod(tmp_path, "second", address, **given).start()
    assert (first.compiled, second.compiled) == (True, False)
    assert second.manifest == first.manifest
    assert "cache" not in second.told["download"]


def test_pods_that_start_at_once_ask_the_store_once(store: Store, tmp_path: Path) -> None:
    pods = [Pod(tmp_path, f"pod-{each}", store.address, MODEL_DIGEST=digest(CONTENT)) for each in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(Pod.start, pods))
    assert store.asked == 1
    assert [each.compiled for each in pods].count(True) == 1


BROKEN = {"a file in its place": "claim", "no key": "key"}


@pytest.mark.parametrize("case", BROKEN)
def test_without_a_cache_that_works_a_model_starts_and_the_reports_say_why(
    case: str, store: Store, tmp_path: Path
) -> None:
    pod = Pod(tmp_path, "pod", store.address, MODEL_DIGEST=digest(CONTENT))
    (tmp_path / "key").unlink()
    if BROKEN[case] == "claim":
        (tmp_path / "key").write_text("k" * 64)
        (tmp_path / "claim").write_text("no folder")
    pod.start()
    assert pod.manifest.format == "onnx"
    reason = "CacheFailed" if BROKEN[case] == "claim" else "CacheKeyMissing"
    assert {each["cache"]["reason"] for name, each in pod.told.items() if name != "compile"} == {reason}
    assert pod.told["keep-bundle"]["reason"] == "NotKept"
