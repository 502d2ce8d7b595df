"""Requests to the API server: plain dicts in and out, counted, and never a write without the lease.

Failure: ApiError with the server's own message for every answer that is not 2xx; ApiUnreachableError where there was
none.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException

from modelward import telemetry
from modelward.api.names import FIELD_MANAGER
from modelward.kube.resources import Resource

READ_TIMEOUT = 30.0
"""Seconds; a page of a large list takes its time."""

WRITE_TIMEOUT = 7.0
"""Seconds. Shorter than the margin of the lease, so that no write of an old leader arrives after the new one began."""

PAGE_SIZE = 500
"""Objects a page of a list, as client-go has it."""

_HTTP_OK = range(200, 300)
_FORBIDDEN = 403
_NOT_FOUND = 404


class ApiError(Exception):
    """The API server said no. `reason` is its machine-readable word, such as Invalid or Forbidden."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def is_refusal(self) -> bool:
        """Whether repeating the same request will be refused again, until somebody changes something."""
        return self.status in (400, 403, 404, 405, 413, 415, 422)


class ApiUnreachableError(Exception):
    """No answer: a broken connection or a time-out. The request may or may not have been carried out."""


class NotLeaderError(Exception):
    """A write was asked for without holding the lease."""


class NotOursError(Exception):
    """A write was asked for in a namespace that another installation has, or may have."""


async def connect() -> ApiClient:
    """A client with the credentials of the pod, or else of the kubeconfig (KUBECONFIG).

    Raises kubernetes.aio's ConfigException where there are neither.
    """
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException:
        # Named here, since the library looks at KUBECONFIG only once, when it is imported.
        await load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    return ApiClient(configuration=configuration)


class Api:
    """Verbs on resources. `may_write` is asked before each write: the fence of the lease; `owns`, too: whether the
    namespace is this installation's."""

    def __init__(
        self, client: ApiClient, may_write: Callable[[], bool], owns: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._client = client
        self._may_write = may_write
        self._owns = owns

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return await self.request("GET", resource, resource.path(namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server knows the kind."""
        try:
            answer = await self.request("GET", resource, f"/apis/{resource.api_version}", verb="discover")
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return any(each["name"] == resource.plural for each in answer["resources"])

    async def why_unreadable(self, resource: Resource, namespace: str | None) -> str | None:
        """What the API server says where this account may not list `resource` there (None: everywhere); else None."""
        try:
            await self.request("GET", resource, resource.path(namespace), query={"limit": "1"}, verb="list")
        except ApiError as error:
            if error.status == _FORBIDDEN:
                return error.message
            if error.status != _NOT_FOUND:
                raise
        return None

    async def pages(self, resource: Resource, namespace: str | None = None) -> AsyncIterator[list[dict[str, Any]]]:
        """Every object that the resource's selector takes, page by page. `namespace`: None: of all."""
        query = {"limit": str(PAGE_SIZE)} | ({"labelSelector": resource.selector} if resource.selector else {})
        while True:
            answer = await self.request("GET", resource, resource.path(namespace), query=query, verb="list")
            yield [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in answer["items"]]
            token = answer["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Server-side apply: creates the object or changes the fields that differ; repeating it is harmless.

        `dry_run`: only ask what would come of it; nothing is stored.
        """
        metadata = manifest["metadata"]
        self._check_fence(metadata["namespace"])
        return await self.request(
            "PATCH",
            resource,
            resource.path(metadata["namespace"], metadata["name"], subresource),
            query={"fieldManager": FIELD_MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {}),
            body=manifest,
            content_type="application/apply-patch+yaml",
            verb="apply",
        )

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """JSON merge patch of an object that exists."""
        self._check_fence(namespace)
        return await self.request(
            "PATCH",
            resource,
            resource.path(namespace, name),
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def create(
        self, resource: Resource, namespace: str, manifest: Mapping[str, Any], *, strict: bool = False
    ) -> dict[str, Any]:
        """`strict`: refuse fields that the kind does not have, instead of dropping them."""
        self._check_fence(namespace)
        query = {"fieldValidation": "Strict"} if strict else None
        return await self.request("POST", resource, resource.path(namespace), query=query, body=manifest)

    async def replace(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write over the object as it was read: ApiError with 409 where it has changed since."""
        metadata = body["metadata"]
        self._check_fence(metadata["namespace"])
        return await self.request("PUT", resource, resource.path(metadata["namespace"], metadata["name"]), body=body)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete the very object with this uid; its pods follow. Nothing happens where it is gone already."""
        self._check_fence(namespace)
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self.request("DELETE", resource, resource.path(namespace, name), body=options)
        except ApiError as error:
            if error.status not in (_NOT_FOUND, 409):
                raise

    def _check_fence(self, namespace: str) -> None:
        if not self._may_write():
            raise NotLeaderError("this operator does not hold the lease, so it must not write")
        if not self._owns(namespace):
            raise NotOursError(f"namespace {namespace} is not this installation's, so it must not write there")

    async def request(
        self,
        method: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        verb: str | None = None,
    ) -> dict[str, Any]:
        """One request, unfenced: for reads and for the lease itself."""
        verb = verb or method.lower()
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        suffix = f"?{urlencode(query)}" if query else ""
        try:
            prepared = await self._client.param_serialize(
                method, quote(path) + suffix, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            timeout = READ_TIMEOUT if method == "GET" else WRITE_TIMEOUT
            response = await self._client.call_api(*prepared, _request_timeout=timeout)
            raw = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            telemetry.API_REQUESTS.labels(verb, resource.plural, "unreachable").inc()
            raise ApiUnreachableError(f"no answer to {method} {path}: {type(error).__name__}: {error}") from error
        telemetry.API_REQUESTS.labels(verb, resource.plural, str(response.status)).inc()
        if response.status not in _HTTP_OK:
            raise _error(response.status, raw)
        answer: dict[str, Any] = json.loads(raw)
        return answer


def _error(status: int, raw: bytes) -> ApiError:
    try:
        answer = json.loads(raw)
        return ApiError(status, str(answer.get("reason") or "Unknown"), str(answer.get("message") or "no message"))
    except (ValueError, AttributeError):
        return ApiError(status, "Unknown", raw[:500].decode(errors="replace"))
