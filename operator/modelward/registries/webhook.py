"""Whether a webhook is from who knows the secret: MLflow's signature, which is that of Standard Webhooks but for the
names of its headers. Pure.

https://mlflow.org/docs/latest/ml/webhooks and https://www.standardwebhooks.com: HMAC-SHA256 of `id.timestamp.body`, in
Base64, behind `v1,`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

SIGNATURE, TIMESTAMP, DELIVERY = "X-MLflow-Signature", "X-MLflow-Timestamp", "X-MLflow-Delivery-Id"

LASTS: Final = 300.0
"""Seconds that a signature holds, and that clocks may differ: a repeat does no more than ask the registry once more."""

_PREFIX: Final = "v1,"
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
LONGEST: Final = 200
"""Characters of a header."""


def refusal(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Why it is not believed; None: it is. `headers`: by whatever case; `now`: seconds since the epoch."""
    given, at, delivery = (headers.get(name, "") for name in (SIGNATURE, TIMESTAMP, DELIVERY))
    if not given or not at or not delivery:
        return "it is not signed: give the webhook in MLflow a secret"
    if max(map(len, (given, at, delivery))) > LONGEST or not _SECONDS.fullmatch(at):
        return "its headers are not those of MLflow"
    if not secret:
        return "the Secret's entry is empty"
    signed = f"{delivery}.{at}.".encode() + body
    own = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    if not hmac.compare_digest((_PREFIX + own).encode(), given.encode("utf-8", "surrogateescape")):
        return "its signature is another secret's: MLflow's webhook and spec.mlflow.webhookSecret have to have the same"
    if abs(now - int(at)) > LASTS:
        return f"it is older or newer than {LASTS:g} s: set the clocks"
    return None
