"""Files for another server than ours: brought and verified as every artifact, and laid out where that server looks.

Nothing of them is looked into beyond what unpacks them, and nothing is compiled: what they are is the other server's to
know. So somebody has to vouch for them, as for every format that may run code.
Invariant: what is written lies below one folder, by names that lead nowhere else; all of it, or nothing.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from modelward_inference.artifact import consent, formats
from modelward_inference.artifact.consent import Allowed
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.errors import ArtifactCorrupt, InvalidConfiguration, ModelUnsupported
from modelward_inference.fetch import obtain, run
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.run import Request
from modelward_inference.fetch.sources.addresses import shown
from modelward_inference.fetch.sources.source import say

VARIABLE = "MODEL_LAYOUT"

FOLDER = "models"
"""Below the artifact's folder: what the other server takes for the folder of its models."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""Ends of addresses whose files are unpacked: others look like archives and are a model (.mar, .keras, .npz)."""

ANY_END = ".*"


@dataclass(frozen=True)
class Layout:
    """`folder`: below FOLDER, where files go; `file`: the name of an only file, with ANY_END the end of its own name is
    kept, None: its own name. Where `whole` is among the files, they are a layout of their own, and go to
    `whole_folder`."""

    folder: str
    file: str | None = None
    whole: str | None = None
    whole_folder: str = "."

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Layout | None":
        """MODEL_LAYOUT; None where the model is for our own server. Raises InvalidConfiguration."""
        text = environment.get(VARIABLE)
        if not text:
            return None
        try:
            raw = json.loads(text)
            whole = raw.get("whole") or {}
            found = cls(raw["folder"], raw.get("file"), whole.get("file"), whole.get("folder", "."))
            for path in (found.folder, found.file, found.whole, found.whole_folder):
                if path is not None and path != ".":
                    packed.checked(path, VARIABLE)
        except (ValueError, KeyError, TypeError, AttributeError, ModelUnsupported) as error:
            raise InvalidConfiguration(
                f"{VARIABLE} can't be read ({error}); its writer is of another version"
            ) from None
        return found

    def places(self, names: Sequence[str]) -> dict[str, str]:
        """Where each file goes, below FOLDER."""
        top = _one_top(names)
        inner = {name: name.removeprefix(f"{top}/") if top else name for name in names}
        folder = self.folder
        if self.whole is not None and self.whole in inner.values():
            folder = self.whole_folder
        elif len(names) == 1 and self.file is not None:
            (name,) = names
            inner = {name: self._named(PurePosixPath(inner[name]).name)}
        return {name: str(PurePosixPath(folder) / place) for name, place in inner.items()}

    def _named(self, own: str) -> str:
        assert self.file is not None
        if not self.file.endswith(ANY_END):
            return self.file
        return self.file.removesuffix(ANY_END) + PurePosixPath(own).suffix


def obtained(
    request: Request, layout: Layout, folder: Path, allowed: Allowed = None, limits: Limits = DEFAULT
) -> Receipt:
    """Bring the artifact and lay its files out below FOLDER in `folder`. Raises ModelError, and leaves nothing then."""
    _clear(folder)
    address = shown(request.uri)
    with run.all_or_nothing(folder, _clear), obtain.brought(request, folder, limits) as came:
        names = _files(came, request, folder, limits)
        consent.check(formats.FILES_OF_OTHERS, allowed, address, came.digest)
        source, target = folder / packed.FOLDER, folder / FOLDER
        for name, place in sorted(layout.places(names).items()):
            path = target / packed.checked(place, address)
            path.parent.mkdir(parents=True, exist_ok=True)
            (source / name).replace(path)
        packed.clear(folder)
    say(f"{len(names)} files, {came.size} bytes, {came.digest}" + (f", signed by {came.signer}" if came.signer else ""))
    kind = formats.FILES_OF_OTHERS
    return Receipt(address, came.digest, came.size, kind, kind, signed_by=came.signer)


def _files(came: obtain.Brought, request: Request, folder: Path, limits: Limits) -> list[str]:
    """Their names below packed.FOLDER."""
    downloaded, address, check = folder / obtain.DOWNLOAD, shown(request.uri), came.check
    look = check.unpacked if check else None
    try:
        names = came.names
        if names is None:
            if downloaded.stat().st_size == 0:
                raise ArtifactCorrupt("is empty; upload the artifact again")
            if (what := formats.no_artifact(downloaded)) is not None:
                raise ArtifactCorrupt(f"is {what}")
            if _path(request.uri).lower().endswith(ARCHIVES):
                names = packed.unpacked(downloaded, folder, address, limits)
                if names is None:
                    what = formats.looks_like(downloaded)[1]
                    raise ArtifactCorrupt(f"is {what}, and its name promises an archive of files; pack them again")
        if names is not None and look is not None:
            look(names, folder / packed.FOLDER)
        if check is not None:
            check.finish()
    except ArtifactCorrupt as error:
        raise ArtifactCorrupt(f"{address} ({came.size} bytes, {came.digest}) {error}") from error
    if names is None:
        name = PurePosixPath(_path(request.uri)).name
        name = name if name.isprintable() and not name.startswith(".") else ""
        (folder / packed.FOLDER).mkdir(exist_ok=True)
        downloaded.replace(folder / packed.FOLDER / packed.checked(name or "model", address))
        return [name or "model"]
    return names


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)


def _one_top(names: Sequence[str]) -> str | None:
    """The one folder that all files lie in, as who packs a folder makes it; not one whose name has an end, which is a
    model in itself (`model.savedmodel`)."""
    tops = {PurePosixPath(name).parts[0] for name in names}
    if len(tops) != 1 or any(len(PurePosixPath(name).parts) < 2 for name in names):
        return None
    (top,) = tops
    return None if "." in top else top


def _clear(folder: Path) -> None:
    obtain.clear(folder)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
