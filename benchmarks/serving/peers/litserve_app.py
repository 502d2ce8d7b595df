"""LitServe: one API process and one worker process with the model."""

import os

import handler
import litserve


class Api(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002
        self.model = handler.load()

    def decode_request(self, request):
        given = request["inputs"][0]
        return handler.rows_of(given["data"], given["shape"])

    def predict(self, x):
        return self.model(x)

    def encode_response(self, output):
        return handler.answer(output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(api_path="/v2/models/model/infer"),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=os.environ.get("FAST_QUEUE", "0") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
