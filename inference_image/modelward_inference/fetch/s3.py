"""s3://bucket/key, of AWS or of any store that speaks its API (AWS_ENDPOINT_URL)."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import botocore.httpsession
from botocore.config import Config

from modelward_inference.errors import (
    AccessDenied,
    ArtifactNotFound,
    ArtifactUnreachable,
    InvalidConfiguration,
    ModelError,
)
from modelward_inference.fetch import network
from modelward_inference.fetch.source import CHUNK, Part, TransientError

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_DENIED = {
    "401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "Forbidden",
}  # fmt: skip


def address_of(uri: str) -> tuple[str, str]:
    """Bucket and key; a key may hold any character, `?` and `#` among them. Raises InvalidConfiguration."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not bucket or not key or key.endswith("/"):
        what = "names no bucket" if not bucket else "names a bucket and no key" if not key else "names a folder"
        example = f"s3://{bucket or 'models'}/{key}model.joblib"
        raise InvalidConfiguration(f"{uri} {what}; name one file in spec.model.uri, for example {example}")
    return bucket, key


class S3Source:
    """One object. Credentials come from boto3's chain: the Secret's variables, or a web identity.

    The node's role is asked for only with AWS_EC2_METADATA_DISABLED=false: it belongs to the node's owner, not to
    whoever may name an address.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, self._key = address_of(uri)
        # Stores with an address of their own seldom have a DNS name for each bucket.
        style = "path" if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3") else "auto"
        config = Config(
            connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, s3={"addressing_style": style}
        )
        os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        verify = network.bundle(Path(botocore.httpsession.get_cert_path(True)), Path(tempfile.gettempdir()))
        own = {"verify": verify} if network.private_authorities() else {}
        self._client: Any = boto3.Session().client("s3", config=config, **own)
        self._tag: str | None = None

    def open(self, offset: int) -> Part:
        """At `offset` only while the object has the ETag that it began with."""
        if offset and self._tag is None:
            offset = 0
        extra = {"Range": f"bytes={offset}-", "IfMatch": self._tag} if offset else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key, **extra)
        except botocore.exceptions.ClientError as error:
            if offset and _status(error) in (412, 416):  # it has been overwritten, perhaps by a smaller one
                return self.open(0)
            raise self._explained(error) from error
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
            raise AccessDenied(
                f"{self._uri} needs credentials; name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "spec.model.credentialsSecret, or a ServiceAccount with access in spec.serviceAccountName"
            ) from error
        except botocore.exceptions.BotoCoreError as error:
            raise TransientError(f"{self._uri} does not answer: {error}") from error
        if offset and not str(answer.get("ContentRange", "")).startswith(f"bytes {offset}-"):
            answer["Body"].close()
            return self.open(0)
        if not offset:
            self._tag = answer.get("ETag")
        return Part(offset, offset + int(answer["ContentLength"]), self._chunks(answer["Body"]))

    def _chunks(self, body: Any) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(CHUNK)
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise TransientError(f"the transfer broke off: {error}") from error

    def _explained(self, error: botocore.exceptions.ClientError) -> ModelError | TransientError:
        answer = error.response
        code = str(answer.get("Error", {}).get("Code"))
        status = _status(error)
        if code in _MISSING:
            what = f"bucket {self._bucket}" if code == "NoSuchBucket" else f"key {self._key} in bucket {self._bucket}"
            return ArtifactNotFound(f"{self._uri} does not exist: there is no {what}; check spec.model.uri")
        if code in _DENIED:
            return AccessDenied(
                f"{self._uri} is refused ({code}); check the keys in spec.model.credentialsSecret, or the rights of "
                "spec.serviceAccountName"
            )
        if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout", "Throttling"):
            return TransientError(f"{self._uri}: the store answers {code}")
        return ArtifactUnreachable(f"{self._uri}: the store answers {code}: {error}; check spec.model.uri")


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
