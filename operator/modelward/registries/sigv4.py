"""AWS Signature Version 4 of one POST with a JSON body. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; a test holds it against
botocore's signer, which the operator does not carry: 20 MB for these lines.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from yarl import URL


@dataclass(frozen=True)
class Keys:
    """An access key. `token`: of temporary ones."""

    identifier: str
    secret: str
    token: str | None = None


def sign(
    keys: Keys, url: URL, headers: Mapping[str, str], body: bytes, region: str, service: str, now: float
) -> dict[str, str]:
    """`headers` with those that prove the request. `url`: without a query; `now`: seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    # aiohttp sends the same: the port is named where it is not the scheme's own.
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"host": url.host_port_subcomponent or "", "x-amz-date": moment}
    if keys.token is not None:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"POST\n{url.raw_path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    told = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, told.encode(), hashlib.sha256).hexdigest()
    proof = f"AWS4-HMAC-SHA256 Credential={keys.identifier}/{scope}, SignedHeaders={names}, Signature={signature}"
    added = {name: value for name, value in signed.items() if name.startswith("x-amz-")}
    return {**{name.lower(): value for name, value in headers.items()}, **added, "authorization": proof}
