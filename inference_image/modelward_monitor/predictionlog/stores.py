"""Where the log goes: an S3-compatible store, or a folder of a claim. Both behind four verbs.

Invariant: a file is there as a whole or not at all, under its final name. Failure: StoreError, with cause and cure.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from modelward_monitor.predictionlog.names import PART
from modelward_monitor.predictionlog.segments import sync_folder
from modelward_monitor.predictionlog.settings import LogSettings

NAMES: Final = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
"""What may be in the credentials' Secret; all else in it is left alone."""

PAGE: Final = 1000

_WHERE: Final = "spec.predictionLog.uri"
_WHO: Final = "spec.predictionLog.credentialsSecret, or the rights of spec.serviceAccountName"


class StoreError(Exception):
    """`kind`: Away (it may come back by itself), Denied, Missing (the bucket or the claim), or Full."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class GoneError(Exception):
    """The file is not there any more."""


class LogStore(Protocol):
    """Paths are below the log's own folder, with `/` between their parts. All raise StoreError."""

    def put(self, path: str, source: Path) -> None:
        """Takes the place of what is there."""
        ...

    def get(self, path: str, target: Path) -> None:
        """Raises GoneError."""
        ...

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Paths that begin so, and their bytes."""
        ...

    def delete(self, path: str) -> None:
        """No failure where it is gone."""
        ...


def store_of(settings: LogSettings) -> LogStore:
    """Raises StoreError."""
    if settings.uri.startswith("s3://"):
        if settings.credentials is not None:
            for name in NAMES:
                with contextlib.suppress(FileNotFoundError):
                    os.environ[name] = (settings.credentials / name).read_text().strip()
        bucket, _, prefix = settings.uri.removeprefix("s3://").partition("/")
        return S3(bucket, f"{prefix}/" if prefix else "")
    return Claim(Path(settings.uri), settings.prefix)


class Claim:
    """A mounted folder, `root`, which has to be there, and a folder below it."""

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root, self._folder = root, root / prefix

    def put(self, path: str, source: Path) -> None:
        target = self._folder / path
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PART}")
        with _explained(self._root):
            self._root.stat()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source, aside)
                with aside.open("rb") as file:
                    os.fsync(file.fileno())
                aside.replace(target)
                sync_folder(target.parent)
            finally:
                aside.unlink(missing_ok=True)

    def get(self, path: str, target: Path) -> None:
        with _explained(self._root):
            try:
                shutil.copyfile(self._folder / path, target)
            except FileNotFoundError:
                raise GoneError(path) from None

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Other folders than the prefix's own are not looked into."""
        top = self._folder / prefix.rpartition("/")[0]
        with _explained(self._root):
            self._root.stat()
            for folder, _, names in os.walk(top):
                for name in sorted(names):
                    path = (Path(folder) / name).relative_to(self._folder).as_posix()
                    if path.startswith(prefix):
                        with contextlib.suppress(FileNotFoundError):
                            yield path, (self._folder / path).stat().st_size

    def delete(self, path: str) -> None:
        with _explained(self._root):
            (self._folder / path).unlink(missing_ok=True)


class S3:
    """A bucket's keys below a prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        # Imported only where it is wanted: it takes 30 MB.
        from modelward_inference.fetch.sources.s3 import client

        self._bucket, self._prefix = bucket, prefix
        self._client = client()
        self._uri = f"s3://{bucket}/{prefix}"

    def put(self, path: str, source: Path) -> None:
        def send() -> None:
            with source.open("rb") as file:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=file)

        self._asked(send)

    def get(self, path: str, target: Path) -> None:
        def receive() -> None:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
            with target.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(1 << 20):
                    file.write(chunk)

        self._asked(receive, path)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        token: dict[str, str] = {}
        while True:
            page = self._asked(
                lambda token=token: self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix + prefix, MaxKeys=PAGE, **token
                )
            )
            for each in page.get("Contents", ()):
                yield str(each["Key"]).removeprefix(self._prefix), int(each["Size"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, path: str) -> None:
        self._asked(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path))

    def _asked(self, ask: Any, path: str | None = None) -> Any:
        from botocore import exceptions

        try:
            return ask()
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            raise StoreError(
                "Denied",
                f"{self._uri} needs credentials; name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "spec.predictionLog.credentialsSecret, or a ServiceAccount with access in spec.serviceAccountName",
            ) from None
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in ("NoSuchKey", "404") and path is not None:
                raise GoneError(path) from None
            raise StoreError(*self._told(code, error)) from None
        except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
            raise StoreError("Away", f"{self._uri} does not answer: {error}") from None
        except OSError as error:  # of a body that breaks off
            raise StoreError("Away", f"{self._uri}: the transfer broke off: {error}") from None

    def _told(self, code: str, error: Exception) -> tuple[str, str]:
        from modelward_inference.fetch.sources.s3 import DENIED  # with the client, which is there by now

        if code in DENIED:
            what = (
                "the log takes s3:PutObject, compaction and retention s3:ListBucket, s3:GetObject and s3:DeleteObject"
            )
            return "Denied", f"{self._uri} is refused ({code}); check the keys in {_WHO}: {what}"
        if code in ("NoSuchBucket", "404"):
            return "Missing", f"{self._uri}: there is no bucket {self._bucket}; make it, or check {_WHERE}"
        if code in ("XMinioStorageFull", "QuotaExceeded", "507", "InsufficientStorage"):
            return "Full", f"{self._uri} has no room ({code}); make some, or shorten spec.predictionLog.retention"
        return "Away", f"{self._uri}: the store answers {code}: {error}"


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (28, 122)
        denied = error.errno in (1, 13, 30)
        kind = "Full" if full else "Denied" if denied else "Missing" if not folder.is_dir() else "Away"
        cure = {
            "Full": "make room in the claim, or shorten spec.predictionLog.retention",
            "Denied": "the claim has to be writable for the group 65532",
            "Missing": f"check {_WHERE}",
            "Away": "check the claim's volume",
        }[kind]
        raise StoreError(kind, f"the prediction log's folder can't be used: {error}; {cure}") from error
