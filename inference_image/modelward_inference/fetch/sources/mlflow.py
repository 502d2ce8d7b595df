"""mlflow-artifacts:/path: what an MLflow tracking server keeps and hands out itself (`--serve-artifacts`).

Its REST interface needs no client: `GET /api/2.0/mlflow-artifacts/artifacts?path=` lists one folder, the same with the
path behind it gives a file, with an ETag, so that a broken transfer goes on. It tells sizes, but no digests, and ETags
of a store behind it are of copies that the server makes for each answer: they are others each time. So a model is known
by its MLmodel, which has an id of its own with each time that one is logged, and is read with each list.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from modelward_inference.errors import AccessDenied, ArtifactNotFound, ArtifactUnreachable, InvalidConfiguration
from modelward_inference.fetch.contents import mlmodel
from modelward_inference.fetch.contents.packed import MAX_FILES
from modelward_inference.fetch.sources.http import HttpSource
from modelward_inference.fetch.sources.source import Entry, Folder, FolderChanged, Part, Source, TransientError, tried

SCHEME = "mlflow-artifacts"

_ROUTE = "/api/2.0/mlflow-artifacts/artifacts"

_MAX_LISTING = 16 << 20
"""Bytes of one folder's list."""

_MAX_DESCRIPTION = 1 << 20
"""Bytes of an MLmodel; a longer one is no model's."""

_DENIED = (
    "give the registry's credentials, a user (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD) or a token "
    "(MLFLOW_TRACKING_TOKEN), who may read the model; where the server says `Invalid Host header`, name its host and "
    "port in its MLFLOW_SERVER_ALLOWED_HOSTS"
)


@dataclass(frozen=True)
class Tracking:
    """A tracking server. `address`: without credentials and without a slash at its end; `headers`: who asks."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tracking":
        """MLFLOW_TRACKING_URI and what belongs to it. Raises InvalidConfiguration."""
        uri = environment.get("MLFLOW_TRACKING_URI", "").strip()
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidConfiguration(
                f"{SCHEME}: addresses are read by way of MLflow's server; set MLFLOW_TRACKING_URI to its http:// or "
                "https:// address"
            )
        user, word = environment.get("MLFLOW_TRACKING_USERNAME"), environment.get("MLFLOW_TRACKING_PASSWORD")
        token, workspace = environment.get("MLFLOW_TRACKING_TOKEN"), environment.get("MLFLOW_WORKSPACE")
        headers = {}
        if user:  # first, as MLflow's own client has it
            told = base64.b64encode(f"{user}:{word or ''}".encode()).decode()
            headers["Authorization"] = f"Basic {told}"
        elif token:
            headers["Authorization"] = f"Bearer {token.strip()}"
        if workspace:
            headers["X-MLFLOW-WORKSPACE"] = workspace
        plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        return cls(plain, headers)

    def file(self, path: str) -> HttpSource:
        return HttpSource(f"{self.address}{_ROUTE}/{quote(path)}", self.headers, _DENIED)

    def listed(self, path: str) -> list[tuple[str, bool, int | None]]:
        """Of a folder: name, whether it is one itself, and size in bytes; empty for what is none, or does not exist.

        Raises TransientError or ModelError.
        """
        source = HttpSource(f"{self.address}{_ROUTE}?{urlencode({'path': path})}", self.headers, _DENIED)
        content = b""
        for chunk in source.open(0).chunks:
            content += chunk
            if len(content) > _MAX_LISTING:
                raise ArtifactUnreachable(f"{SCHEME}:/{path} is a list of more than {_MAX_LISTING} bytes")
        try:
            return [_told(each) for each in json.loads(content).get("files", [])]
        except (ValueError, AttributeError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ArtifactUnreachable(
                f"{self.address} does not answer as MLflow's server does ({str(error)[:200]}); check "
                "MLFLOW_TRACKING_URI, and that the server was started with --serve-artifacts"
            ) from error


def _told(raw: dict[str, Any]) -> tuple[str, bool, int | None]:
    name, size = str(raw["path"]), raw.get("file_size")
    name.encode()  # half of a character, which no address can have
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name[:100]!r} is no name in a folder")
    return name, bool(raw.get("is_dir")), None if size is None else int(size)


def source_of(uri: str, environment: Mapping[str, str] = os.environ) -> Source | Folder:
    """Asks the server whether it is a file or a folder. Raises ModelError."""
    tracking = Tracking.from_environment(environment)
    parts = urlsplit(uri, allow_fragments=False)
    if parts.netloc and parts.netloc != urlsplit(tracking.address).netloc:
        raise InvalidConfiguration(
            f"{uri} names the server {parts.netloc}, but MLFLOW_TRACKING_URI is {tracking.address}; write {SCHEME}:/ "
            "with the path alone, or name the other server in the registry"
        )
    path = uri.partition(":")[2].removeprefix(f"//{parts.netloc}" if parts.netloc else "").strip("/")
    if not path:
        raise InvalidConfiguration(f"{uri} names no artifact; write {SCHEME}:/<experiment>/<…>/artifacts")
    if tried(lambda: tracking.listed(path), uri):
        return MlflowFolder(tracking, path)
    parent, _, name = path.rpartition("/")
    try:
        beside = tried(lambda: tracking.listed(parent), uri)
    except AccessDenied:
        beside = [(name, False, None)]  # who may read a file need not see all that is beside it
    if any(each == name and not folder for each, folder, _ in beside):
        return tracking.file(path)
    raise ArtifactNotFound(
        f"{uri} does not exist on {tracking.address}: there is no such artifact, or none of it has been uploaded; "
        "check spec.model.uri"
    )


class MlflowFolder:
    """A model's folder on the server, with all below it."""

    def __init__(self, tracking: Tracking, path: str) -> None:
        self._tracking, self._path = tracking, path

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        folders = [""]
        seen = 0
        while folders and seen <= MAX_FILES:
            below = folders.pop()
            for name, is_folder, size in self._tracking.listed(f"{self._path}/{below}".rstrip("/")):
                seen += 1
                if is_folder:
                    folders.append(f"{below}{name}/")
                else:
                    found.append(Entry(f"{below}{name}", size, self._tag(f"{below}{name}")))
        if seen > MAX_FILES:
            found += [Entry("…", None)] * (MAX_FILES + 1 - len(found))
        return found

    def _tag(self, name: str) -> str:
        """Of a model's description, by which another model with files of the same sizes is known for one."""
        if name.rpartition("/")[2] != mlmodel.FILE:
            return ""
        digest, size = hashlib.sha256(), 0
        try:
            part = self._tracking.file(f"{self._path}/{name}").open(0)
            for chunk in part.chunks:
                digest.update(chunk)
                size += len(chunk)
                if size > _MAX_DESCRIPTION:
                    return ""  # refused once it has come
        except ArtifactNotFound as error:
            raise TransientError(f"{name} went while its folder was listed") from error
        if part.total not in (None, size):
            raise TransientError(f"the transfer of {name} broke off after {size} of {part.total} bytes")
        return digest.hexdigest()

    def file(self, entry: Entry) -> Source:
        return _Listed(self._tracking.file(f"{self._path}/{entry.name}"), entry.name)


class _Listed:
    """A file that was listed: where it is gone, its folder has changed."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name = source, name

    def open(self, offset: int) -> Part:
        try:
            return self._source.open(offset)
        except ArtifactNotFound as error:
            raise FolderChanged(f"{self._name} went") from error
