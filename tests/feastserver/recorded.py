"""A feature server that answers as Feast 0.67.0's was recorded to: what a test holds in it, and what it is told to do.

tests/integration/test_feast.py asks a real one the same questions.
"""

import json
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from threaded import Answers

VIEW, SERVICE, KEY = "driver_stats", "drivers_v1", "driver_id"
NAMES = ("trips", "rating", "city")

ANSWER: dict[str, Any] = {
    "results": [
        {
            "values": [1, 2, 3, 99],
            "statuses": ["PRESENT", "PRESENT", "PRESENT", "PRESENT"],
            "event_timestamps": ["1970-01-01T00:00:00Z"] * 4,
        },
        {
            "values": ["a", "b", None, None],
            "statuses": ["PRESENT", "PRESENT", "PRESENT", "NOT_FOUND"],
            "event_timestamps": [
                "2026-11-30T12:27:00Z", "2026-11-30T11:27:00Z", "2026-11-27T13:27:00Z", "1970-01-01T00:00:00Z",
            ],
        },
        {
            "values": [5, 7, 9, None],
            "statuses": ["PRESENT", "PRESENT", "PRESENT", "NOT_FOUND"],
            "event_timestamps": [
                "2026-11-30T12:27:00Z", "2026-11-30T11:27:00Z", "2026-11-27T13:27:00Z", "1970-01-01T00:00:00Z",
            ],
        },
        {
            "values": [4.5, None, 3.25, None],
            "statuses": ["PRESENT", "PRESENT", "PRESENT", "NOT_FOUND"],
            "event_timestamps": [
                "2026-11-30T12:27:00Z", "2026-11-30T11:27:00Z", "2026-11-27T13:27:00Z", "1970-01-01T00:00:00Z",
            ],
        },
    ],
    "metadata": {
        "feature_names": ["driver_id", "driver_stats__city", "driver_stats__trips", "driver_stats__rating"],
        "feature_view_metadata": [{"name": "driver_stats"}],
    },
}  # fmt: skip
"""Of the drivers 1, 2, 3 and 99, of whom the last is unknown, at 2026-11-30T13:27:00Z."""

UNKNOWN_SERVICE = json.dumps(
    '{"module": "feast.errors", "class": "FeatureServiceNotFoundException", '
    '"message": "Feature service nope does not exist in project drivers"}'
)
"""With the status 404."""

Rows = dict[Any, dict[str, Any]]
DRIVERS: Rows = {
    1: {"trips": 5, "rating": 4.5, "city": "a"}, 2: {"trips": 7, "rating": None, "city": "b"},
    3: {"trips": 9, "rating": 3.25, "city": None},
}  # fmt: skip

Handler = BaseHTTPRequestHandler


class Recorded:
    """`with Recorded() as store:` answers at `store.url`. `rows`: the features of each driver, `ages`: seconds, of each
    (0); `instead`: answers everything in the place of what is held; `asked`: bodies, `headers`: of the last question;
    `connections`: so far. `tls`: it speaks https with that."""

    def __init__(self, rows: Rows | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.rows = DRIVERS if rows is None else rows
        self.ages: dict[Any, float] = {}
        self.instead: Callable[[Handler], None] | None = None
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.connections = 0
        self._server = Answers(self._handler(), tls)
        self.url = f"http{'s' if tls is not None else ''}://{self._server.address}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def answer(self, keys: list[Any]) -> dict[str, Any]:
        """Of these drivers."""
        none = "1970-01-01T00:00:00Z"
        times = [self._time(key) if key in self.rows else none for key in keys]
        results = [{"values": keys, "statuses": ["PRESENT"] * len(keys), "event_timestamps": [none] * len(keys)}]
        for name in NAMES:
            values = [self.rows.get(key, {}).get(name) for key in keys]
            statuses = ["PRESENT" if key in self.rows else "NOT_FOUND" for key in keys]
            results.append({"values": values, "statuses": statuses, "event_timestamps": times})
        names = [KEY, *(f"{VIEW}__{name}" for name in NAMES)]
        return {"results": results, "metadata": {"feature_names": names, "feature_view_metadata": [{"name": VIEW}]}}

    def _time(self, key: Any) -> str:
        when = datetime.fromtimestamp(time.time() - self.ages.get(key, 0.0), UTC)
        return when.isoformat().replace("+00:00", "Z")

    def _handler(self) -> type[Handler]:
        store = self

        class One(Handler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                store.connections += 1

            def do_POST(self) -> None:  # noqa: N802  the interface is http.server's
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                store.asked.append(body)
                store.headers = dict(self.headers)
                if store.instead is not None:
                    store.instead(self)
                elif self.path != "/get-online-features":
                    send(self, 404, '{"detail":"Not Found"}')
                elif body["feature_service"] != SERVICE:
                    send(self, 404, UNKNOWN_SERVICE)
                else:
                    send(self, 200, json.dumps(store.answer(body["entities"][KEY])))

            def log_message(self, *_: object) -> None:
                pass

        return One


def send(handler: Handler, status: int, body: str, **headers: str) -> None:
    """An answer of JSON."""
    handler.send_response(status)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(body.encode())),
        **headers,
    }.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body.encode())
