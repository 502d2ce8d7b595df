"""What a team writes in an afternoon: FastAPI, pydantic, and the model in the handler."""

import os
from typing import Any

import handler
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Wanted(BaseModel):
    name: str


class Request(BaseModel):
    inputs: list[Tensor]
    outputs: list[Wanted] = []


class Answer(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Response(BaseModel):
    model_name: str
    outputs: list[Answer]


app = FastAPI()
model = handler.load()


@app.get("/ready")
async def ready() -> bool:
    return True


# Not `def`: a thread for each request only costs where there is one core.
@app.post("/v2/models/model/infer")
async def infer(request: Request) -> Response:
    given = request.inputs[0]
    answer: Any = handler.answer(model(handler.rows_of(given.data, given.shape)))
    return Response(**answer)


uvicorn.run(
    app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools", log_level="warning",
    access_log=False,
)  # fmt: skip
