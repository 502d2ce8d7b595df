"""What `download` signs off: which bytes came, of which format. Everything that is shown or trusted later begins here.

Invariant: it is written by a process that loads nothing, into a folder that no other container can write to; so
whatever a model does while it is loaded, these words stay as they are.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from modelward_inference.artifact import digests, formats
from modelward_inference.errors import BundleInvalid

FILE = "download.json"

CACHED = "cached"
"""The folder beside it with a bundle that was compiled before, where the cache had one."""

_MAX = 1 << 20
"""Bytes."""


@dataclass(frozen=True)
class Receipt:
    """`uri`: without what grants access; `digest`, `size`: of the artifact as it came; `format`: of the artifact;
    `model`: of the model in it, which differs for a bundle; `files`: digest by name of each file that it became;
    `signed_by`: the key by which its signature was verified, `sha256:<hex>`, None where nobody asked; `notes`: what was
    found in it that its users should know; `cached`: digest by name of each file in CACHED."""

    uri: str
    digest: str
    size: int
    format: str
    model: str
    files: Mapping[str, str] = field(default_factory=dict)
    signed_by: str | None = None
    notes: tuple[str, ...] = ()
    cached: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of the model's file."""
        return formats.FILES[self.model]

    def write(self, folder: Path) -> None:
        """By a rename: a folder with it is complete."""
        temporary = folder / f".{FILE}.{os.getpid()}"
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        temporary.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises BundleInvalid where nothing has been downloaded."""
        path = folder / FILE
        try:
            with path.open("rb") as handle:
                raw = json.loads(handle.read(_MAX))
            found = cls(**{**raw, "notes": tuple(raw.get("notes", ()))})
            found._check()
        except FileNotFoundError:
            raise BundleInvalid(f"{path} does not exist; `download` has to run first") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BundleInvalid(f"{path} can't be read ({error}); download the model anew") from None
        return found

    def _check(self) -> None:
        texts = (self.uri, self.digest, self.format, self.model)
        if not all(isinstance(each, str) for each in texts) or not isinstance(self.size, int):
            raise TypeError("a field is of another type")
        if self.signed_by is not None and not isinstance(self.signed_by, str):
            raise TypeError("signed_by has to name a key")
        if not all(isinstance(each, str) for each in self.notes):
            raise TypeError("notes have to be texts")
        for each in (self.files, self.cached):
            if not isinstance(each, dict) or not all(isinstance(digest, str) for digest in each.values()):
                raise TypeError("files and cached have to name digests")
        if self.model not in formats.FILES or self.model == formats.BUNDLE or self.file not in self.files:
            raise ValueError("it names no model")

    def check(self, folder: Path, name: str) -> None:
        """Raises BundleInvalid where the file is no longer what came."""
        digests.check(folder, {name: self.files[name]})
