"""Compiled bundles that pods share: a second start of the same model on the same image compiles nothing.

A bundle is the word of a process that loaded the artifact, which may be a program. So it is kept by a step of its own,
`keep-bundle`, which loads nothing, and under the digest of the artifact that the download's receipt names: a program
can spoil its own model's entry, as it can spoil its own answers, and no other's. Whoever else can write to the shared
folder has not the key: each entry carries an HMAC over all its files' digests. `download` checks it, copies and hashes
the files, and notes them in its receipt; `compile`, which has neither folder nor key, takes them by the receipt.
"""

import hashlib
import hmac
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import modelward_inference
from modelward_inference.artifact import archive
from modelward_inference.artifact.bundle import MANIFEST, SCHEMA_VERSION, Manifest
from modelward_inference.artifact.receipt import CACHED, Receipt
from modelward_inference.errors import InvalidConfiguration, ModelError
from modelward_inference.fetch import cache
from modelward_inference.fetch.cache import Cache
from modelward_inference.fetch.source import say

KIND = "bundles"
ENTRY = "entry.json"
KEY_VARIABLE = "MODELWARD_CACHE_KEY"

_LIBRARIES = (
    "numpy",
    "onnxruntime",
    "onnx",
    "skl2onnx",
    "onnxmltools",
    "scikit-learn",
    "xgboost-cpu",
    "lightgbm",
    "torch",
)
"""On whose versions a compiled form depends."""

_MAX_ENTRY = 1 << 20
_LEAST_KEY = 32
"""Bytes."""


@dataclass(frozen=True)
class Bundles:
    """`secret`: of the entries' HMACs."""

    cache: Cache
    secret: bytes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Bundles | None":
        """MODELWARD_CACHE_KEY, a file; None where there is no cache or no key. Raises InvalidConfiguration."""
        shared, path = Cache.from_environment(environment), environment.get(KEY_VARIABLE, "")
        if shared is None or not path:
            return None
        try:
            secret = Path(path).read_bytes().strip()
        except OSError as error:
            raise InvalidConfiguration(f"{KEY_VARIABLE} names {path}, which can't be read: {error.strerror}") from None
        if len(secret) < _LEAST_KEY:
            raise InvalidConfiguration(
                f"{path} ({KEY_VARIABLE}) has {len(secret)} bytes; at least {_LEAST_KEY} are a key"
            )
        return cls(shared, secret)

    def take(self, receipt: Receipt, name: str, optimise: str, folder: Path, most: int) -> dict[str, str]:
        """Copy the bundle of a model into `folder`/CACHED, waiting for a pod that makes it. Returns the digests of its
        files; empty where there is none, and this pod is to make it."""
        key = key_of(receipt, name, optimise)
        found: dict[str, str] = {}

        def done() -> bool:
            found.update(self._copied(key, folder / CACHED, most))
            return bool(found)

        try:
            self.cache.wait(f"{KIND}-{key}", done)
        except OSError as error:
            say(f"the cache can't be used: {error}; going on without it")
        return found

    def keep(self, receipt: Receipt, name: str, optimise: str, folder: Path) -> bool:
        """Put the bundle in `folder` in, where it is that of the receipt. Whether it is in the cache then."""
        key = key_of(receipt, name, optimise)
        try:
            manifest = Manifest.read(folder)
            own = (manifest.digest, manifest.size, manifest.uri, manifest.artifact_format, manifest.name)
            if own != (receipt.digest, receipt.size, receipt.uri, receipt.format, name):
                say("the bundle is not that of what was downloaded, and is not kept")
                return False
            if not receipt.cached:
                self.cache.put_folder(KIND, key, lambda target: self._fill(target, key, folder, manifest))
                self.cache.evict()
            return self.cache.place(KIND, key).exists()
        except (OSError, ModelError) as error:
            say(f"the bundle is not kept: {error}")
            return False
        finally:
            self.cache.release(f"{KIND}-{key}")

    def _fill(self, target: Path, key: str, folder: Path, manifest: Manifest) -> None:
        names = {MANIFEST, *manifest.files} & archive.NAMES
        files = {name: cache.copied(folder / name, target / name, self.cache.most)[0] for name in sorted(names)}
        (target / ENTRY).write_text(json.dumps({"files": files, "mac": self._mac(key, files)}))

    def _copied(self, key: str, target: Path, most: int) -> dict[str, str]:
        place = self.cache.place(KIND, key)
        try:
            target.mkdir()
            cache.copied(place / ENTRY, target / ENTRY, _MAX_ENTRY)
            raw = json.loads((target / ENTRY).read_bytes())
            (target / ENTRY).unlink()
            files = {str(name): str(digest) for name, digest in raw["files"].items()}
            whole = MANIFEST in files and files.keys() <= archive.NAMES
            if not whole or not hmac.compare_digest(str(raw["mac"]).encode(), self._mac(key, files).encode()):
                raise ValueError("nobody who has the key made it")
            for name, digest in files.items():
                if cache.copied(place / name, target / name, most)[0] != digest:
                    raise ValueError(f"{name} is another file")
        except FileNotFoundError:
            shutil.rmtree(target, ignore_errors=True)
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            say(f"a bundle in the cache is not taken: {error}")
            shutil.rmtree(target, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)
            return {}
        cache.touch(place)
        return files

    def _mac(self, key: str, files: Mapping[str, str]) -> str:
        told = json.dumps([key, sorted(files.items())]).encode()
        return hmac.new(self.secret, told, hashlib.sha256).hexdigest()


def key_of(receipt: Receipt, name: str, optimise: str) -> str:
    """Of what a bundle is made of: the artifact, the settings, and this image."""
    versions = []
    for library in _LIBRARIES:
        try:
            versions.append((library, metadata.version(library)))
        except metadata.PackageNotFoundError:
            versions.append((library, ""))
    made_of = [
        SCHEMA_VERSION, modelward_inference.__version__, platform.python_version(), platform.machine(), versions,
        receipt.digest, receipt.uri, receipt.format, receipt.model, name, optimise,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
