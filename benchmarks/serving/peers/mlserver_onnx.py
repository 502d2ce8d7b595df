"""An ONNX model in MLServer, which has no runtime for it: a custom one, as its documentation describes."""

import handler
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self._model = handler.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        output = NumpyCodec.encode_output(handler.OUTPUT, self._model(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
