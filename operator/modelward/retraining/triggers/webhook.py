"""A run somewhere else: a signed POST starts it, and what that answered tells how it goes.

The same key is sent as Idempotency-Key however often a request is repeated. Only hosts that the operator's
administrator names are called: whoever may write a DriftPolicy must not make the operator send requests anywhere.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from modelward.api.driftpolicy import DriftPolicy, Webhook
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import SECRETS
from modelward.net.body import read_up_to
from modelward.net.guarded import AddressRefusedError, check_literal, may_call
from modelward.net.untrusted import bare, decoded, quoted
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.report import ReportError, parse_report
from modelward.retraining.lifecycle.run import BROKE, RUNNING, SUCCEEDED, UNTOLD, WAITS, WORKING, Outcome
from modelward.retraining.triggers.outgoing import MISSING, REFUSED
from modelward.retraining.triggers.trigger import Order

TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
MAX_ANSWER: Final = 64 * 1024
"""Bytes."""

TIMESTAMP, SIGNATURE, KEY = "Modelward-Timestamp", "Modelward-Signature", "Idempotency-Key"
REQUEST_SIGNATURE: Final = "Modelward-Request-Signature"
"""Of method and address, too: a question how a run goes, and the request to end it, have the same empty body."""

NO_ANSWER: Final = "WebhookSilent"
NOBODY_TELLS: Final = (
    "The webhook named no statusUrl, so nobody tells how the run goes: it is over when spec.model of the "
    "ModelDeployment is changed"
)

NO_WAY_TO_TELL: Final = "the webhook named no statusUrl, or its answer was lost"

LONGEST_ADDRESS: Final = 2048
"""Characters of a statusUrl, which the run's status keeps."""

KEYS_KEPT: Final = 1000
"""Keys of policies, and of runs, that are remembered."""

_GONE = frozenset({404, 410})
_LATER = frozenset({408, 425, 429})
_NO_LOGIN = frozenset({401, 403})


