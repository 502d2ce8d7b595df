"""The gRPC adapter of the data plane: `inference.GRPCInferenceService`, health checking and reflection.

Thin: bytes → protobuf → the data plane → protobuf → bytes; what is checked of tensors is what REST checks. Imported
only where gRPC is switched on, for its libraries take memory and time.
"""

from modelward_inference.serve.grpc_api.server import GrpcServer

__all__ = ["GrpcServer"]
