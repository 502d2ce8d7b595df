"""The Secret that a pipeline's system is asked with: read anew for each question, so that a renewed one counts at once.

A policy that is being deleted may have lost its Secret, or the right to it, by then: the last login is used, for
nothing but to stop its runs.
"""

import base64
import binascii
from typing import Final

from modelward.api.driftpolicy import DriftPolicy
from modelward.api.triggers import SecretName
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import SECRETS
from modelward.retraining.triggers.outgoing import MISSING, Login, NotNowError

KEPT: Final = 1000
"""Logins of policies that are remembered."""

TOKEN, USER, PASSWORD = "token", "username", "password"


class Logins:
    """By the entries `token`, or `username` and `password`, of a Secret."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._last: dict[str, dict[str, str]] = {}

    async def entries(self, policy: DriftPolicy, secret: SecretName, field: str) -> dict[str, str]:
        """`field`: of spec, that names it. Raises NotNowError, ApiError, ApiUnreachableError."""
        try:
            found = await self._read(policy, secret.name, field)
        except NotNowError:
            known = self._last.get(policy.uid) if policy.deleting else None
            if known is None:
                raise
            return known
        self._last.pop(policy.uid, None)
        self._last[policy.uid] = found
        while len(self._last) > KEPT:
            del self._last[next(iter(self._last))]
        return found

    async def _read(self, policy: DriftPolicy, name: str, field: str) -> dict[str, str]:
        where = f"the Secret {name} ({field}.secretRef)"
        try:
            found = await self._api.get(SECRETS, policy.namespace, name)
        except ApiError as error:
            if error.status != 403:
                raise
            raise NotNowError(
                f"The operator may not read {where}; give it the right by a Role and a RoleBinding, as "
                "docs/drift-policies.md shows",
                MISSING, stuck=True,
            ) from error  # fmt: skip
        if found is None:
            raise NotNowError(f"There is no {where.removeprefix('the ')}; create it", MISSING, stuck=True)
        entries = {key: _text(value) for key, value in (found.get("data") or {}).items()}
        has = {key: value for key, value in entries.items() if value}
        if TOKEN not in has and not {USER, PASSWORD} <= has.keys():
            raise NotNowError(
                f"{where[0].upper()}{where[1:]} has neither an entry {TOKEN} nor {USER} and {PASSWORD}; write them "
                "there",
                MISSING, stuck=True,
            )  # fmt: skip
        return has


def bearer(entries: dict[str, str], secret: SecretName) -> Login:
    """By its token."""
    if TOKEN not in entries:
        raise NotNowError(f"The Secret {secret.name} has no entry {TOKEN}; write one there", MISSING, stuck=True)
    token = entries[TOKEN]
    return Login(f"Bearer {token}", f"the entry {TOKEN} of the Secret {secret.name}", (token,))


def basic(user: str, password: str, secret: SecretName) -> Login:
    """By name and password, or what a system takes for one."""
    packed = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Login(f"Basic {packed}", f"the Secret {secret.name}", (packed, password))


def _text(value: object) -> str:
    try:
        text = base64.b64decode(str(value), validate=True).decode().strip()
    except (binascii.Error, ValueError):
        return ""
    # A header takes one line, and nothing but ASCII.
    return text if text.isascii() and text.isprintable() else ""
