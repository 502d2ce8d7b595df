"""An ASGI application that lets only the operator through to another one, and signs what that answers.

Paths that are open are answered without a signature as well; whoever sends one anyway must be right, and gets a signed
answer. Failure: 401 with `{"error": …}`, before anything of the body is read.
"""

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from modelward_auth import messages
from modelward_auth.verifier import Accepted, RefusedError, Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

_HEADER, _PROOF = messages.HEADER.encode(), messages.PROOF.encode()


class Guard:
    """`verifier`: None to let everybody through; `private`: whether a path is the operator's; `max_body`: bytes."""

    def __init__(
        self, application: Application, verifier: Verifier | None, private: Callable[[str], bool], max_body: int
    ) -> None:
        self._application = application
        self._verifier = verifier
        self._private = private
        self._max_body = max_body

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope.get("headers", ()) if name == _HEADER]
        asks = scope["type"] == "http" and (given or self._private(scope["path"]))
        if self._verifier is None or not asks:
            await self._application(scope, receive, send)
            return
        try:
            accepted = self._verifier.check(_one(given), scope["method"], _target(scope))
            body = await self._body(receive, accepted)
        except RefusedError as error:
            await _refuse(send, error)
            return
        await self._application(scope, _again(body, receive), _Signed(send, accepted))

    async def _body(self, receive: Receive, accepted: Accepted) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError("the client left")
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > self._max_body:
                raise RefusedError(f"the body has more than {self._max_body} bytes")
        body = b"".join(parts)
        if not messages.equal(messages.digest(body), accepted.digest):
            raise RefusedError("the body is not the one that was signed")
        return body


class _Signed:
    """Keeps an answer until it is whole, since its signature goes before it."""

    def __init__(self, send: Send, accepted: Accepted) -> None:
        self._send, self._accepted = send, accepted
        self._start: Message = {}
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = b"".join(self._parts)
        proof = messages.proof(self._accepted.session, self._accepted.mac, self._start["status"], body)
        headers = [*self._start.get("headers", ()), (_PROOF, proof.encode())]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def closed_but(opened: Collection[str]) -> Callable[[str], bool]:
    """Every path but these is the operator's."""
    return lambda path: path not in opened


def _one(given: list[bytes]) -> str | None:
    if len(given) > 1:
        raise RefusedError(f"there is more than one {messages.HEADER}")
    return given[0].decode("latin-1") if given else None


def _target(scope: Message) -> str:
    query: bytes = scope.get("query_string", b"")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return (path + b"?" + query if query else path).decode("latin-1")


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read already; what comes behind it is the connection's end."""
    told = False

    async def next_message() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _refuse(send: Send, error: RefusedError) -> None:
    body = json.dumps({"error": str(error), **({"early": True} if error.early else {})}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
        (b"www-authenticate", b"Modelward"), (b"connection", b"close"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
