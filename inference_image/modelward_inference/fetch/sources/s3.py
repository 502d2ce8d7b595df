"""s3://bucket/key, of AWS or of any store that speaks its API (AWS_ENDPOINT_URL); s3://bucket/prefix/ is a folder.

`?versionId=…` behind a key names one version of a bucket that keeps them.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import botocore.httpsession
from botocore.config import Config

from modelward_inference import authorities
from modelward_inference.errors import (
    AccessDenied,
    ArtifactNotFound,
    ArtifactUnreachable,
    InvalidConfiguration,
    ModelError,
)
from modelward_inference.fetch.contents.packed import MAX_FILES
from modelward_inference.fetch.sources import network
from modelward_inference.fetch.sources.source import (
    CHUNK,
    Entry,
    Folder,
    FolderChanged,
    Part,
    Source,
    TransientError,
    is_rest,
)

MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
DENIED = {
    "401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "Forbidden",
}  # fmt: skip
BUSY = {"SlowDown", "RequestTimeout", "Throttling"}
"""Codes by which stores say that there is no such thing, that it is refused, and that another attempt may help."""


_VERSION = re.compile(r"\?versionId=([^&?#/]+)$")
"""At the very end: a key may hold any character, `?` and `#` among them."""


def address_of(uri: str) -> tuple[str, str]:
    """Bucket and key, which ends in `/` where the address names a folder. Raises InvalidConfiguration."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not bucket or not key.strip("/"):
        what = "names no bucket" if not bucket else "names a bucket and no key"
        example = f"s3://{bucket or 'models'}/{key.strip('/') or 'model.joblib'}"
        raise InvalidConfiguration(f"{uri} {what}; name one file or folder in spec.model.uri, for example {example}")
    return bucket, key


def without_version(uri: str) -> tuple[str, str | None]:
    """The address of an object, and which version of it is asked for; None: the newest."""
    found = _VERSION.search(uri)
    return (uri, None) if found is None else (uri[: found.start()], found[1])


def source_of(uri: str) -> Source | Folder:
    """Of an address without a slash at its end only asking tells whether it is an object (`S3Source.below`)."""
    plain, version = without_version(uri)
    bucket, key = address_of(plain)
    if not key.endswith("/"):
        return S3Source(uri)
    if version is not None:
        raise InvalidConfiguration(f"{uri} names a version of a folder; only objects have versions")
    return S3Folder(uri, bucket, key, client())


def client() -> Any:
    """Credentials come from boto3's chain: the Secret's variables, or a web identity.

    The node's role is asked for only with AWS_EC2_METADATA_DISABLED=false: it belongs to the node's owner, not to
    whoever may name an address.
    """
    # Stores with an address of their own seldom have a DNS name for each bucket.
    other = bool(os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"))
    config = Config(
        connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if other else "auto"},
        # Checksums in headers are AWS' own invention, which stores that speak S3 need not know.
        response_checksum_validation="when_required" if other else "when_supported",
    )  # fmt: skip
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    session = boto3.Session(region_name=_region())
    if role := os.environ.get("AWS_ASSUME_ROLE_ARN"):
        session = _assumed(role)
    verify = network.bundle(Path(botocore.httpsession.get_cert_path(True)), Path(tempfile.gettempdir()))
    own = {"verify": verify} if authorities.private_authorities() else {}
    return session.client("s3", config=config, **own)


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "us-east-1"


def _assumed(role: str) -> boto3.Session:
    """A session of a role, by the keys that there are. Raises AccessDenied."""
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})
    name = f"modelward-{os.environ.get('MODEL_NAME', 'model')}"[:64]
    try:
        sts = boto3.Session(region_name=_region()).client("sts", config=config)
        keys = sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    except (botocore.exceptions.ClientError, botocore.exceptions.NoCredentialsError) as error:
        raise AccessDenied(
            f"{role} can't be assumed ({error}); let its trust policy name whose keys the Secret holds, and let these "
            "do sts:AssumeRole on it"
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise ArtifactUnreachable(
            f"{role} can't be assumed: the token service does not answer ({error}). Check that pods reach it"
        ) from error
    return boto3.Session(
        aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], region_name=_region(),
    )  # fmt: skip


