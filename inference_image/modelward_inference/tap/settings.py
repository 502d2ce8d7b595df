"""What the environment tells the tap."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from modelward_inference.errors import InvalidConfiguration
from modelward_telemetry import logs

MAX_PORT: Final = 65_535
MAX_SOCKET: Final = 107
"""Bytes of a Unix socket's path: the kernel's limit."""

CAPTURE_BUFFER: Final = 16 << 20
"""Bytes of rows that the monitor has not acknowledged."""

BODY: Final = 1 << 20
"""Bytes of one body that is captured: while a megabyte of JSON is read, connections get their turns more slowly."""

BODIES: Final = 32 << 20
"""Bytes of all that wait to be read."""


@dataclass(frozen=True)
class Settings:
    """`port`: clients'; `server`: where the server behind the tap listens, of this host; `grpc`, `grpc_server`: the
    same of gRPC, the first 0: it does not go through the tap; `own`: the tap's own port, for metrics; `body`, `bodies`,
    `buffer`: bytes; `sampling`: share of requests; `socket`: of the monitor, None: there is none; `drain`: seconds for
    what is under way at the end."""

    model: str
    revision: str
    port: int = 8080
    server: int = 8090
    own: int = 8082
    grpc: int = 0
    grpc_server: int = 8091
    host: str = "0.0.0.0"  # noqa: S104  a pod's own network
    server_host: str = "127.0.0.1"
    socket: Path | None = None
    sampling: float = 1.0
    buffer: int = CAPTURE_BUFFER
    body: int = BODY
    bodies: int = BODIES
    drain: float = 5.0
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises InvalidConfiguration."""

        def number(name: str, default: int, least: int, most: int) -> int:
            text = environment.get(name, str(default))
            if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
                raise InvalidConfiguration(f"{name} is {text[:50]!r}; set it to a whole number, {least} to {most}")
            return int(text)

        model = environment.get("MODEL_NAME", "")
        if not model:
            raise InvalidConfiguration("MODEL_NAME is not set; set it to the name by which clients ask the model")
        socket = environment.get("CAPTURE_SOCKET", "")
        if len(os.fsencode(socket)) > MAX_SOCKET or "\0" in socket or (socket and not socket.startswith("/")):
            raise InvalidConfiguration(
                f"CAPTURE_SOCKET is {socket[:200]!r}; set it to the absolute path of a socket, {MAX_SOCKET} bytes at "
                "most"
            )
        share = environment.get("CAPTURE_SAMPLING", "1")
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", share) or not 0 < float(share) <= 1:
            raise InvalidConfiguration(
                f"CAPTURE_SAMPLING is {share[:50]!r}; set it to a fraction above 0, at most 1, such as 0.1"
            )
        level = environment.get("LOG_LEVEL", "INFO").upper()
        if level not in logs.LEVELS:
            raise InvalidConfiguration(f"LOG_LEVEL is {level[:50]!r}; set it to one of {', '.join(logs.LEVELS)}")
        body = number("TAP_BODY_BYTES", BODY, 1024, 1 << 30)
        return cls(
            model=model,
            revision=environment.get("MODEL_REVISION", ""),
            port=number("PORT", cls.port, 1, MAX_PORT),
            server=number("TAP_SERVER_PORT", cls.server, 1, MAX_PORT),
            own=number("TAP_PORT", cls.own, 1, MAX_PORT),
            grpc=number("GRPC_PORT", cls.grpc, 0, MAX_PORT),
            grpc_server=number("TAP_GRPC_SERVER_PORT", cls.grpc_server, 1, MAX_PORT),
            host=environment.get("HOST", cls.host),
            socket=Path(socket) if socket else None,
            sampling=float(share),
            buffer=number("CAPTURE_BUFFER_BYTES", CAPTURE_BUFFER, 64 << 10, 1 << 30),
            body=body,
            bodies=max(number("TAP_BUFFERED_BYTES", BODIES, 1024, 4 << 30), 2 * body),
            drain=number("DRAIN_SECONDS", 5, 0, 3600),
            log_level=level,
        )
