"""The gRPC adapter of the data plane: `inference.GRPCInferenceService`, health checking and reflection.

Thin: bytes → protobuf → the data plane → protobuf → bytes; what is checked of tensors is what REST checks. `server` is
imported only where gRPC is switched on, for its libraries take memory and time; who reads messages needs none of them.
"""