class S3Source:
    """One object, or one version of it. `of`: the client of the folder that listed it, and the tag that it had then."""

    def __init__(self, uri: str, of: tuple[Any, str] | None = None) -> None:
        self._uri = uri
        plain, version = (uri, None) if of else without_version(uri)
        self._bucket, self._key = address_of(plain)
        self._version = {} if version is None else {"VersionId": version}
        self._client: Any = of[0] if of else client()
        self._listed = of[1] if of else None
        self._tag = self._listed
        self._whole: int | None = None

    def open(self, offset: int) -> Part:
        """At `offset` only while the object has the ETag that it began with."""
        if offset and self._tag is None:
            offset = 0
        extra = {"Range": f"bytes={offset}-"} if offset else {}
        if self._tag is not None and (offset or self._listed):
            extra["IfMatch"] = self._tag
        try:
            answer = _asked(
                self._uri, lambda: self._client.get_object(Bucket=self._bucket, Key=self._key, **self._version, **extra)
            )
        except botocore.exceptions.ClientError as error:
            if self._listed and (_status(error) == 412 or _code(error) in MISSING):
                raise FolderChanged(f"{self._uri} was overwritten or deleted") from error
            if offset and _status(error) in (412, 416):  # it has been overwritten, perhaps by a smaller one
                return self.open(0)
            raise self._explained(error) from error
        if offset and not (
            is_rest(str(answer.get("ContentRange", "")), offset, self._whole) and self._is_same(answer.get("ETag"))
        ):
            answer["Body"].close()
            return self.open(0)
        if not offset:
            self._whole = int(answer["ContentLength"])
            self._tag = self._listed or answer.get("ETag")
        return Part(offset, offset + int(answer["ContentLength"]), self._chunks(answer["Body"]))

    def _is_same(self, tag: str | None) -> bool:
        """By a store that may not know the condition, or list tags without their quotes."""
        return tag is None or tag.strip('"') == (self._tag or "").strip('"')

    def below(self) -> Folder | None:
        """The folder of that name, as MLflow's addresses have no slash at their end."""
        if self._version:
            return None
        folder = S3Folder(self._uri, self._bucket, f"{self._key}/", self._client)
        return folder if folder.holds() else None

    def _chunks(self, body: Any) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(CHUNK)
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise TransientError(f"the transfer broke off: {error}") from error

    def _explained(self, error: botocore.exceptions.ClientError) -> ModelError | TransientError:
        code = _code(error)
        if code in MISSING:
            what = f"bucket {self._bucket}" if code == "NoSuchBucket" else f"key {self._key} in bucket {self._bucket}"
            return ArtifactNotFound(f"{self._uri} does not exist: there is no {what}; check spec.model.uri")
        if code == "NoSuchVersion":
            return ArtifactNotFound(f"{self._uri} does not exist: the key has no such version; check spec.model.uri")
        return _explained(error, self._uri)


class S3Folder:
    """All objects below a prefix that ends in `/`."""

    def __init__(self, uri: str, bucket: str, prefix: str, client: Any) -> None:
        self._uri, self._bucket, self._prefix, self._client = uri, bucket, prefix, client

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        page: dict[str, Any] = {"IsTruncated": True}
        while page.get("IsTruncated") and len(found) <= MAX_FILES:
            page = self._page(page.get("NextContinuationToken"))
            found += [
                Entry(str(each["Key"]).removeprefix(self._prefix), int(each["Size"]), str(each["ETag"]))
                for each in page.get("Contents", ())
                if not str(each["Key"]).endswith("/")  # consoles make such empty objects for folders
            ]
        return found

    def file(self, entry: Entry) -> Source:
        return S3Source(f"s3://{self._bucket}/{self._prefix}{entry.name}", (self._client, entry.tag))

    def holds(self) -> bool:
        """Whether anything is below the prefix, as far as these credentials can tell."""
        try:
            return bool(self._page(None, 1).get("Contents"))
        except AccessDenied:
            return False

    def _page(self, token: str | None, most: int = 1000) -> dict[str, Any]:
        extra = {} if token is None else {"ContinuationToken": token}
        try:
            answer: dict[str, Any] = _asked(
                self._uri,
                lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=most, **extra),
            )
        except botocore.exceptions.ClientError as error:
            if _code(error) in MISSING:
                raise ArtifactNotFound(
                    f"{self._uri} does not exist: there is no bucket {self._bucket}; check spec.model.uri"
                ) from error
            raise _explained(error, self._uri, "; a folder takes the right to list it (s3:ListBucket), too") from error
        return answer


def _asked(uri: str, ask: Callable[[], Any]) -> Any:
    """Raises ClientError, AccessDenied and TransientError."""
    try:
        return ask()
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        raise AccessDenied(
            f"{uri} needs credentials; name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
            "spec.model.credentialsSecret, or a ServiceAccount with access in spec.serviceAccountName"
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise TransientError(f"{uri} does not answer: {error}") from error


def _explained(error: botocore.exceptions.ClientError, uri: str, right: str = "") -> ModelError | TransientError:
    code, status = _code(error), _status(error)
    if code in DENIED:
        return AccessDenied(
            f"{uri} is refused ({code}); check the keys in spec.model.credentialsSecret, or the rights of "
            f"spec.serviceAccountName{right}"
        )
    if status >= 500 or status == 429 or code in BUSY:
        return TransientError(f"{uri}: the store answers {code}")
    return ArtifactUnreachable(f"{uri}: the store answers {code}: {error}; check spec.model.uri")


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
