"""Reads what a registry is asked with: its Secret and its certificates, by name, kept for half a minute.

Failure: RegistryError, also where the operator itself may not read them; API failures that pass are raised as they are.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.modelregistry import ModelRegistry
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import CONFIG_MAPS, SECRETS, Resource
from modelward.registries.registry import Login, RegistryError

KEPT: Final = 30.0
"""Seconds: many models of one registry are not as many reads."""

CA_KEY: Final = "ca.crt"

MOST: Final = 1 << 20
"""Bytes of a Secret or ConfigMap, as the API server has it."""


@dataclass(frozen=True)
class _Kept:
    names: tuple[str | None, str | None]
    login: Login
    until: float


class Logins:
    """`clock`: monotonic seconds."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def of(self, registry: ModelRegistry) -> Login:
        """Raises RegistryError, ApiError (what passes), ApiUnreachableError."""
        secret, bundle = registry.spec.credentials_secret, registry.spec.ca_bundle
        names = (secret.name if secret else None, bundle.name if bundle else None)
        known = self._kept.get(registry.uid)
        if known is not None and known.names == names and known.until > self._clock():
            return known.login
        login = Login(
            {} if secret is None else await self._secret(registry.namespace, secret.name),
            None if bundle is None else await self._certificates(registry.namespace, bundle.name),
        )
        self._kept[registry.uid] = _Kept(names, login, self._clock() + KEPT)
        return login

    def forget(self, uid: str) -> None:
        """It did not help, or its registry is gone."""
        self._kept.pop(uid, None)

    async def entry(self, namespace: str, name: str, key: str, field: str) -> str:
        """One entry of a Secret, not kept. `field`: of spec, that names it. Raises as `of` does."""
        found = _text((await self._read(SECRETS, namespace, name, field)).get(key))
        if not found:
            raise RegistryError("CredentialsMissing", f"Secret {name} ({field}) has no entry {key}; write one there")
        return found.strip()

    async def _secret(self, namespace: str, name: str) -> dict[str, str]:
        found = await self._read(SECRETS, namespace, name, "spec.credentialsSecret")
        return {key: text for key, value in found.items() if (text := _text(value)) is not None}

    async def _certificates(self, namespace: str, name: str) -> str:
        found = await self._read(CONFIG_MAPS, namespace, name, "spec.caBundle")
        if not isinstance(found.get(CA_KEY), str):
            raise RegistryError(
                "BadCertificates",
                f"ConfigMap {name} (spec.caBundle) has no entry {CA_KEY}; write certificates in PEM there",
            )
        return str(found[CA_KEY])

    async def _read(self, resource: Resource, namespace: str, name: str, field: str) -> dict[str, Any]:
        try:
            body = await self._api.get(resource, namespace, name)
        except ApiError as error:
            if error.status != 403:
                raise
            raise RegistryError(
                "CredentialsForbidden",
                f"The operator may not read {resource.kind} {name} ({field}); give its account `get` on it",
            ) from None
        if body is None:
            raise RegistryError(
                "CredentialsMissing", f"There is no {resource.kind} {name} in this namespace ({field}); create it"
            )
        return body.get("data") or {}


def _text(value: object) -> str | None:
    """An entry of a Secret; None where it is no text, which no login is."""
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except ValueError:
        return None