class _NotNow(Exception):  # noqa: N818
    """It could not be asked; maybe later. `reason`: in a CamelCase word; `stuck`: that does not pass by itself;
    `heard`: for all that is known, whoever was asked has heard of it."""

    def __init__(self, message: str, reason: str = NO_ANSWER, *, stuck: bool = False, heard: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.stuck = stuck
        self.heard = heard


class _Never(Exception):  # noqa: N818
    """Asking again will be refused again. `status`: with which that was answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class WebhookTrigger:
    """`session`: a guarded one, that keeps no cookies; `hosts`: names or patterns such as *.example.com; `now`: the
    wall clock."""

    def __init__(
        self, api: Api, session: aiohttp.ClientSession, hosts: tuple[str, ...], now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._session = session
        self._hosts = hosts
        self._now = now
        self._keys: dict[str, bytes] = {}
        """By the policy's uid, the key of its last request: a namespace may lose the Secret before the policy."""
        self._begun: dict[str, None] = {}
        """Keys of runs that have begun for all that is known, and of which nobody said where they go on."""

    async def start(self, order: Order) -> Outcome:
        if order.target is None:
            return Outcome(BROKE, "The ModelDeployment is gone")
        told = json.dumps(briefing(order.policy, order.target, order.run), sort_keys=True)
        try:
            answer = await self._send(order, "POST", _webhook(order.policy).url, told)
            handle = _address(order.policy, answer, "statusUrl")
            self._note(order, begun=handle is None)
            return Outcome(WORKING, "" if handle else NOBODY_TELLS, handle=handle)
        except _NotNow as error:
            if error.heard:
                self._note(order, begun=True)
            return Outcome(WAITS, str(error), delay=error.reason, stuck=error.stuck)
        except _Never as error:
            return Outcome(BROKE, str(error))

    async def poll(self, order: Order) -> Outcome:
        if order.run.handle is None:
            return Outcome(UNTOLD, NOBODY_TELLS)
        try:
            answer = await self._send(order, "GET", order.run.handle, "")
        except _NotNow as error:
            return Outcome(WORKING, str(error), delay=error.reason, stuck=error.stuck)
        except _Never as error:
            return Outcome(BROKE, str(error))
        message = quoted(answer.get("message") or "")
        match answer.get("state"):
            case "Succeeded":
                try:
                    return Outcome(SUCCEEDED, message, report=parse_report(answer.get("report")))
                except ReportError as error:
                    return Outcome(BROKE, f"{_told(order.run.handle)} says that the run ended well, but {error}")
            case "Failed":
                return Outcome(BROKE, message or f"{_told(order.run.handle)} says that the run failed")
        return Outcome(WORKING, message)

    async def cancel(self, order: Order) -> Outcome:
        """DELETE of the status URL."""
        if order.run.handle is None:
            # Before it was started there is nothing to be told of; afterwards nobody can be.
            begun = order.run.phase == RUNNING or order.run.key in self._begun
            return Outcome(BROKE, NO_WAY_TO_TELL) if begun else Outcome(SUCCEEDED)
        try:
            await self._send(order, "DELETE", order.run.handle, "")
        except _NotNow as error:
            return Outcome(WAITS, str(error))
        except _Never as error:
            return Outcome(SUCCEEDED) if error.status in _GONE else Outcome(BROKE, str(error))
        self._keys.pop(order.policy.uid, None)
        return Outcome(SUCCEEDED)

    def _note(self, order: Order, *, begun: bool) -> None:
        if begun:
            self._begun[order.run.key] = None
            _trim(self._begun)
        else:
            self._begun.pop(order.run.key, None)

    async def _send(self, order: Order, method: str, url: str, body: str) -> Mapping[str, Any]:
        """The answer. Raises _NotNow, _Never."""
        host, shown = urlsplit(url).hostname or "", _told(url)
        if not may_call(host, self._hosts):
            raise _Never(
                f"The operator may not call {host}; its administrator has to name it in MODELWARD_WEBHOOK_HOSTS"
            )
        headers = sign(await self._secret(order.policy), method, url, body, int(self._now().timestamp()))
        headers |= {KEY: order.run.key, "Content-Type": "application/json", "Accept": "application/json"}
        try:
            check_literal(host, self._hosts)
            async with self._session.request(
                method, url, data=body.encode(), headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                raw = await read_up_to(response.content, MAX_ANSWER)
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            refused = error if isinstance(error, AddressRefusedError) else getattr(error, "os_error", None)
            if isinstance(refused, AddressRefusedError):
                raise _Never(f"The operator does not call {shown}: {quoted(refused)}. Write another address") from error
            heard = not isinstance(error, aiohttp.ClientConnectorError)
            told = f"{shown} did not answer, trying again: {type(error).__name__}: {_told(error)}"
            raise _NotNow(told, heard=heard) from error
        if status >= 500 or status in _LATER:
            raise _NotNow(f"{shown} answered {status}, trying again: {_shown(raw)}", heard=status >= 500)
        if status in _NO_LOGIN:
            # A key is renewed in two places, one after the other: what goes on there is not given up in between.
            reference = _webhook(order.policy).secret_ref
            said = f" ({_shown(raw)})" if raw.strip() else ""
            raise _NotNow(
                f"{shown} answered {status}: it does not take the signature{said}. See that the entry {reference.key} "
                f"of the Secret {reference.name} is the key that it has, and that its clock is right",
                REFUSED, stuck=True,
            )  # fmt: skip
        if not 200 <= status < 300:
            raise _Never(f"{shown} answered {status}: {_shown(raw)}", status)
        try:
            answer = decoded(raw) if raw.strip() else {}
        except ValueError:
            answer = {}
        return answer if isinstance(answer, Mapping) else {}

    async def _secret(self, policy: DriftPolicy) -> bytes:
        """To sign with. A policy that is deleted may have lost its Secret, or the right to it, by then."""
        try:
            found = await self._read_secret(policy)
        except _NotNow:
            known = self._keys.get(policy.uid) if policy.deleting else None
            if known is None:
                raise
            return known
        self._keys.pop(policy.uid, None)
        self._keys[policy.uid] = found
        _trim(self._keys)
        return found

    async def _read_secret(self, policy: DriftPolicy) -> bytes:
        reference = _webhook(policy).secret_ref
        where = f"the Secret {reference.name} (spec.retrain.webhook.secretRef)"
        try:
            found = await self._api.get(SECRETS, policy.namespace, reference.name)
        except ApiError as error:
            if error.status != 403:
                raise
            raise _NotNow(
                f"The operator may not read {where}; give it the right by a Role and a RoleBinding, as "
                "docs/drift-policies.md shows",
                MISSING, stuck=True,
            ) from error  # fmt: skip
        value = ((found or {}).get("data") or {}).get(reference.key)
        if not value:
            raise _NotNow(f"There is no entry {reference.key} in {where}; create it", MISSING, stuck=True)
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise _Never(f"The entry {reference.key} of {where} is no base64") from error


def sign(secret: bytes, method: str, url: str, body: str, timestamp: int) -> dict[str, str]:
    """The headers that prove a request: HMAC-SHA256, hexadecimal, over `<timestamp>.<body>` and, in another one, over
    `<timestamp>.<method> <path and query>.<body>`."""

    def digest(*parts: str) -> str:
        return f"v1={hmac.new(secret, '.'.join(parts).encode(), hashlib.sha256).hexdigest()}"

    line = f"{method} {URL(url).raw_path_qs}"
    return {
        TIMESTAMP: str(timestamp),
        SIGNATURE: digest(str(timestamp), body),
        REQUEST_SIGNATURE: digest(str(timestamp), line, body),
    }


def _webhook(policy: DriftPolicy) -> Webhook:
    retrain = policy.spec.retrain
    if retrain is None or retrain.webhook is None:
        raise _Never("spec.retrain.webhook was taken away while the run was under way")
    return retrain.webhook


def _address(policy: DriftPolicy, answer: Mapping[str, Any], name: str) -> str | None:
    """An address that the answer names; it has to be of the webhook's own origin. Raises _Never."""
    given = answer.get(name)
    if not isinstance(given, str) or not given:
        return None
    url = _webhook(policy).url
    told = f"{_told(url)} answered with the {name} {_told(given)}"
    if len(given) > LONGEST_ADDRESS:
        raise _Never(f"{told}, which has more than {LONGEST_ADDRESS} characters; use a shorter one")
    try:
        address = urljoin(url, given)
        same, _ = urlsplit(address)[:2] == urlsplit(url)[:2], URL(address)
    except ValueError:
        raise _Never(f"{told}, which is no address; write one such as /runs/7") from None
    if not same:
        raise _Never(f"{told}, which is of another origin; use its own")
    return address


def _trim(kept: dict[str, Any]) -> None:
    """The oldest go."""
    while len(kept) > KEYS_KEPT:
        del kept[next(iter(kept))]


def _told(text: object) -> str:
    """What others wrote as it may be shown: no query of an address, where a token may stand, on one line."""
    return quoted(bare(str(text)[:LONGEST_ADDRESS]))


def _shown(raw: bytes) -> str:
    return _told(raw[:2000].decode(errors="replace"))
