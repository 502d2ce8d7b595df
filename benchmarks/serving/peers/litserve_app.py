"""LitServe: one API process and one worker process with the model.

Its batching is on: it doubles the throughput of single rows, and costs little where nobody else asks. Its `fast_queue`
brought nothing on one core.
"""

import os

import handler
import litserve
import numpy as np

MAX_BATCH = 16
"""Requests."""

BATCH_SECONDS = 0.002


class Api(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002
        self.model = handler.load()

    def decode_request(self, request):
        given = request["inputs"][0]
        return handler.rows_of(given["data"], given["shape"])

    def batch(self, inputs):
        return inputs

    def predict(self, x):
        return np.split(self.model(np.concatenate(x)), np.cumsum([len(rows) for rows in x])[:-1])

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return handler.answer(output)


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=BATCH_SECONDS, api_path="/v2/models/model/infer")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
