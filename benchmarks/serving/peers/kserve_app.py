"""KServe's SDK: the predict function is that of its own scikit-learn server."""

import logging
import os
from typing import Any

import grpc.aio
import handler
import kserve
import uvicorn
from kserve.utils.utils import get_predict_input, get_predict_response


class Model(kserve.Model):
    def __init__(self) -> None:
        super().__init__("model")
        self.model = handler.load()
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
        return get_predict_response(payload, self.model(get_predict_input(payload)), self.name)


def on_loopback_only() -> None:
    """KServe has no setting for the address that it listens on."""
    configure, add_port = uvicorn.Config.__init__, grpc.aio.Server.add_insecure_port
    uvicorn.Config.__init__ = lambda self, app, **rest: configure(self, app, **{**rest, "host": "127.0.0.1"})
    grpc.aio.Server.add_insecure_port = lambda self, address: add_port(self, address.replace("[::]", "127.0.0.1"))


if __name__ == "__main__":
    on_loopback_only()
    server = kserve.ModelServer(
        http_port=int(os.environ["PORT"]),
        grpc_port=int(os.environ["GRPC_PORT"]),
        workers=1,
        enable_latency_logging=False,
        event_loop="uvloop",
    )
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Model()])
