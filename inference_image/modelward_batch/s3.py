"""S3-compatible stores: reading by ranges of an object that stays the same, and conditional writes.

A request is tried again where that may help. Failure: Incurable for what people have to mend, Passing for a store that
stays away.
"""

import io
import logging
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from botocore import exceptions

from modelward_batch.errors import FileChanged, Incurable, Passing
from modelward_batch.stores import Found, Sleep, is_hidden
from modelward_inference.fetch.sources.s3 import BUSY, DENIED, MISSING
from modelward_inference.fetch.sources.s3 import client as make_client
from modelward_inference.fetch.sources.source import ATTEMPTS, delay_before

log = logging.getLogger(__name__)

_BUSY: Final = BUSY | {"ConditionalRequestConflict", "OperationAborted"}
_UNKNOWN: Final = {"NotImplemented", "501"}

Answer = TypeVar("Answer")


class _Missing(Exception):  # noqa: N818
    """There is no such key."""


class _Differs(Exception):  # noqa: N818
    """The condition of a request does not hold."""


class _Transient(Exception):  # noqa: N818
    """Another attempt may help."""


class _Asking:
    """One bucket, with attempts."""

    def __init__(self, uri: str, client: Any = None, sleep: Sleep = time.sleep) -> None:
        self.bucket, _, self.key = uri.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise Incurable(f"{uri} names no bucket; write s3://bucket/folder/")
        self._uri, self._sleep = uri, sleep
        self.client = client or make_client()

    def ask(self, act: Callable[[], Answer]) -> Answer:
        """Raises _Missing, _Differs, Incurable, Passing."""
        failure: Exception | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                delay = delay_before(attempt)
                log.warning("%s: %s; trying again in %.1f s", self._uri, failure, delay)
                self._sleep(delay)
            try:
                return act()
            except _Transient as error:
                failure = error
            except exceptions.ClientError as error:
                failure = self._told(error)
            except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
                raise Incurable(
                    f"{self._uri} needs credentials; name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                    "or a ServiceAccount with access"
                ) from None
            except exceptions.ParamValidationError as error:
                raise Incurable(f"{self._uri} is no address of S3: {error}".replace("\n", " ")) from None
            except (exceptions.BotoCoreError, exceptions.HTTPClientError, OSError) as error:
                failure = error
        raise Passing(
            f"{self._uri} failed in {ATTEMPTS} attempts: {failure}. Check that the store runs and pods reach it"
        )

    def _told(self, error: exceptions.ClientError) -> Exception:
        """What another attempt may mend; raises everything else."""
        code = str(error.response.get("Error", {}).get("Code"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            raise Incurable(f"{self._uri}: there is no bucket {self.bucket}; make it, or correct the address") from None
        if code in MISSING:
            raise _Missing from None
        if code == "PreconditionFailed" or status == 412:
            raise _Differs from None
        if code in DENIED:
            raise Incurable(
                f"{self._uri} is refused ({code}); check the keys in the Secret and their rights: a run takes "
                "s3:GetObject and s3:ListBucket on its input, and these and s3:PutObject on its output"
            ) from None
        if code in _UNKNOWN:
            raise Incurable(
                f"{self._uri}: the store can't do what a run needs ({error}): conditional writes (If-None-Match) or "
                "ranges; use one that can, or a claim"
            ) from None
        if status >= 500 or status == 429 or code in _BUSY:
            return _Transient(f"the store answers {code}")
        raise Incurable(f"{self._uri}: the store answers {code}: {error}; check the address") from None

    def pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """All keys that begin so."""
        token: dict[str, str] = {}
        while True:
            page = self.ask(
                lambda token=token: self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **token)  # type: ignore[misc]
            )
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


class S3Input:
    """An object, or all below a folder."""

    def __init__(self, uri: str, client: Any = None, sleep: Sleep = time.sleep) -> None:
        self._asking = _Asking(uri, client, sleep)
        key = self._asking.key
        self._one = self._object(key) if key and not key.endswith("/") else None
        self.is_folder = self._one is None
        if self._one is None:
            self._prefix = f"{key}/" if key and not key.endswith("/") else key
        else:
            self._prefix = key.removesuffix(self._one.name)
        self.uri = f"s3://{self._asking.bucket}/{self._prefix}"

    def files(self) -> list[Found]:
        if self._one is not None:
            return [self._one]
        found = (
            Found(str(each["Key"]).removeprefix(self._prefix), int(each["Size"]), str(each["ETag"]))
            for each in self._asking.pages(self._prefix)
            if not str(each["Key"]).endswith("/")  # consoles make such empty objects for folders
        )
        return sorted((each for each in found if not is_hidden(each.name)), key=lambda each: each.name)

    def open(self, file: Found) -> BinaryIO:
        return _Ranges(self._asking, f"{self._prefix}{file.name}", file)  # type: ignore[return-value]

    def check(self, file: Found) -> None:
        """Each request had the tag as its condition."""

    def _object(self, key: str) -> Found | None:
        asking = self._asking
        try:
            answer = asking.ask(lambda: asking.client.head_object(Bucket=asking.bucket, Key=key))
        except _Missing:
            return None
        return Found(key.rpartition("/")[2], int(answer["ContentLength"]), str(answer["ETag"]))


class _Ranges(io.RawIOBase):
    """An object as a file: each read is a request, of as many bytes as are asked for."""

    def __init__(self, asking: _Asking, key: str, file: Found) -> None:
        self._asking, self._key, self._file = asking, key, file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readall(self) -> bytes:
        return self.read(self._file.size)

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._file.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        content = self._range(wanted) if wanted else b""
        self._at += len(content)
        return content

    def readinto(self, buffer: Any, /) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _range(self, size: int) -> bytes:
        begin = self._at
        asking = self._asking

        def get() -> bytes:
            answer = asking.client.get_object(
                Bucket=asking.bucket, Key=self._key, IfMatch=self._file.tag, Range=f"bytes={begin}-{begin + size - 1}"
            )
            if _bare(answer.get("ETag") or self._file.tag) != _bare(self._file.tag):
                raise _Differs  # by a store that does not know the condition
            content: bytes = answer["Body"].read()
            if len(content) != size:
                raise _Transient(f"{len(content)} of {size} bytes came")
            return content

        try:
            return asking.ask(get)
        except (_Missing, _Differs):
            raise FileChanged(
                f"the input's {self._file.name} was overwritten or deleted after the run had begun; begin another run "
                "when nobody writes to it any more"
            ) from None


def _bare(tag: str) -> str:
    """Some stores list a tag without the quotes that it is served with."""
    return tag.removeprefix("W/").strip('"')


class S3Output:
    """`uri`: the run's folder, with a slash at its end."""

    def __init__(self, uri: str, client: Any = None, sleep: Sleep = time.sleep) -> None:
        self.uri = uri
        self._asking = _Asking(uri, client, sleep)

    def put(self, name: str, source: Path) -> None:
        def send() -> None:
            with source.open("rb") as file:
                self._put(name, file)

        self._asking.ask(send)

    def put_bytes(self, name: str, content: bytes) -> None:
        self._asking.ask(lambda: self._put(name, content))

    def create(self, name: str, content: bytes) -> bool:
        try:
            self._asking.ask(lambda: self._put(name, content, IfNoneMatch="*"))
        except _Differs:
            return False
        return True

    def get(self, name: str) -> bytes | None:
        asking = self._asking

        def receive() -> bytes:
            content: bytes = asking.client.get_object(Bucket=asking.bucket, Key=asking.key + name)["Body"].read()
            return content

        try:
            return asking.ask(receive)
        except _Missing:
            return None

    def names(self, prefix: str) -> Collection[str]:
        key = self._asking.key
        return {str(each["Key"]).removeprefix(key) for each in self._asking.pages(key + prefix)}

    def _put(self, name: str, body: Any, **condition: str) -> None:
        self._asking.client.put_object(Bucket=self._asking.bucket, Key=self._asking.key + name, Body=body, **condition)
