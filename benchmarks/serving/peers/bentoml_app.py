"""BentoML: one worker, in its own process under its supervisor."""

from typing import Any

import bentoml
import handler


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Service:
    def __init__(self) -> None:
        self.model = handler.load()

    @bentoml.api(route="/v2/models/model/infer")
    async def infer(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        given = inputs[0]
        return handler.answer(self.model(handler.rows_of(given["data"], given["shape"])))
