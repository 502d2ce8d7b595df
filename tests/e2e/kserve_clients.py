"""Rows from standard input through KServe's own client; the first output on standard output, as JSON.

`python kserve_clients.py rest|grpc <host:port> <model>`
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main() -> None:
    protocol, address, model = sys.argv[1:]
    rows = np.array(json.load(sys.stdin), dtype=np.float32)
    tensor = InferInput("input", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=False)
    request = InferRequest(model, [tensor])
    answer: Any
    if protocol == "grpc":
        client = InferenceGRPCClient(address)
        answer = await client.infer(request)
        await client.close()
    else:
        rest = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await rest.is_server_ready(f"http://{address}")
        answer = await rest.infer(f"http://{address}", request, model_name=model)
        await rest.close()
    print(json.dumps(answer.outputs[0].as_numpy().tolist()))


asyncio.run(main())
