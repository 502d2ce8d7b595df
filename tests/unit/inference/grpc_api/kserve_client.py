"""KServe's gRPC client against the server at argv[1]; prints what came back."""

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


def inputs(raw: bool, count: int = 1) -> list[InferInput]:
    x = InferInput("x", [count, 2], "FP32")
    x.set_data_from_numpy(np.array([[1.5, 2.5]], np.float32), binary_data=raw)
    kind = InferInput("kind", [1], "BYTES")
    kind.set_data_from_numpy(np.array([b"a"], object), binary_data=raw)
    number = InferInput("count", [1], "INT8")
    number.set_data_from_numpy(np.array([7], np.int8), binary_data=raw)
    return [x, kind, number]


async def main(address: str) -> None:
    client = InferenceGRPCClient(address)
    if await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("m"):
        print("ready")
    for word, raw in (("sum", False), ("raw", True)):
        answer = await client.infer(InferRequest("m", inputs(raw)))
        print(f"{word}={answer.outputs[0].as_numpy().tolist()}")
    wrong = InferRequest("m", inputs(raw=False)[:2])
    try:
        await client.infer(wrong)
    except grpc.RpcError as error:
        print(f"refused={error.code().name}")
    await client.close()


asyncio.run(main(sys.argv[1]))
