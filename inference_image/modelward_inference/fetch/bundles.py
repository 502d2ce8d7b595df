"""Compiled bundles that pods share: a second start of the same model on the same image compiles nothing.

A bundle is the word of a process that loaded the artifact, which may be a program. So it is kept by a step of its own,
`keep-bundle`, which loads nothing, and under the digest of the artifact that the download's receipt names: a program
can spoil its own model's entry, as it can spoil its own answers, and no other's. Whoever else can write to the shared
folder has not the key: each entry carries an HMAC over all its files' digests. `download` checks it, copies and hashes
the files, and notes them in its receipt; `compile`, which has neither folder nor key, takes them by the receipt.
"""

import contextlib
import hashlib
import hmac
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import modelward_inference
from modelward_inference.artifact import archive
from modelward_inference.artifact.bundle import MANIFEST, SCHEMA_VERSION, Manifest
from modelward_inference.artifact.receipt import CACHED, Receipt
from modelward_inference.errors import ModelError
from modelward_inference.fetch import cache
from modelward_inference.fetch.cache import Cache
from modelward_inference.fetch.sources.source import say

KIND = cache.BUNDLES
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

FIRST_SECONDS = 900.0
"""How long a word of what the first pod got is good: by then its operator has told the others."""

_MAX_ENTRY = 1 << 20
_LEAST_KEY = 32
"""Bytes."""


@dataclass(frozen=True)
class Bundles:
    """`secret`: of the entries' HMACs; `scope`: names the revision whose pod this is, and no other; empty: nobody said.
    `now`: seconds since the epoch."""

    cache: Cache
    secret: bytes
    scope: str = ""
    now: Callable[[], float] = time.time

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Bundles | None":
        """MODELWARD_CACHE_KEY, a file; None where there is no cache or no key, which is told. Raises
        InvalidConfiguration for what Cache does."""
        shared, path = Cache.from_environment(environment), environment.get(KEY_VARIABLE, "")
        if shared is None or not path:
            return None
        try:
            secret = Path(path).read_bytes().strip()
        except OSError as error:
            cache.note(cache.KEY_MISSING, f"{KEY_VARIABLE} names {path}, which can't be read: {error.strerror}")
            return None
        if len(secret) < _LEAST_KEY:
            cache.note(
                cache.KEY_MISSING, f"{path} ({KEY_VARIABLE}) has {len(secret)} bytes; at least {_LEAST_KEY} are a key"
            )
            return None
        return cls(shared, secret, environment.get("MODELWARD_CACHE_SCOPE", ""))

    def first(self, address: str) -> str | None:
        """The digest that the first pod of this revision got from an address that nothing pins, waiting for the pod
        that is at it; None where this pod is the first, or nobody can tell.

        Where its bytes lie: what comes from the store in their place counts all the same.
        """
        found: list[str] = []

        def done() -> bool:
            found.extend(self._first(address))
            return bool(found)

        if not self.scope:
            return None
        try:
            self.cache.wait(self._lease_of_first(address), done)
        except OSError as error:
            cache.failed("used", error)
        return found[0] if found else None

    def give_up(self, address: str) -> None:
        """This pod got nothing: another may be the first."""
        if self.scope:
            with contextlib.suppress(OSError):
                self.cache.release(self._lease_of_first(address))

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
            cache.failed("used", error)
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
                fill = partial(self._fill, key=key, folder=folder, manifest=manifest)
                self.cache.roomy(lambda: self.cache.put_folder(KIND, key, fill))
                self.cache.evict()
            if self.scope:
                self._keep_first(receipt)
            return self.cache.place(KIND, key).exists()
        except OSError as error:
            cache.failed("written", error)
            return False
        except ModelError as error:
            say(f"the bundle is not kept: {error}")
            return False
        finally:
            with contextlib.suppress(OSError):
                self.cache.release(f"{KIND}-{key}")
            self.give_up(receipt.uri)

    def _first(self, address: str) -> list[str]:
        try:
            text = cache.read_text(self.cache.place(cache.FIRSTS, self._name_of_first(address)), _MAX_ENTRY)
            raw = json.loads(text)
            digest, at = str(raw["digest"]), float(raw["at"])
            genuine = hmac.compare_digest(str(raw["mac"]).encode(), self._mac_of_first(address, digest, at).encode())
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, RecursionError):
            return []
        return [digest] if genuine and abs(self.now() - at) < FIRST_SECONDS else []

    def _keep_first(self, receipt: Receipt) -> None:
        at = self.now()
        said = {"digest": receipt.digest, "at": at, "mac": self._mac_of_first(receipt.uri, receipt.digest, at)}
        if not self._first(receipt.uri):
            self.cache.put_text(cache.FIRSTS, self._name_of_first(receipt.uri), json.dumps(said))

    def _name_of_first(self, address: str) -> str:
        return hashlib.sha256(json.dumps([self.scope, address]).encode()).hexdigest()

    def _lease_of_first(self, address: str) -> str:
        return f"{cache.FIRSTS}-{self._name_of_first(address)}"

    def _mac_of_first(self, address: str, digest: str, at: float) -> str:
        told = json.dumps([cache.FIRSTS, self.scope, address, digest, at]).encode()
        return hmac.new(self.secret, told, hashlib.sha256).hexdigest()

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
