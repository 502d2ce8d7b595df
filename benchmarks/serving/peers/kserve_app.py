"""KServe's SDK: the predict function is that of its own scikit-learn server, but for the output's name."""

import logging
import os
from typing import Any

import grpc.aio
import handler
import kserve
import uvicorn
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import get_predict_input


class Model(kserve.Model):
    def __init__(self) -> None:
        super().__init__("model")
        self.model = handler.load()
        self.ready = True

    def predict(
        self,
        payload: kserve.InferRequest,
        headers: Any = None,  # noqa: ARG002
        response_headers: Any = None,  # noqa: ARG002
    ) -> kserve.InferResponse:
        result = self.model(get_predict_input(payload))
        output = kserve.InferOutput(handler.OUTPUT, list(result.shape), from_np_dtype(result.dtype))
        output.set_data_from_numpy(result, binary_data=payload.use_binary_outputs)
        return kserve.InferResponse(
            payload.id or "", self.name, [output], use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )  # fmt: skip


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
