"""Temporary keys of a role, by AWS' token service (STS): with a Secret's keys, or as the operator's own identity.

The operator's identity is lent to no tenant but where the installation says so (MODELWARD_ROLES: this role, to this
namespace), and only at AWS' own addresses over public certificates: whoever could name the address, or vouch for it,
would be handed the operator's token. What is assumed may list and describe model packages (and update them, where
the registry has spec.writeBack) and nothing else, whatever the role may do (a session policy), and never leaves this
process. API: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and
API_AssumeRoleWithWebIdentity.html. Failure: RegistryError.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from yarl import URL

from modelward.api.modelregistry import ModelRegistry
from modelward.net.untrusted import quoted
from modelward.registries.client import Answer, Client, checked, host_of, refused
from modelward.registries.registry import RegistryError
from modelward.registries.sigv4 import Keys, sign

LASTS: Final = 3600
"""Seconds: the most that a role may be assumed for by one that was assumed itself."""

MARGIN: Final = 300.0
"""Seconds before its end from which a key is replaced."""

MAX_ANSWER: Final = 64 << 10
MAX_TOKEN: Final = 20_000
"""Bytes of a web identity, as STS has it."""

READS: Final = tuple(
    f"sagemaker:{each}"
    for each in ("ListModelPackageGroups", "ListModelPackages", "DescribeModelPackage", "DescribeModelPackageGroup")
)

WRITES: Final = ("sagemaker:UpdateModelPackage",)
"""Besides, where something is to be written back."""

_TYPE: Final = "application/x-www-form-urlencoded; charset=utf-8"
_VERSION: Final = "2011-06-15"
_ANSWER: Final = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_TOO_MANY: Final = ("Throttling", "ThrottlingException", "RequestLimitExceeded")
_UNKNOWN_KEY: Final = ("InvalidClientTokenId", "SignatureDoesNotMatch", "IncompleteSignature", "ExpiredToken")
_BAD_TOKEN: Final = ("InvalidIdentityToken", "ExpiredTokenException", "IDPRejectedClaim", "IDPCommunicationError")


@dataclass(frozen=True)
class Allowed:
    """A role that the operator lends its identity for. `namespace`: '*' for every one; `role`: an ARN, or a pattern."""

    namespace: str
    role: str


@dataclass(frozen=True)
class Identity:
    """The operator's own, as its pod has it. `token`: a file; `role`: what the token is for (IRSA), None: any role that
    trusts it."""

    token: Path
    role: str | None = None


@dataclass(frozen=True)
class Lending:
    """What the installation decides. `sts_url`: where the operator's own identity is shown, None: AWS' own."""

    allowed: tuple[Allowed, ...] = ()
    identity: Identity | None = None
    sts_url: str | None = None

    def allows(self, namespace: str, role: str) -> bool:
        return any(each.namespace in ("*", namespace) and fnmatchcase(role, each.role) for each in self.allowed)


NOBODY: Final = Lending()


@dataclass(frozen=True)
class _Kept:
    about: tuple[str | None, ...]
    keys: Keys
    until: float


class Roles:
    """`now`: seconds since the epoch; `hosts`: see Client."""

    def __init__(self, lending: Lending, now: Callable[[], float]) -> None:
        self._lending = lending
        self._now = now
        self._kept: dict[str, _Kept] = {}

    async def keys(self, registry: ModelRegistry, base: Keys | None, client: Client, own: Client) -> Keys:
        """Of the role that the registry names. `base`: the Secret's keys, None: there is no Secret, and the operator's
        identity is asked for; `client`: as the registry is asked; `own`: without what its author wrote.

        Raises RegistryError.
        """
        spec = registry.spec.sage_maker
        assert spec is not None
        assert spec.role_arn is not None
        policy = _working(registry)
        about: tuple[str | None, ...] = (spec.role_arn, spec.region, spec.sts_endpoint_url, policy)
        if base is not None:
            about = (*about, base.identifier, hashlib.sha256(base.secret.encode()).hexdigest())
        else:
            self._check(registry, spec.role_arn)  # also while keys are kept: what is no longer allowed ends now
        known = self._kept.get(registry.uid)
        if known is not None and known.about == about and self._now() < known.until:
            return known.keys
        session = _session(registry)
        if base is not None:
            sts = _Sts(client, spec.sts_endpoint_url or _address(spec.region), spec.region, self._now)
            login = "the keys in the Secret that spec.credentialsSecret names"
            keys, until = await sts.assume(base, spec.role_arn, session, policy, login)
        else:
            sts = _Sts(own, self._lending.sts_url or _address(spec.region), spec.region, self._now)
            keys, until = await self._lent(sts, registry, spec.role_arn, session, policy)
        self._kept = {uid: kept for uid, kept in self._kept.items() if self._now() < kept.until}
        self._kept[registry.uid] = _Kept(about, keys, until - MARGIN)
        return keys

    def forget(self, uid: str) -> None:
        """They did not help, or the registry is gone."""
        self._kept.pop(uid, None)

    def _check(self, registry: ModelRegistry, role: str) -> None:
        spec = registry.spec.sage_maker
        if not self._lending.allows(registry.namespace, role):
            raise RegistryError(
                "RoleNotAllowed",
                f"The operator does not lend its own identity for {role} to namespace {registry.namespace}. Have its "
                f"administrator name {registry.namespace}={role} in MODELWARD_ROLES, or name a Secret with keys that "
                "may assume the role in spec.credentialsSecret",
            )
        if self._lending.identity is None:
            raise RegistryError(
                "RoleNotAllowed",
                "The operator has no identity of its own (AWS_WEB_IDENTITY_TOKEN_FILE). Have its administrator give "
                "its ServiceAccount one, or name a Secret with keys in spec.credentialsSecret",
            )
        if spec is None or spec.endpoint_url or spec.sts_endpoint_url or registry.spec.ca_bundle:
            # The CRD says so, too. Whoever names the address would be sent what the operator proves itself by.
            raise RegistryError(
                "RoleNotAllowed",
                "The operator uses its own identity at AWS' own addresses alone. Take endpointUrl, stsEndpointUrl and "
                "caBundle away, or name a Secret with keys in spec.credentialsSecret",
            )

    async def _lent(
        self, sts: "_Sts", registry: ModelRegistry, role: str, session: str, policy: str
    ) -> tuple[Keys, float]:
        identity = self._lending.identity
        assert identity is not None
        token = await asyncio.to_thread(_read_token, identity.token)
        if identity.role in (None, role):
            return await sts.assume_by_token(token, role, session, policy)
        assert identity.role is not None
        first, _ = await sts.assume_by_token(token, identity.role, session, _assuming(role))
        # Roles that trust the operator can tell by this for whom it asks.
        external = f"{registry.namespace}/{registry.name}"
        return await sts.assume(first, role, session, policy, "the operator's own role", external)


class _Sts:
    def __init__(self, client: Client, url: str, region: str, now: Callable[[], float]) -> None:
        self._client = client
        self._url = URL(checked(url).rstrip("/")) / ""
        self._host = host_of(url)
        self._region = region
        self._now = now

    async def assume(
        self, keys: Keys, role: str, session: str, policy: str, login: str, external: str | None = None
    ) -> tuple[Keys, float]:
        """Keys, and until when they hold (seconds since the epoch)."""
        asked = {"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": session, "Policy": policy}
        if external is not None:
            asked["ExternalId"] = external
        body = _form(asked)
        headers = {"Content-Type": _TYPE}
        signed = sign(keys, self._url, headers, body, self._region, "sts", self._now())
        return await self._sent(signed, body, role, login)

    async def assume_by_token(self, token: str, role: str, session: str, policy: str) -> tuple[Keys, float]:
        """Unsigned: the token is the proof."""
        asked = {
            "Action": "AssumeRoleWithWebIdentity", "RoleArn": role, "RoleSessionName": session, "Policy": policy,
            "WebIdentityToken": token,
        }  # fmt: skip
        return await self._sent({"Content-Type": _TYPE}, _form(asked), role, "the operator's own identity")

    async def _sent(self, headers: dict[str, str], body: bytes, role: str, login: str) -> tuple[Keys, float]:
        answer = await self._client.send("POST", self._url, headers, body, MAX_ANSWER, is_json=False)
        if answer.status != 200:
            raise self._refusal(answer, role, login)
        # By its elements, and not as the XML that it is: what is wanted has no character that XML would write in
        # another way.
        found = [_element(answer.body, name) for name in _ANSWER]
        try:
            identifier, secret, token, ends = (each or "" for each in found)
            until = datetime.fromisoformat(ends).timestamp()
        except ValueError:
            until = 0.0
        if not all(found) or until <= self._now():
            raise RegistryError(
                "BadAnswer", f"What is at {self._host} does not answer as AWS' token service does. Correct the address"
            )
        return Keys(identifier, secret, token), until

    def _refusal(self, answer: Answer, role: str, login: str) -> RegistryError:
        code = _element(answer.body, "Code") or ""
        said = quoted(_element(answer.body, "Message") or "").rstrip(".")
        told = f": {said}" if said else ""
        if code in _TOO_MANY:
            return refused(Answer(429, b"", None, answer.retry_after), self._host, said, login)
        if code in _UNKNOWN_KEY:
            return refused(Answer(401, b""), self._host, said, login)
        if code in _BAD_TOKEN:
            return RegistryError(
                "IdentityRefused",
                f"{self._host} does not take the operator's token{told}. Its administrator has to make the cluster's "
                "issuer an identity provider of the account, for the audience of the token",
                answered=True,
            )
        if code == "AccessDenied":
            return RegistryError(
                "RoleDenied",
                f"{role} can't be assumed with {login}{told}. Let the role's trust policy name who assumes it, and let "
                "that one do sts:AssumeRole on it",
                answered=True,
            )
        if code in ("ValidationError", "MalformedPolicyDocument", "RegionDisabledException"):
            return RegistryError("RoleDenied", f"{role} can't be assumed{told}. Correct it", answered=True)
        return refused(answer, self._host, said, login)


def _form(asked: dict[str, str]) -> bytes:
    return urlencode({**asked, "Version": _VERSION, "DurationSeconds": str(LASTS)}).encode()


def _element(body: bytes, name: str) -> str | None:
    """The text of the first element of that name; None where it is not there, or longer than any of ours is."""
    found = re.search(rf"<{name}>\s*([^<>]{{1,8192}}?)\s*</{name}>".encode(), body)
    return None if found is None else found[1].decode(errors="replace")


def _address(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sts.{region}.{suffix}"


def _session(registry: ModelRegistry) -> str:
    """As CloudTrail shows it: for whom; at most 64 characters of those that it may have."""
    name = f"modelward-{registry.namespace}-{registry.name}"
    if len(name) <= 64:
        return name
    return f"{name[:55]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _policy(actions: Sequence[str], resource: str) -> str:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _working(registry: ModelRegistry) -> str:
    return _policy(READS if registry.spec.write_back is None else (*READS, *WRITES), "*")


def _assuming(role: str) -> str:
    return _policy(("sts:AssumeRole",), role)


def _read_token(path: Path) -> str:
    """It is replaced while the operator runs, so it is read anew. Raises RegistryError."""
    try:
        with path.open("rb") as handle:
            token = handle.read(MAX_TOKEN + 1).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise RegistryError(
            "RoleNotAllowed",
            f"The operator's own identity can't be read ({type(error).__name__}). See its ServiceAccount",
        ) from None
    if not token or len(token) > MAX_TOKEN:
        raise RegistryError("RoleNotAllowed", "The operator's own identity is no token. See its ServiceAccount")
    return token
