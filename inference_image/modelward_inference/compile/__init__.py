"""Compile at fetch: a model becomes ONNX, is compared with the original on golden rows, timed, and chosen or not."""
